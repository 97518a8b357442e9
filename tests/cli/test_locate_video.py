"""`soundspot locate VIDEO`: the files that it leaves are those it names, and mistakes are answered in one message."""

from pathlib import Path

from clips import write_video
from soundspot.cli.locate import is_done_by


def test_a_video_becomes_what_is_named(soundspot, checkpoint: Path, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "odd name #1.mp4", 0.6)
    names = [tmp_path / name for name in ("o.mp4", "s.jpg", "t.png", "f.json", "m.npz")]
    flags = ("-o", "--contact-sheet", "--timeline", "--frame-records", "--maps")
    named = [word for pair in zip(flags, names, strict=True) for word in pair]
    line = ("locate", clip, "--model", checkpoint)
    told = soundspot(*line, *named, "--maps-per-second", "5", "--smooth", "0.2", "--precision", "float32")
    assert (told.code, set(names)) == (0, told.written)
    assert "15 frames" in told.out
    assert soundspot(*line, "-o", names[0]).code == 2
    assert soundspot(*line, "-o", names[0], "--overwrite").code == 0


def test_a_folder_is_done_but_for_what_is_no_video(soundspot, checkpoint: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "in/a.mp4", 0.4)
    write_video(tmp_path / "in/below/b.mkv", 0.4)
    (tmp_path / "in/c.mp4").write_text("<html></html>")
    write_video(tmp_path / "in/d.mp4", 0.4, sound=False)
    write_video(tmp_path / "in/Wide.mkv", 0.1, codecs=("ffv1", "pcm_s16le"), size=(17000, 16))
    write_video(tmp_path / "in/.a-x1y2/a.mp4", 0.4)  # the draft of a run that was killed
    (tmp_path / "in/notes.txt").touch()
    told = soundspot("locate", tmp_path / "in", "--model", checkpoint, "-o", tmp_path / "in/out")
    assert told.code == 2
    assert told.out.splitlines()[-1] == "passed over 1 file: 1 .txt"
    assert "c.mp4" in told.err
    assert "d.mp4" in told.err
    assert "could not be encoded" in told.err
    assert "2 of 5" in told.out
    ends = (".mp4", ".sheet.jpg", ".timeline.png", ".frames.json", ".maps.npz")
    out = tmp_path / "in/out"
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert files == {stem + end for stem in ("a", "below/b") for end in ends}
    again = soundspot("locate", tmp_path / "in", "--model", checkpoint, "-o", out)
    assert again.out.count("done before") == 2
    for words in (("--mask-threshold", "0.7"), ("--maps-per-second", "5")):
        other = soundspot("locate", tmp_path / "in", "--model", checkpoint, "-o", out, *words)
        assert (other.out.count("done before"), other.err.count("another model or option. Pass --overwrite")) == (0, 2)


def test_records_of_other_facts_are_not_those_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a.frames.json"
    path.write_text('{"video": "a.mp4", "size": [2, 3], "threshold": 0.25, "frames": [\n{"threshold": 0.2}')
    assert [is_done_by(path, {"threshold": value}) for value in (0.25, 0.2, None)] == [True, False, False]
    assert [is_done_by(path, {"contour": value}) for value in (None, "grabcut")] == [True, False]
    path.write_text('{"contour": "grabcut", "frames": [\n{}')
    assert [is_done_by(path, {"contour": value}) for value in (None, "grabcut")] == [False, True]
    path.write_text("{}, no records")
    assert not is_done_by(path, {})
    assert not is_done_by(tmp_path / "none.json", {})


