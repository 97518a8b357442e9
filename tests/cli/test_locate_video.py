"""`soundspot locate CKPT clip.mp4`: the right command is chosen, and what it leaves is what it says."""

from pathlib import Path

import pytest

from clips import write_video
from soundspot.cli.dispatch import select_command
from soundspot.cli.live import live
from soundspot.cli.locate import locate
from soundspot.cli.locate_video import locate_video


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("c.safetensors a.png s.wav", locate),
        ("c.safetensors a.png", locate),
        ("c.safetensors a.avif", locate),
        ("--boxes c.safetensors a.png s.wav", locate),
        ("c.safetensors a.mp4", locate_video),
        ("-o o.mp4 c.safetensors a.MOV", locate_video),
        ("c.safetensors --rate=5 a.mp4 --sound s.wav", locate_video),
        ("c.safetensors --overwrite a.mp4", locate_video),
        ("c.safetensors a.mp4 --help", locate_video),
        ("c.safetensors noend", locate_video),
        ("c.safetensors --live", live),
        ("--help", locate),
        ("c.safetensors", locate),
    ],
)
def test_the_second_word_decides(words: str, command) -> None:
    assert select_command(words.split()) is command


def test_a_folder_is_of_videos(tmp_path: Path) -> None:
    assert select_command(["c.safetensors", str(tmp_path)]) is locate_video


def test_a_video_becomes_what_is_named(soundspot, checkpoint: Path, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "odd name #1.mp4", 0.6)
    names = [tmp_path / name for name in ("o.mp4", "s.jpg", "t.png", "f.json", "m.npz")]
    flags = ("-o", "--sheet", "--timeline", "--frames", "--maps")
    named = [word for pair in zip(flags, names, strict=True) for word in pair]
    told = soundspot("locate", checkpoint, clip, *named, "--rate", "5", "--smooth", "0.2", "--precision", "float32")
    assert (told.code, set(names)) == (0, told.written)
    assert "15 pictures" in told.out
    assert soundspot("locate", checkpoint, clip, "-o", names[0]).code == 2
    assert soundspot("locate", checkpoint, clip, "-o", names[0], "--overwrite").code == 0


def test_a_folder_is_done_but_for_what_is_no_video(soundspot, checkpoint: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "in/a.mp4", 0.4)
    write_video(tmp_path / "in/below/b.mkv", 0.4)
    (tmp_path / "in/c.mp4").write_text("<html></html>")
    write_video(tmp_path / "in/d.mp4", 0.4, sound=False)
    write_video(tmp_path / "in/Wide.mkv", 0.1, codecs=("ffv1", "pcm_s16le"), size=(17000, 16))
    write_video(tmp_path / "in/.a-x1y2/a.mp4", 0.4)  # the draft of a run that was killed
    told = soundspot("locate", checkpoint, tmp_path / "in", "-o", tmp_path / "out")
    assert told.code == 2
    assert "c.mp4" in told.err
    assert "d.mp4" in told.err
    assert "could not be encoded" in told.err
    assert "2 of 5" in told.out
    ends = (".mp4", ".sheet.jpg", ".timeline.png", ".frames.json", ".maps.npz")
    files = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert files == {stem + end for stem in ("a", "below/b") for end in ends}
    again = soundspot("locate", checkpoint, tmp_path / "in", "-o", tmp_path / "out")
    assert again.out.count("done before") == 2


def test_mistakes_are_told_in_one_message(soundspot, checkpoint: Path, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mp4", 0.4, sound=False)
    heard = write_video(tmp_path / "heard.mkv", 0.4)
    for words, said in (
        ((clip,), "--sound"),
        ((clip, "other.wav"), "`--sound other.wav`"),
        ((clip, "--sound", tmp_path / "gone.wav"), "no such file"),
        ((tmp_path / "gone.mp4",), "no such file"),
        ((tmp_path, "--sheet", tmp_path / "s.jpg"), "is a folder"),
        ((clip, "--sound", heard, "--overwrite", "-o", heard), "is the sound itself"),
    ):
        told = soundspot("locate", checkpoint, *words, *(() if "-o" in words else ("-o", tmp_path / "o.mp4")))
        assert told.code == 2
        assert said in told.err
        assert not told.written


def test_the_help_of_each_is_shown(soundspot) -> None:
    assert "clip.mp4 --help" in " ".join(soundspot("locate", "--help").out.split())
    assert "--timeline" in soundspot("locate", "c", "a.mp4", "--help").out
