"""Indexing that is killed loses what it had in hand and nothing else: the same command ends with the same answers."""

import json
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from soundspot.inference.localizer import Localizer
from soundspot.search import Index
from soundspot.search.store import is_index

ENDS = """
import json, os, resource, signal, sys
from soundspot.search import Index, indexer
from soundspot.search.store import IndexStore
from soundspot.utils import npy_writer
from soundspot.inference.localizer import Localizer
from soundspot.errors import OutputError

checkpoint, media, folder, ends = json.loads(sys.argv[1])
localizer = Localizer.load(checkpoint)
indexer.VECTORS_PER_COMMIT = 4

def die():
    os.kill(os.getpid(), signal.SIGKILL)

class Deadly(npy_writer.FileIO):
    times = 0
    def write(self, content):
        Deadly.times += 1
        if Deadly.times == 2:
            super().write(content[: len(content) // 2 + 1])
            die()
        return super().write(content)

def work(end):
    if end == "room":
        resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    if end == "a vector":
        npy_writer.FileIO = Deadly
    if end in ("before it is told", "in the transaction"):
        tell, times = IndexStore.set_metadata, [0]
        def told(self, **words):
            times[0] += 1
            if times[0] == 2:
                die()
            tell(self, **words)
        execute = IndexStore.execute_many
        def executed(self, statement, values):
            times[0] += "INTO windows" in statement
            if times[0] == 3:
                die()
            execute(self, statement, values)
        if end == "in the transaction":
            IndexStore.execute_many = executed
        else:
            IndexStore.set_metadata = told
    if end == "while it is made":
        IndexStore.set_metadata = lambda self, **words: die()
        return Index.create(folder + "-new", localizer, media)
    if end == "while it is compacted":
        indexer.MAX_UNUSED_ROWS = 0
        npy_writer.RowWriter.sync = lambda self: die()
        return Index.open(folder, localizer).remove([media + "/long.wav", media + "/v.mp4"])
    Index.open(folder, localizer).add(media)

for end in ends:
    child = os.fork()
    if not child:
        try:
            work(end)
        except OutputError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(3)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def ended(checkpoint: Path, media: Path, folder: Path, ends: list[str]) -> tuple[list[int], str]:
    """Exit codes of runs that end in these ways, one after the other."""
    asked = json.dumps([str(checkpoint), str(media), str(folder), ends])
    run = subprocess.run([sys.executable, "-c", ENDS, asked], capture_output=True, text=True, check=True)
    return [int(line) for line in run.stdout.splitlines()], " ".join(run.stderr.split())


def test_killed_again_and_again_it_ends_as_if_nothing_had_been(
    index: Index, media: Path, checkpoint: Path, localizer: Localizer, tmp_path: Path
) -> None:
    asked = {
        "image": media / "p1.png",
        "audio": media / "long.wav",
        "k": 30,
        "per_window": True,
        "modalities": ["image", "audio"],
    }
    right = index.query(localizer, **asked)
    folder = tmp_path / "killed"
    Index.create(folder, localizer, media).close()
    ends = ["a vector", "before it is told", "in the transaction", "while it is made"]
    codes, told = ended(checkpoint, media, folder, ends)
    assert codes == [-signal.SIGKILL] * len(ends), told
    with Index.open(folder, localizer) as half:
        assert half.status().problems == []
        files = {hit.path for hit in half.query(localizer, **asked)}
        assert 0 < len(files) < 11
        outcome = half.add(media)
        assert outcome.unchanged
        assert (half.query(localizer, **asked), len(half)) == (right, 11)
        assert half.status().problems == []
    assert not is_index(f"{folder}-new")
    Index.create(f"{folder}-new", localizer, media).close()


def test_killed_while_it_is_compacted(index: Index, media: Path, checkpoint: Path, localizer: Localizer) -> None:
    asked = {"image": media / "p1.png", "modalities": ["image"], "file_types": ["image"], "k": 30}
    before = index.query(localizer, **asked)
    codes, told = ended(checkpoint, media, index.folder, ["while it is compacted"])
    assert codes == [-signal.SIGKILL], told
    assert (index.folder / "vectors-1.f32").exists()
    assert index.query(localizer, **asked) == before
    index.add(media)
    assert not (index.folder / "vectors-1.f32").exists()
    assert (index.query(localizer, **asked), index.status().problems, len(index)) == (before, [], 11)


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="the system has no limit on the size of files")
def test_a_full_disk_is_told_and_what_was_whole_is_kept(
    media: Path, checkpoint: Path, localizer: Localizer, tmp_path: Path
) -> None:
    folder = tmp_path / "full"
    Index.create(folder, localizer, media).close()
    codes, told = ended(checkpoint, media, folder, ["room"])
    assert codes == [3], told
    assert "could not be written" in told or "cannot be read or written" in told
    with Index.open(folder, localizer) as index:
        assert index.status().problems == []
        index.add(media)
        assert len(index) == 11


def test_an_index_that_was_copied_while_nobody_wrote_is_whole(
    index: Index, tmp_path: Path, localizer: Localizer
) -> None:
    copy = shutil.copytree(index.folder, tmp_path / "copy")
    assert Index.open(copy, localizer).status().problems == []
