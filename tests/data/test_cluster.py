"""Ray Data prepares what the process pool does, on a cluster of its own or one that runs (extra `cluster`)."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from clips import Fragile, write_video
from whence.data.cluster import RayData
from whence.data.engines import Pool
from whence.data.prepare import Preparation, prepare
from whence.errors import DataError

HOW = Preparation(seconds=0.5)
RAYS_OWN = ("DeprecationWarning", "ResourceWarning")
pytestmark = [pytest.mark.filterwarnings(f"ignore::{kind}") for kind in RAYS_OWN]


def test_without_ray_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DataError, match=r"needs Ray: `pip install whence\[cluster\]`"):
        next(RayData()(Fragile(), ["0"]))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 that differ, one that is none, and what the pool makes of them."""
    pytest.importorskip("ray", reason="Ray is absent (pip install whence[cluster])")
    root = tmp_path_factory.mktemp("videos")
    for n in range(200):
        write_video(root / "in" / f"v{n:03d}.mp4", seconds=0.5 + 0.01 * (n % 20))
    (root / "in" / "v050x.mp4").write_text("no video")
    prepare(root / "in", root / "pool", HOW, Pool(2), shard_size=64)
    return root


def everything(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.slow
def test_two_local_workers_write_the_same_shards_and_leave_nothing(videos: Path, tmp_path: Path) -> None:
    before = {path.name for path in Path("/tmp").glob("*ray*")}
    causes = prepare(videos / "in", tmp_path / "out", HOW, RayData(2), shard_size=64)
    assert causes == {"": 200, "unreadable": 1}
    assert everything(tmp_path / "out") == everything(videos / "pool")
    assert {path.name for path in Path("/tmp").glob("*ray*")} <= before


@pytest.mark.slow
def test_an_input_that_takes_its_process_down_is_its_own_failure_there_too(videos: Path) -> None:
    found = list(RayData(1)(Fragile(), ["0", "1", "2"]))
    assert [one.cause for one in found] == ["", "crashed", ""]
    assert [one.parts.get("json", b"-").decode() for one in found] == ["0", "-", "2"]


@pytest.fixture
def two_machines(videos: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Two nodes of a core each."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_AUTH_TOKEN", "0" * 64)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster.address
    cluster.shutdown()


@pytest.mark.slow
def test_a_cluster_that_runs_is_used_and_left_as_it_is(videos: Path, two_machines: str, tmp_path: Path) -> None:
    import ray

    for name in ("first", "second"):
        prepare(videos / "in", tmp_path / name, HOW, RayData(), shard_size=64)
        assert everything(tmp_path / name) == everything(videos / "pool")
        assert not ray.is_initialized()


@pytest.mark.slow
def test_a_cluster_that_is_not_there_is_told(videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(DataError, match=r"found no Ray cluster at 127\.0\.0\.1:1 .* unset RAY_ADDRESS"):
        next(RayData()(Fragile(), ["0"]))
