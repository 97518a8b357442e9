"""The encoders' weights that come with the library: what is in the file, and that half precision moves no feature."""

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file

from soundspot.errors import CheckpointError
from soundspot.models import bundle, packaged_weights
from soundspot.models.aisfx import AISFX
from soundspot.models.efficientnet import EfficientNetLite0
from soundspot.models.encoders import build_encoder
from soundspot.models.fetch import FETCHABLE
from soundspot.models.packaged_weights import BUNDLE, hash_bundle, read_bundle
from soundspot.models.weights import MIN_HALVED

LAYERS = ["block10", "block15", "head"]


def test_the_file_holds_every_encoder_with_its_license() -> None:
    assert BUNDLE.stat().st_size <= 16.5e6
    with safe_open(BUNDLE, "pt") as file:
        sources = json.loads(file.metadata()["bundle"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    assert {name.partition("/")[0] for name in tensors} == sources.keys() == FETCHABLE.keys()
    assert {name: source["sha256"] for name, source in sources.items()} == {n: w.sha256 for n, w in FETCHABLE.items()}
    assert sources["aisfx"]["license"] == "CC BY 4.0"
    assert "A. B. Ma and A. Lerch" in sources["aisfx"]["attribution"]
    for name, value in tensors.items():
        is_large = value.ndim > 1 and value.numel() >= MIN_HALVED
        assert value.dtype == (torch.float16 if is_large else torch.float32), name
        assert value.isfinite().all(), name


@pytest.mark.parametrize(("name", "channels"), [("efficientnet_lite0", 3), ("aisfx", 1)])
def test_an_encoder_begins_with_it(name: str, channels: int) -> None:
    encoder = build_encoder({"encoder": name, "weights": "bundled", "width": None}, channels)
    state, stored = encoder.stages.state_dict(), read_bundle(name)
    assert stored.keys() == {key for key in state if not key.endswith("num_batches_tracked")}
    assert all(state[key].dtype == torch.float32 and torch.equal(state[key], stored[key].float()) for key in stored)


def test_the_file_is_made_alike_every_time_and_moves_no_feature(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    torch.manual_seed(0)
    networks = {"efficientnet_lite0": EfficientNetLite0(3, LAYERS, 0, None), "aisfx": AISFX(1, "none", 0, None)}
    for name, network in networks.items():
        save_file(network.stages.state_dict(), tmp_path / f"{name}.safetensors")
    monkeypatch.setattr(bundle, "fetch_weights", lambda name: tmp_path / f"{name}.safetensors")
    for name in ("a", "b"):
        bundle.write_bundle(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    monkeypatch.setattr(packaged_weights, "BUNDLE", tmp_path / "a")
    inputs = {"efficientnet_lite0": torch.randn(2, 3, 64, 64), "aisfx": torch.rand(2, 1, 96, 64)}
    options = {"efficientnet_lite0": {"layers": LAYERS}, "aisfx": {"pooling": "none"}}
    for name, network in networks.items():
        half = build_encoder(
            {"encoder": name, "weights": "bundled", "width": None, **options[name]}, len(inputs[name][0])
        )
        maps = [encoder.eval()(inputs[name]).flatten(1) for encoder in (network, half)]
        assert not torch.equal(*maps)
        assert F.cosine_similarity(*maps).min() > 0.9999


@pytest.mark.slow
def test_it_is_made_from_the_released_weights(tmp_path: Path) -> None:
    if not all(weights.path.is_file() for weights in FETCHABLE.values()):
        pytest.skip("released weights: run `soundspot models fetch` for each encoder")
    bundle.write_bundle(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == BUNDLE.read_bytes()


@pytest.mark.parametrize("content", [None, b"", BUNDLE.read_bytes()[:1000]])
def test_a_package_without_the_file_says_how_to_mend_it(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "encoders.safetensors"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(packaged_weights, "BUNDLE", path)
    with pytest.raises(CheckpointError, match=r"encoders.safetensors: cannot be read .* pip install --force-reinstall"):
        read_bundle("aisfx")
    if not content:
        with pytest.raises(CheckpointError, match=r"the installation is not complete"):
            hash_bundle()
