"""Our checkpoints: what comes back is what went in; what does not fit is refused, and told."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from schemas import check_output
from soundspot.config import checkpoint
from soundspot.config.checkpoint import load_checkpoint, read_header, save_checkpoint
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.errors import CheckpointError, SoundspotError
from soundspot.methods import create
from soundspot.methods.base import Method

SMALL = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}


@pytest.fixture
def method() -> Method:
    torch.manual_seed(0)
    front_end = InputSpec(ImageSpec(size=32, resize="crop"), AudioSpec(seconds=0.5))
    return create("alignment", image=SMALL, audio=SMALL, front_end=front_end, tau=0.1, reducer="max").eval()


def test_a_checkpoint_needs_no_flags(method: Method, tmp_path: Path) -> None:
    images, sounds = torch.randn(2, 3, 32, 32), torch.randn(2, 1, 257, 48)
    save_checkpoint(method, tmp_path / "a.safetensors", threshold=0.25, recipe={"x": 1})
    loaded, header = load_checkpoint(tmp_path / "a.safetensors")
    assert loaded.front_end == method.front_end
    assert (loaded.tau, loaded.reducer) == (0.1, "max")
    assert header["threshold"] == 0.25
    torch.testing.assert_close(loaded.maps(images, sounds), method.maps(images, sounds), rtol=0, atol=0)
    torch.testing.assert_close(loaded.embed_images(images), method.embed_images(images), rtol=0, atol=0)


def test_nothing_half_written_is_left(method: Method, tmp_path: Path) -> None:
    save_checkpoint(method, tmp_path / "a.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda w: w.pop("p_v.0.weight"), "1 missing (first: p_v.0.weight)"),
        (lambda w: w.update(extra=torch.zeros(1)), "1 unknown (first: extra)"),
        (lambda w: w.update({"p_a.0.weight": torch.zeros(2, 2)}), "p_a.0.weight is [2, 2], expected [4, 4]"),
    ],
)
def test_weights_that_do_not_fit_are_refused(method: Method, tmp_path: Path, damage, said: str) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(method, path)
    weights = load_file(path)
    damage(weights)
    save_file(weights, path, metadata={"soundspot": json.dumps(read_header(path))})
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"image": {**SMALL, "width": 50_000}}, "expected equal numbers"),  # 90 GB of weights
        ({name: {**SMALL, "width": 50_000} for name in ("image", "audio")}, "does not fit"),
        ({"image": {**SMALL, "blocks": [300]}}, "does not fit"),
        ({"image": {**SMALL, "blocks": [900_000]}}, "a network of more than"),
        ({"image": {**SMALL, "blocks": [1_000_001]}}, "at most 1000000 together"),
        ({"image": {**SMALL, "blocks": [1] * 20_000}}, "at most 10000 of a list"),
    ],
)
def test_no_network_is_built_that_the_weights_do_not_fill(
    method: Method, tmp_path: Path, options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The header of somebody's file claims a large one: only shapes are made of it, on the meta device."""
    path, devices = tmp_path / "a.safetensors", []
    save_checkpoint(method, path)
    header = read_header(path)
    check_output(header, "checkpoint")
    save_file(
        load_file(path), path, metadata={"soundspot": json.dumps(header | {"config": header["config"] | options})}
    )
    build = checkpoint.method_from_header

    def note_device(values: dict[str, Any]) -> Method:
        devices.append(torch.empty(0).device.type)
        return build(values)

    monkeypatch.setattr(checkpoint, "method_from_header", note_device)
    with pytest.raises(SoundspotError, match=said):
        load_checkpoint(path)
    assert devices == ([] if "at most 1" in said else ["meta"])


def test_a_file_cut_short_is_told(method: Method, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_checkpoint(method, path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="cut short"):
        load_checkpoint(path)


def test_other_files_are_told(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(tmp_path / "none.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="soundspot checkpoint import"):
        load_checkpoint(tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(CheckpointError, match="cannot be read as safetensors"):
        load_checkpoint(tmp_path / "text.safetensors")
