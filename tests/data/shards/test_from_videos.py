"""From videos to shards: what is taken, what is left out and why, and that a run may be stopped at any moment."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from PIL import Image

from clips import Fragile, write_video
from schemas import check_output
from soundspot.cli.main import main
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.shards import executors
from soundspot.data.shards.executors import ProcessExecutor
from soundspot.data.shards.from_videos import ExtractionOptions, write_shards_from_videos
from soundspot.data.shards.writer import SampleReader, SampleRecord
from soundspot.errors import DataError, OutputError, RecipeError


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for n in range(9):
        write_video(root / ("below" if n % 2 else "") / f"v{n}.mp4", seconds=1 + 0.2 * n)
    write_video(root / "mute.mp4", sound=False)
    write_video(root / "dark.mkv", picture=False)
    (root / "words.mp4").write_text("no video")
    (root / "empty.webm").write_bytes(b"")
    (root / "notes.txt").write_text("no input")
    return root


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_samples_and_failures_by_cause(videos: Path, tmp_path: Path) -> None:
    how = ExtractionOptions(
        frames="3", window="at:0.25", seconds=0.5, rate=8000, max_side=32, audio_format="wav", shard_size=5
    )
    seen: list[tuple[int, int]] = []
    causes = write_shards_from_videos(
        videos, tmp_path / "out", how, ProcessExecutor(0), on_progress=lambda *both: seen.append(both)
    )
    assert causes == Counter({"": 9, "unreadable": 1, "empty": 1, "no sound": 1, "no frames": 1})
    assert seen == [(n, 13) for n in range(14)]
    journal = [json.loads(line) for line in (tmp_path / "out" / "journal.jsonl").read_text().splitlines()]
    check_output(journal, "shards-journal")
    assert [line["input"] for line in journal] == sorted(line["input"] for line in journal)
    assert {line["input"]: line["cause"] for line in journal if line["cause"]} == {
        "mute.mp4": "no sound",
        "dark.mkv": "no frames",
        "words.mp4": "unreadable",
        "empty.webm": "empty",
    }
    prepared = json.loads((tmp_path / "out" / "prepared.json").read_text())
    check_output(prepared, "shards")
    assert prepared["options"]["frames"] == "3"
    (index, *_) = sorted((tmp_path / "out").glob("*.index.json"))
    check_output(json.loads(index.read_text()), "shards-index")
    with tarfile.open(index.with_name(index.name.replace(".index.json", ".tar"))) as shard:
        (member, *_) = [name for name in shard.getnames() if name.endswith(".json")]
        check_output(json.loads(shard.extractfile(member).read()), "shards-sample")
    data = open_dataset("shards", tmp_path / "out")
    assert len(data) == 9
    assert "below/v3" in {data.id(i) for i in range(9)}
    with tarfile.open(tmp_path / "out" / "shard-000000.tar") as tar:
        told = json.loads(tar.extractfile("below/v3.json").read())
        frames = [Image.open(io.BytesIO(tar.extractfile(f"below/v3.{n}.jpg").read())) for n in range(3)]
        heard, rate = soundfile.read(io.BytesIO(tar.extractfile("below/v3.wav").read()))
    assert told == {
        "source": "below/v3.mp4",
        "duration": 1.6,
        "frame_times": pytest.approx([0.2667, 0.8, 1.3333], abs=0.041),
        "audio_window": [0.25, 0.5],
        "rate": 8000,
    }
    assert {frame.size for frame in frames} == {(32, 24)}
    shades = [np.asarray(frame)[10:, :, 0].mean() / 255 for frame in frames]
    assert shades == pytest.approx([1 / 6, 1 / 2, 5 / 6], abs=0.06)
    assert (rate, len(heard)) == (8000, 4000)


def lying(content: bytes) -> bytes:
    """An mp4 file whose headers promise ten times what it holds."""
    found = bytearray(content)
    for box in re.finditer(b"mvhd|mdhd", content):  # version, two dates, units a second, and then the length
        units = found[box.end() + 16 : box.end() + 20]
        found[box.end() + 16 : box.end() + 20] = (10 * int.from_bytes(units, "big")).to_bytes(4, "big")
    return bytes(found)


def first_index(source: Path, path: Path) -> bytes:
    """An mp4 file with its table of contents in front, as the web has them, so that what is left of it can be read."""
    with av.open(str(source)) as whole, av.open(str(path), "w", options={"movflags": "faststart"}) as written:
        streams = {stream.index: written.add_stream_from_template(stream) for stream in whole.streams}
        for packet in whole.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                written.mux(packet)
    return path.read_bytes()


def test_each_bad_input_is_a_line_with_its_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "in"
    good = write_video(root / "good.mp4", codecs=("libx264", "aac")).read_bytes()
    streamed = first_index(root / "good.mp4", tmp_path / "streamed.mp4")
    write_video(root / "mute.mp4", sound=False)
    write_video(root / "dark.mp4", picture=False)
    write_video(root / "turned.mp4", turned=90)
    write_video(root / "uneven.mkv", times=[0.0, 0.1, 0.2, 1.7, 2.4])
    (root / "halved.mp4").write_bytes(good[: len(good) // 2])
    (root / "streamed.mp4").write_bytes(streamed[: 6 * len(streamed) // 10])
    (root / "lying.mp4").write_bytes(lying(good))
    (root / "empty.mp4").write_bytes(b"")
    (root / "words.mp4").write_text("no video")
    (root / "folder.mp4").mkdir()
    (root / "link.mp4").symlink_to(root / "nowhere")
    (root / "closed.mp4").write_bytes(good)
    (root / "codec.mp4").write_bytes(good.replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))
    open_to = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "closed" not in str(path) and open_to(path, mode))  # also root
    causes = write_shards_from_videos(root, tmp_path / "out", ExtractionOptions(seconds=3.0), ProcessExecutor(0))
    journal = [json.loads(line) for line in (tmp_path / "out" / "journal.jsonl").read_text().splitlines()]
    assert {line["input"]: line["cause"] for line in journal} == {
        "good.mp4": "",
        "mute.mp4": "no sound",
        "dark.mp4": "no frames",
        "turned.mp4": "",
        "uneven.mkv": "",
        "halved.mp4": "unreadable",
        "streamed.mp4": "",
        "lying.mp4": "",
        "empty.mp4": "empty",
        "words.mp4": "unreadable",
        "folder.mp4": "a folder",
        "link.mp4": "missing",
        "closed.mp4": "no permission",
        "codec.mp4": "unknown codec",
    }
    assert sum(causes.values()) == len(journal)
    told = {line["input"]: line["message"] for line in journal}
    assert all(str(root / line["input"]) in line["message"] for line in journal if line["cause"])
    (shard,) = (tmp_path / "out").glob("*.tar")
    with tarfile.open(shard) as tar:
        assert json.loads(tar.extractfile("lying.json").read())["duration"] == pytest.approx(3.0, abs=0.05)
    assert re.fullmatch(r"its header says 3\.0 s and it lasts 1\.\d s", told["streamed.mp4"])
    assert (told["good.mp4"], told["turned.mp4"]) == ("", "")


def test_the_command_counts_causes_and_names_the_journal(videos: Path, tmp_path: Path, capsys) -> None:
    command = ["data", "extract", str(videos), str(tmp_path / "out"), "--workers", "0", "--seconds", "1"]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "out: 9 samples" in told.replace("\n", "")
    for cause in ("unreadable", "empty", "no sound", "no frames"):
        assert f"1 left out: {cause}" in told
    assert told.replace("\n", "").count("journal.jsonl") == 1
    assert "--retry" in told
    assert told.splitlines()[-1] == "  passed over 1 file: 1 .txt"


def test_processes_write_the_bytes_that_one_writes(videos: Path, tmp_path: Path) -> None:
    for name, work in (("one", ProcessExecutor(0)), ("more", ProcessExecutor(2))):
        write_shards_from_videos(videos, tmp_path / name, ExtractionOptions(seconds=1.0, shard_size=4), work)
    assert everything(tmp_path / "one") == everything(tmp_path / "more")


def test_killed_twice_it_ends_with_the_same_bytes_and_reads_no_input_twice(videos: Path, tmp_path: Path) -> None:
    """SIGKILL in the middle of the first and of a later shard; readers are slowed down so that it hits the middle."""
    program = f"""
