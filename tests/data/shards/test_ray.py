"""Ray Data prepares what the process pool does, on a cluster of its own or one that runs (extra `ray`)."""

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from clips import Fragile, write_video
from soundspot.data.shards.executors import ProcessExecutor
from soundspot.data.shards.from_videos import ExtractionOptions, write_shards_from_videos
from soundspot.data.shards.ray import RayExecutor, decode_sample, encode_sample
from soundspot.data.shards.writer import SampleRecord
from soundspot.errors import DataError

HOW = ExtractionOptions(seconds=0.5, shard_size=64)


def test_without_ray_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DataError, match=r"needs Ray: `pip install soundspot\[ray\]`"):
        next(RayExecutor()(Fragile(), ["0"]))


@pytest.mark.parametrize(
    "sample", [SampleRecord({"jpg": b"a\n\0", "json": b"{}", "flac": b""}), SampleRecord({}, "crashed", "1: a\nb")]
)
def test_a_sample_of_another_machine_is_bytes_and_no_code(sample: SampleRecord) -> None:
    assert decode_sample(encode_sample(sample)) == sample


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 that differ, one that is none, and what the pool makes of them."""
    pytest.importorskip("ray", reason="Ray is absent (pip install soundspot[ray])")
    root = tmp_path_factory.mktemp("videos")
    for n in range(200):
        write_video(root / "in" / f"v{n:03d}.mp4", seconds=0.5 + 0.01 * (n % 20))
    (root / "in" / "v050x.mp4").write_text("no video")
    write_shards_from_videos(root / "in", root / "pool", HOW, ProcessExecutor(2))
    return root


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def told(program: list[str], home: Path, **more: str) -> subprocess.CompletedProcess:
    """What a Python program says in a process of its own: Ray keeps what it is once told."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(home), "PYTHONPATH": os.pathsep.join(map(str, sys.path)), **more}
    return subprocess.run([sys.executable, *program], env=environment, capture_output=True, text=True, check=False)


def command(videos: Path, output: Path, *more: str) -> list[str]:
    start = ["-m", "soundspot", "data", "extract", str(videos / "in"), str(output)]
    return [*start, "--seconds", "0.5", "--shard-size", "64", "--executor", "ray", *more]


@pytest.mark.slow
def test_two_local_workers_write_the_same_shards_and_leave_nothing(videos: Path, tmp_path: Path) -> None:
    before, home = set(Path("/tmp").glob("*ray*")), tmp_path / "home"
    home.mkdir()
    run = told(command(videos, tmp_path / "out", "--workers", "2"), home)
    assert run.returncode == 0, run.stderr
    assert everything(tmp_path / "out") == everything(videos / "pool")
    assert set(Path("/tmp").glob("*ray*")) <= before
    assert not any(home.iterdir())


@pytest.mark.slow
def test_an_input_that_takes_its_process_down_is_its_own_failure_there_too(videos: Path, tmp_path: Path) -> None:
    program = """
from clips import Fragile
from soundspot.data.shards.ray import RayExecutor, decode_sample, encode_sample
from soundspot.data.shards.writer import SampleRecord
for time in range(2):
    print([one.cause or one.files["json"].decode() for one in RayExecutor(1)(Fragile(), ["0", "1", "2"])])
"""
    run = told(["-c", program], tmp_path, PYTHONWARNINGS="ignore")
    assert run.stdout.splitlines() == ["['0', 'crashed', '2']"] * 2, run.stderr


@pytest.fixture
def two_machines(videos: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """Two nodes of a core each; what must be set to use them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        from ray.cluster_utils import Cluster

        monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
        cluster.add_node(num_cpus=1)
        yield {"RAY_ADDRESS": cluster.address, "RAY_AUTH_TOKEN": "0" * 64}
        cluster.shutdown()


@pytest.mark.slow
def test_a_cluster_that_runs_is_used_and_left_as_it_is(videos: Path, two_machines: dict, tmp_path: Path) -> None:
    for name in ("first", "second"):
        run = told(command(videos, tmp_path / name), tmp_path, **two_machines)
        assert run.returncode == 0, run.stderr
        assert everything(tmp_path / name) == everything(videos / "pool")


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_told(videos: Path, tmp_path: Path) -> None:
    run = told(command(videos, tmp_path / "out"), tmp_path, RAY_ADDRESS="127.0.0.1:1")
    assert run.returncode == 2
    words = " ".join(run.stderr.split())
    assert "found no Ray cluster at 127.0.0.1:1" in words
    assert "unset RAY_ADDRESS" in words