def test_events_are_written_in_the_format_that_is_named(soundspot, checkpoint: Path, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", 0.6)
    line = ("locate", clip, "--model", checkpoint, "-o", tmp_path / "o.mp4", "--overwrite")
    options = ("--onset", "score:-2", "--min-duration-on", "0.1")
    told = soundspot(*line, "--events", tmp_path / "e.csv", *options)
    assert told.code == 0
    assert " sounds from 0.0 to 0.6 s at (" in told.out
    assert f"\n{clip},0.000,0.600,source " in (tmp_path / "e.csv").read_text()
    told = soundspot(*line, "--events", tmp_path / "labels", "--format", "audacity", *options)
    assert told.code == 0
    assert "0.000000\t0.600000\tsource " in (tmp_path / "labels").read_text()
    quiet = soundspot(*line, "--events", tmp_path / "e.srt", "--onset", "score:2")
    assert (quiet.code, "no event" in quiet.out, (tmp_path / "e.srt").read_text()) == (0, True, "")
    for words, said in (
        (("--events", tmp_path / "e.csv"), "this model has no fitted threshold"),
        (("--events", tmp_path / "e.xlsx"), "no format of events ends so"),
        (("--events", tmp_path / "e.csv", "--format", "audactiy"), "Did you mean 'audacity'?"),
        (("--format", "csv"), "--format, which applies to events"),
        (("--events", tmp_path / "e.csv", "--min-duration-on", "-1"), "min_duration_on: found -1"),
    ):
        told = soundspot(*line, *words)
        assert (told.code, said in told.err) == (2, True)


def test_a_folder_has_one_table_of_events(soundspot, checkpoint: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "in/a.mp4", 0.4)
    write_video(tmp_path / "in/below/b.mkv", 0.4)
    line = ("locate", tmp_path / "in", "--model", checkpoint, "-o", tmp_path / "out")
    assert soundspot(*line).code == 0
    events = ("--events", tmp_path / "all.csv", "--onset", "score:-2", "--min-duration-on", "0.1")
    told = soundspot(*line, *events)  # what is located is located again, as its events are not there
    assert (told.code, "done before" in told.out) == (0, False)
    rows = (tmp_path / "all.csv").read_text().splitlines()
    names = {row.partition(",")[0] for row in rows[1:]}
    assert f"written: {tmp_path / 'all.csv'}, {len(rows) - 1} events\n" in told.out
    assert "  events, which may begin somewhat below the threshold (--onset):\n  source 1 sounds" in told.out
    assert names == {str(tmp_path / "in" / name) for name in ("a.mp4", "below/b.mkv")}
    again = soundspot(*line, *events)
    assert again.out.count("done before") == 2
    assert (tmp_path / "all.csv").read_text().splitlines() == rows
    for words in (("--onset", "score:-3"), ("--min-duration-off", "0.2")):
        other = soundspot(*line, *events, *words)  # the later of two equal options counts
        assert (other.out.count("done before"), other.err.count("another model or option. Pass --overwrite")) == (0, 2)
    assert soundspot(*line).out.count("done before") == 2  # of maps alone, which these options do not change
    told = soundspot(*line, "--events", tmp_path / "all.srt", "--onset", "score:-2")
    assert (told.code, "describes one video" in told.err) == (2, True)


def test_mistakes_are_told_in_one_message(soundspot, checkpoint: Path, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", 0.4, sound=False)
    heard = write_video(tmp_path / "heard.mkv", 0.4)
    for words, said in (
        ((clip,), "other.wav"),
        ((clip, "a.wav", "b.wav"), "expected at most one"),
        ((clip, tmp_path / "gone.wav"), "no such file"),
        ((tmp_path / "gone.mp4",), "no such file"),
        ((tmp_path, "--contact-sheet", tmp_path / "s.jpg"), "is a folder"),
        ((clip, heard, "--overwrite", "-o", heard), "is the sound itself"),
        ((clip.parent, heard), "found videos and no images, expected images, as a sound is given with it"),
        ((clip, heard, "--boxes"), "--boxes, which applies to an image"),
        (("photo.png", "a.wav", "--smooth", "1"), "--smooth, which applies to a video"),
        (("photo.png",), "found no sound to locate"),
        (("photo.png", "a.wav", "--events", "e.csv"), "--events, which applies to a video"),
        ((clip, "--rate", "5"), "--rate is now --maps-per-second"),
    ):
        output = () if "-o" in words or "photo.png" in words else ("-o", tmp_path / "o.mp4")
        told = soundspot("locate", *words, "--model", checkpoint, *output)
        assert told.code == 2
        assert said in told.err
        assert not told.written