import time
from pathlib import Path
from soundspot.data.shards.from_videos import ExtractionOptions, write_shards_from_videos

def slowly(make, names):
    for name in names:
        time.sleep(0.05)
        with open({str(tmp_path / "read.txt")!r}, "a") as file:
            print(name, file=file, flush=True)
        yield make(name)

write_shards_from_videos(
    Path({str(videos)!r}), Path({str(tmp_path / "out")!r}), ExtractionOptions(seconds=1.0, shard_size=4), slowly
)
"""
    journal = tmp_path / "out" / "journal.jsonl"
    for lines in (2, 7, None):
        process = subprocess.Popen([sys.executable, "-c", program])
        while process.poll() is None:
            if lines and journal.exists() and len(journal.read_bytes().splitlines()) >= lines:
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.005)
        process.wait()
        assert (process.returncode == 0) == (lines is None)
        if lines:  # and a line that was not written to its end
            with journal.open("ab") as file:
                file.write(b'{"input": "bel')
    write_shards_from_videos(
        videos, tmp_path / "whole", ExtractionOptions(seconds=1.0, shard_size=4), ProcessExecutor(0)
    )
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")
    read = Counter((tmp_path / "read.txt").read_text().split())
    assert set(read.values()) <= {1, 2}
    assert sum(count == 2 for count in read.values()) <= 2, "only what was in hand when it was killed"


def test_clips_carry_the_category_that_a_table_names(tmp_path: Path) -> None:
    for name in ("-abcdefghij_000030", "b/zpWuikVorYg_000002", "zz"):
        write_video(tmp_path / "in" / f"{name}.mp4", seconds=0.6)
    table = tmp_path / "vggsound.csv"
    table.write_text('-abcdefghij,30,"dog, barking",train\nzpWuikVorYg,2,bell,test\nAAAAAAAAAAA,1,cat,train\n')
    how = ExtractionOptions(seconds=0.5)
    assert write_shards_from_videos(tmp_path / "in", tmp_path / "out", how, ProcessExecutor(1), label_table=table) == {
        "": 3
    }
    data = open_dataset("shards", tmp_path / "out")
    assert {data.id(n): data.category(n) for n in range(3)} == {
        "-abcdefghij_000030": "dog, barking",
        "b/zpWuikVorYg_000002": "bell",
        "zz": "",
    }
    with pytest.raises(OutputError, match="made with other options"):
        write_shards_from_videos(tmp_path / "in", tmp_path / "out", how, ProcessExecutor(0))
    (tmp_path / "own.csv").write_text(
        "id,modality,class,probability\nzz,audio,cat,0.2\nzz,both,bell,0.7\nzz,image,x,1\n"
    )
    write_shards_from_videos(
        tmp_path / "in", tmp_path / "own", how, ProcessExecutor(0), label_table=tmp_path / "own.csv"
    )
    data = open_dataset("shards", tmp_path / "own")
    assert [data.category(n) for n in range(3)] == ["", "", "bell"]
    (tmp_path / "other.csv").write_text("id,modality,class\nyy,audio,cat\n")
    with pytest.raises(DataError, match=r"labels of none of 3 videos \(first: -abcdefghij_000030, in the table yy\)"):
        write_shards_from_videos(
            tmp_path / "in", tmp_path / "none", how, ProcessExecutor(0), label_table=tmp_path / "other.csv"
        )


def test_videos_that_come_later_are_added_at_the_end(tmp_path: Path) -> None:
    for name in ("b", "d"):
        write_video(tmp_path / "in" / f"{name}.mp4", seconds=0.6)
    how = ExtractionOptions(seconds=0.5)
    for shard_size in (4, 2):
        out = tmp_path / f"out{shard_size}"
        write_shards_from_videos(tmp_path / "in", out, replace(how, shard_size=shard_size), ProcessExecutor(0))
    before = (tmp_path / "out2" / "shard-000000.tar").read_bytes()
    for name in ("a", "c", "e"):
        write_video(tmp_path / "in" / f"{name}.mp4", seconds=0.6)
    for shard_size in (4, 2):
        out = tmp_path / f"out{shard_size}"
        assert write_shards_from_videos(
            tmp_path / "in", out, replace(how, shard_size=shard_size), ProcessExecutor(0)
        ) == {"": 5}
        data = open_dataset("shards", out)
        assert [data.id(i) for i in range(5)] == ["b", "d", "a", "c", "e"]
        assert not list(out.glob("*.part"))
    assert (tmp_path / "out2" / "shard-000000.tar").read_bytes() == before


def test_an_input_that_takes_its_process_down_is_its_own_failure() -> None:
    """Decoders are C: the others are answered for, in order."""
    found = list(ProcessExecutor(1)(Fragile(), ["0", "1", "2"]))
    assert [one.cause for one in found] == ["", "crashed", ""]
    assert [one.files.get("json", b"-").decode() for one in found] == ["0", "-", "2"]
    assert "1: found a file that crashes its reader" in found[1].message


def test_the_one_of_many_in_hand_that_crashes_is_found_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many processes there are: all, one by itself, one for the input alone, all again."""
    begun: list[int] = []
    plain = executors.start_processes

    def counted(make: SampleReader, workers: int) -> Any:
        begun.append(workers)
        return plain(make, workers)

    monkeypatch.setattr(executors, "start_processes", counted)
    found = list(ProcessExecutor(3)(Fragile(), [str(number) for number in range(40)]))
    assert [number for number, one in enumerate(found) if one.cause] == [1]
    assert begun == [3, 1, 1, 3]


