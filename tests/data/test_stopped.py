"""Runs that end in the middle: killed, or without room on the disk. What is whole is kept, and they end with the same
bytes; what failed for a reason that passes is tried again when that is asked for."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clips import write_video
from soundspot.cli.main import main
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.shards.executors import ProcessExecutor
from soundspot.data.shards.from_videos import ExtractionOptions, write_shards_from_videos
from soundspot.errors import OutputError
from soundspot.utils.atomic_io import DiskFullError, format_bytes

HOW = ExtractionOptions(seconds=1.0, shard_size=3)
SCENES = ["scenes", "--options", '{"length": 7, "size": 48, "seconds": 0.5}']


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("videos")
    for n in range(6):
        write_video(root / f"v{n}.mp4", seconds=0.8)
    (root / "v2.mp4").write_text("no video")
    return root


@pytest.fixture(scope="module")
def whole(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What each command writes when nothing comes between."""
    root = tmp_path_factory.mktemp("whole")
    for name, command in commands(videos).items():
        assert main(["data", *command, str(root / name)]) == 0
    return {name: everything(root / name) for name in commands(videos)}


def commands(videos: Path) -> dict[str, list[str]]:
    some = ["--workers", "0", "--shard-size", "3"]
    return {"extract": ["extract", str(videos), "--seconds", "1", *some], "to-shards": ["to-shards", *SCENES, *some]}


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


ENDS = """
import json, os, resource, signal, sys
import jsonargparse, rich.progress
import soundspot.cli.data, soundspot.cli.parser, soundspot.data.shards.ray, soundspot.data.datasets
import soundspot.data.shards.from_videos, soundspot.scenes
from soundspot.utils import atomic_io
from soundspot.cli.main import main
from soundspot.data.shards import format, writer

plain = os.replace

def ends(file, times, command):
    if isinstance(file, int):
        resource.setrlimit(resource.RLIMIT_FSIZE, (file, file))
        return main(command)
    seen = 0

    def dies(name):
        nonlocal seen
        seen += file in name
        return file in name and seen == times

    class Deadly(atomic_io.FileIO):
        def write(self, content):
            if dies(str(self.name)):
                super().write(content[: len(content) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return super().write(content)

    def replaced(draft, path):
        if dies(f"{path} replaced"):
            os.kill(os.getpid(), signal.SIGKILL)
        plain(draft, path)

    atomic_io.FileIO = writer.FileIO = format.FileIO = Deadly
    os.replace = replaced
    return main(command)

for end in json.loads(sys.argv[1]):
    child = os.fork()
    if not child:
        code = ends(*end)
        sys.stderr.flush()
        os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
# Each pair is a run that is killed and goes on, and is killed again: while it writes a file for the first time, the
# second time...
KILLS = [
    [("prepared.json", 1), ("journal.jsonl", 2)],  # half of the plan; half of a line
    [("shard-000000.tar.part", 2), ("shard-000001.tar.part", 4)],  # half of a sample; of the archive's end
    [("shard-000000.index.json", 1), ("shard-000001.tar replaced", 1)],  # half of an index; before it has its name
]


def ended(ends: list[tuple[str | int, int, list[str]]]) -> tuple[list[int], str]:
    """Exit codes of commands that end by a kill, or where no file may grow beyond a size; and what they say."""
    run = subprocess.run([sys.executable, "-c", ENDS, json.dumps(ends)], capture_output=True, text=True, check=True)
    return [int(line) for line in run.stdout.splitlines() if line.lstrip("-").isdigit()], " ".join(run.stderr.split())


@pytest.mark.parametrize("maker", ["extract", "to-shards"])
def test_killed_twice_while_it_writes_it_ends_with_the_same_bytes(
    maker: str, videos: Path, whole: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    command = ["data", *commands(videos)[maker]]
    ends = [(file, times, [*command, str(tmp_path / str(n))]) for n, pair in enumerate(KILLS) for file, times in pair]
    codes, told = ended(ends)
    assert codes == [-signal.SIGKILL] * len(ends), told
    for n in range(len(KILLS)):
        assert main([*command, str(tmp_path / str(n))]) == 0
        assert everything(tmp_path / str(n)) == whole[maker]


@pytest.mark.parametrize("maker", ["extract", "to-shards"])
def test_a_file_that_may_not_grow_is_told_and_gone_on_with(
    maker: str, videos: Path, whole: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    """As under a quota, or on an old file system."""
    command = ["data", *commands(videos)[maker], str(tmp_path / "out")]
    sizes = [len(whole[maker][file]) for file in ("prepared.json", "shard-000000.tar")]
    codes, told = ended([(size - 1, 0, command) for size in sizes])
    assert codes == [2, 2], told
    for file in ("prepared.json", "shard-000000.tar"):
        assert re.search(rf"soundspot: \S*{file}: could not be written \(File too large\): [\d.]+ .B are left", told)
    assert told.count("make room there and give the same command again, and it continues from them") == 2
    assert re.search(r"The [34] inputs that are left will take some [\d.]+ .B$", told)
    assert main(command) == 0
    assert everything(tmp_path / "out") == whole[maker]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB, until it is mounted with another size."""
    root = tmp_path / "disk"
    root.mkdir()
    if (
        not shutil.which("mount")
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(root)], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip("no small disk to fill: this user may not mount a tmpfs")
    yield root
    subprocess.run(["umount", str(root)], check=True)