def test_an_engine_that_ends_early_closes_no_shard(videos: Path, tmp_path: Path) -> None:
    def lazy(make: SampleReader, names: Sequence[str]) -> Iterator[SampleRecord]:
        yield from map(make, names[:6])

    how = ExtractionOptions(seconds=1.0, shard_size=4)
    with pytest.raises(OutputError, match=r"ended after 6 of 13 inputs.*goes on from there"):
        write_shards_from_videos(videos, tmp_path / "out", how, lazy)
    assert [path.name for path in sorted((tmp_path / "out").glob("*.tar"))] == ["shard-000000.tar"]
    for name in ("out", "whole"):
        write_shards_from_videos(videos, tmp_path / name, how, ProcessExecutor(0))
    assert everything(tmp_path / "out") == everything(tmp_path / "whole")


def test_what_cannot_be_prepared_is_refused(videos: Path, tmp_path: Path) -> None:
    for wrong in (
        {"frames": "most"},
        {"frames": "0"},
        {"window": "last"},
        {"max_side": 3},
        {"quality": 100},
        {"rate": 0},
    ):
        with pytest.raises(RecipeError, match=f"{next(iter(wrong))}: found .* expected"):
            ExtractionOptions(**wrong)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="found no videos"):
        write_shards_from_videos(tmp_path / "none", tmp_path / "out", ExtractionOptions(), ProcessExecutor(0))
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "thesis.tex").write_text("")
    with pytest.raises(OutputError, match="holds something else"):
        write_shards_from_videos(videos, tmp_path / "theirs", ExtractionOptions(), ProcessExecutor(0))
    for name in ("a.mp4", "a.mkv"):
        (tmp_path / "none" / name).write_text("")
    with pytest.raises(DataError, match=r"a\.mkv and a\.mp4 would both be the sample 'a'"):
        write_shards_from_videos(tmp_path / "none", tmp_path / "out", ExtractionOptions(), ProcessExecutor(0))
    assert not (tmp_path / "out").exists()
    (tmp_path / "none" / "a.mkv").unlink()
    write_shards_from_videos(tmp_path / "none", tmp_path / "out", ExtractionOptions(), ProcessExecutor(0))
    with pytest.raises(OutputError, match="made with other options"):
        write_shards_from_videos(
            tmp_path / "none", tmp_path / "out", ExtractionOptions(max_side=64), ProcessExecutor(0)
        )


class Broken:
    """A reader whose library raises what none of ours does, for one input."""

    def key(self, name: str) -> str:
        return name

    def __call__(self, name: str) -> SampleRecord:
        if name == "1":
            raise KeyError(name)
        if name == "2":
            raise DataError("2: found no sample, expected one")
        return SampleRecord({"json": name.encode()})


def test_whatever_a_reader_raises_is_the_failure_of_its_input() -> None:
    found = list(ProcessExecutor(0)(Broken(), ["0", "1", "2", "3"]))
    assert [one.cause for one in found] == ["", "unreadable", "unreadable", ""]
    assert found[1].message == "1: could not be read (KeyError: '1'). Leave it out"
    assert found[2].message == "2: found no sample, expected one"