@pytest.mark.parametrize("maker", ["extract", "to-shards"])
def test_a_disk_that_fills_again_and_again(
    maker: str,
    videos: Path,
    whole: dict[str, dict[str, bytes]],
    small_disk: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Page by page, so that it is full in the middle of one file after another."""
    command = ["data", *commands(videos)[maker], str(small_disk / "out")]
    full = set()
    for pages in range(1, 200):
        subprocess.run(["mount", "-o", f"remount,size={4 * pages}k", str(small_disk)], check=True)
        if main(command) == 0:
            break
        told = " ".join(capsys.readouterr().err.split())
        found = re.search(r"out/?(\S*): could not be written \(No space left on device\): (\S+ \S+) are left", told)
        assert found, told
        full.add(found[1])
    assert everything(small_disk / "out") == whole[maker]
    assert {"journal.jsonl", "shard-000000.tar", "shard-000000.index.json"} <= full, full


def running(pid: str) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks for processes in /proc")
def test_nobody_outlives_a_killed_run(videos: Path, tmp_path: Path) -> None:
    """Its processes would wait for work for ever."""
    command = ["data", "extract", str(videos), str(tmp_path / "out"), "--workers", "2"]
    run = subprocess.Popen([sys.executable, "-m", "soundspot", *command], stdout=subprocess.DEVNULL)
    below = Path(f"/proc/{run.pid}/task/{run.pid}/children")
    readers: list[str] = []
    while len(readers) < 2 and run.poll() is None:
        readers = [
            pid for pid in below.read_text().split() if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]
    run.kill()
    run.wait()
    assert len(readers) == 2
    until = time.monotonic() + 60  # they notice once they have begun
    while any(map(running, readers)):
        assert time.monotonic() < until, f"still there: {readers}"
        time.sleep(0.05)


def test_what_failed_is_tried_again_when_that_is_asked_for(videos: Path, tmp_path: Path) -> None:
    shutil.copytree(videos, tmp_path / "in")
    (tmp_path / "in" / "v4.mp4").rename(tmp_path / "v4.mp4")
    (tmp_path / "in" / "v4.mp4").write_bytes(b"")  # a download that broke off
    out = tmp_path / "out"
    assert write_shards_from_videos(tmp_path / "in", out, HOW, ProcessExecutor(0)) == {
        "": 4,
        "unreadable": 1,
        "empty": 1,
    }
    (tmp_path / "v4.mp4").rename(tmp_path / "in" / "v4.mp4")
    before = everything(out)
    assert write_shards_from_videos(tmp_path / "in", out, HOW, ProcessExecutor(0)) == {
        "": 4,
        "unreadable": 1,
        "empty": 1,
    }
    assert everything(out) == before, "each input is read once"
    assert write_shards_from_videos(tmp_path / "in", out, HOW, ProcessExecutor(0), retry=True) == {
        "": 5,
        "unreadable": 1,
    }
    journal = [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]
    assert [(line["input"], line["cause"]) for line in journal[6:]] == [("v2.mp4", "unreadable"), ("v4.mp4", "")]
    assert everything(out)["shard-000000.tar"] == before["shard-000000.tar"]
    data = open_dataset("shards", out)
    assert [data.id(n) for n in range(5)] == ["v0", "v1", "v3", "v5", "v4"]
    assert write_shards_from_videos(tmp_path / "in", out, HOW, ProcessExecutor(0)) == {"": 5, "unreadable": 1}


def test_a_folder_that_may_not_be_written_is_told(videos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="could not be written") as caught:
        write_shards_from_videos(videos, tmp_path / "file" / "out", HOW, ProcessExecutor(0))
    assert not isinstance(caught.value, DiskFullError)


def test_sizes_in_words() -> None:
    told = {0: "0 bytes", 999: "999 bytes", 1000: "1 kB", 123456: "123 kB", 5e9: "5 GB", 7e15: "7e+03 TB"}
    assert {size: format_bytes(size) for size in told} == told


# What is gone, or came less far than the journal says.


@pytest.mark.parametrize("lost", ["the first", "the last", "both"])
def test_a_shard_that_is_gone_is_made_again(lost: str, videos: Path, whole, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    assert main(["data", *commands(videos)["extract"], str(folder)]) == 0
    for number in {"the first": (0,), "the last": (1,), "both": (0, 1)}[lost]:
        for path in folder.glob(f"shard-{number:06d}.*"):
            path.unlink()
    assert main(["data", *commands(videos)["extract"], str(folder)]) == 0
    assert everything(folder) == whole["extract"]


def test_a_shard_that_is_gone_with_its_input_is_told(videos: Path, tmp_path: Path) -> None:
    mine, folder = tmp_path / "videos", tmp_path / "shards"
    shutil.copytree(videos, mine)
    command = ["data", *commands(mine)["extract"], str(folder)]
    assert main(command) == 0
    (folder / "shard-000000.tar").unlink()
    (mine / "v1.mp4").write_bytes(b"")
    with pytest.raises(OutputError, match=r"shard-000000.tar: found no such shard, and v1.mp4, which it held, can no"):
        write_shards_from_videos(mine, folder, HOW, ProcessExecutor(0))


@pytest.mark.parametrize("share", [0.0, 0.4, 0.9])
def test_a_draft_that_is_shorter_than_the_journal_loses_nothing(
    share: float, videos: Path, whole, tmp_path: Path
) -> None:
    """As after a power failure, when one of two files has come further than the other."""
    folder, done = tmp_path / "shards", []

    def some(make, names):
        for name in names:
            if len(done) == 5:
                raise KeyboardInterrupt
            done.append(name)
            yield make(name)

    with pytest.raises(KeyboardInterrupt):
        write_shards_from_videos(videos, folder, HOW, some)
    draft = folder / "shard-000001.tar.part"
    draft.write_bytes(draft.read_bytes()[: int(share * draft.stat().st_size)])
    assert main(["data", *commands(videos)["extract"], str(folder)]) == 0
    assert everything(folder) == whole["extract"]


def test_two_runs_do_not_write_in_one_folder(videos: Path, tmp_path: Path) -> None:
    def meets(make, names):
        with pytest.raises(OutputError, match="another run writes here now"):
            write_shards_from_videos(videos, tmp_path / "shards", HOW, ProcessExecutor(0))
        yield from map(make, names)

    assert write_shards_from_videos(videos, tmp_path / "shards", HOW, meets)[""] == 5


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("prepared.json", "", "prepared.json: cannot be read"),
        ("journal.jsonl", '{"cause": ""}\n{"cau\n', r"found a damaged line \(2: "),
        ("journal.jsonl", '{"cause": ""}\n' * 9, "found 9 lines for the 6 inputs"),
    ],
)
def test_damaged_files_are_told(file: str, content: str, told: str, videos: Path, tmp_path: Path) -> None:
    write_shards_from_videos(videos, tmp_path / "shards", HOW, ProcessExecutor(0))
    (tmp_path / "shards" / file).write_text(content)
    with pytest.raises(OutputError, match=told):
        write_shards_from_videos(videos, tmp_path / "shards", HOW, ProcessExecutor(0))


def test_videos_in_linked_folders_are_found_once(videos: Path, tmp_path: Path) -> None:
    root = tmp_path / "linked"
    root.mkdir()
    (root / "there").symlink_to(videos)
    (root / "round").symlink_to(root)
    assert write_shards_from_videos(root, tmp_path / "shards", HOW, ProcessExecutor(0)) == {"": 5, "unreadable": 1}


@pytest.mark.parametrize(
    ("flag", "told"), [("--workers=-1", "workers: found -1"), ("--shard_size=0", "shard_size: found 0")]
)
def test_numbers_that_make_no_sense_are_refused(flag: str, told: str, videos: Path, tmp_path: Path, capsys) -> None:
    assert main(["data", "extract", str(videos), str(tmp_path / "shards"), flag]) == 2
    assert told in capsys.readouterr().err
