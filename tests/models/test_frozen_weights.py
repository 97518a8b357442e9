"""Checkpoints on frozen encoders of the library: they hold what learns, and come back as they were."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from soundspot.config.checkpoint import load_checkpoint, read_header, save_checkpoint, update_header
from soundspot.config.inspect_checkpoint import inspect_checkpoint
from soundspot.config.schema import FrontEndConfig
from soundspot.errors import CheckpointError
from soundspot.methods import Method, create
from soundspot.models import frozen_weights
from soundspot.models.packaged_weights import hash_bundle

pytestmark = pytest.mark.usefixtures("one_thread")

FRONT_END = FrontEndConfig("efficientnet_lite0+aisfx", size=64, seconds=1.0).build()


def build(name: str = "ezvsl", trained: int = 0, **options: Any) -> Method:
    torch.manual_seed(0)
    image = {"encoder": "efficientnet_lite0", "weights": "bundled", "layers": ["block10", "head"], "width": 80}
    audio = {"encoder": "aisfx", "weights": "bundled", "trained": 0, "width": 80}
    return create(name, image={**image, "trained": trained}, audio=audio, front_end=FRONT_END, **options).eval()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


def assert_equal(method: Method, path: Path) -> None:
    expected, actual = method.state_dict(), load_checkpoint(path)[0].state_dict()
    assert all(torch.equal(actual[name], value) for name, value in expected.items())


def test_frozen_stages_are_left_out_and_read_from_the_library(path: Path) -> None:
    method = build()
    save_checkpoint(method, path, threshold=0.5)
    assert path.stat().st_size < 2e6
    stored = load_file(path)
    assert stored
    assert not [name for name in stored if "_encoder.stages." in name]
    bundle = read_header(path)["bundle"]
    assert bundle == {
        "sha256": hash_bundle(),
        "encoders": {"image_encoder": "efficientnet_lite0", "audio_encoder": "aisfx"},
    }
    assert_equal(method, path)
    loaded, header = load_checkpoint(path)
    images, audio = torch.randn(1, 3, 64, 64), torch.rand(1, 1, *FRONT_END.audio.shape)
    assert torch.equal(loaded.maps(images, audio), method.maps(images, audio))
    assert header["threshold"] == 0.5


def test_a_checkpoint_that_was_loaded_is_written_as_it_was(path: Path, tmp_path: Path) -> None:
    save_checkpoint(build(), path)
    save_checkpoint(load_checkpoint(path)[0], tmp_path / "again.safetensors")
    assert load_file(path).keys() == load_file(tmp_path / "again.safetensors").keys()


def test_stages_that_learn_are_in_the_checkpoint(path: Path) -> None:
    method = build(trained=1)
    torch.nn.init.normal_(method.get_parameter("image_encoder.stages.head.conv.weight"))
    method.get_buffer("image_encoder.stages.head.norm.running_mean").normal_()
    save_checkpoint(method, path)
    stages = {name.split(".")[2] for name in load_file(path) if "_encoder.stages." in name}
    assert stages == {"head"}
    assert_equal(method, path)


def test_frozen_stages_that_are_not_those_of_the_library_are_stored(path: Path) -> None:
    """Such as the moving average of a momentum encoder."""
    method = build()
    with torch.no_grad():
        method.get_parameter("image_encoder.stages.stem.conv.weight").add_(1e-3)
    save_checkpoint(method, path)
    assert read_header(path)["bundle"]["encoders"] == {"audio_encoder": "aisfx"}
    assert_equal(method, path)


def test_a_copy_of_an_encoder_is_left_out_too(path: Path) -> None:
    method = build("slavc")
    save_checkpoint(method, path)
    assert len(read_header(path)["bundle"]["encoders"]) == 4
    assert_equal(method, path)


@pytest.mark.parametrize("weights", [None, "bundled"])
def test_encoders_that_learn_or_are_from_elsewhere_are_stored(weights: str | None, path: Path) -> None:
    audio = {"encoder": "aisfx", "weights": weights, "trained": "all" if weights else 0, "width": 8}
    image = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}
    method = create("ezvsl", image=image, audio=audio, front_end=FRONT_END, width=8)
    save_checkpoint(method, path)
    assert load_file(path).keys() == method.state_dict().keys()
    assert "bundle" not in read_header(path)


def test_half_precision_is_for_the_file_alone(path: Path) -> None:
    method = build()
    save_checkpoint(method, path, half_precision=True)
    stored, loaded = load_file(path), load_checkpoint(path)[0].state_dict()
    large = {name for name, value in stored.items() if value.dtype == torch.float16}
    assert "image_encoder.neck.weight" in large
    assert stored["image_encoder.neck.bias"].dtype == torch.float32
    assert all(loaded[name].dtype == torch.float32 for name in large)
    assert all(torch.equal(loaded[name], value.float()) for name, value in stored.items())
    before = stored["image_encoder.neck.weight"]
    update_header(path, threshold=0.1)
    assert torch.equal(load_file(path)["image_encoder.neck.weight"], before)


def test_another_file_of_encoders_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(build(), path)
    monkeypatch.setattr(frozen_weights, "hash_bundle", lambda: "0" * 64)
    with pytest.raises(CheckpointError) as error:
        load_checkpoint(path)
    message = str(error.value)
    assert message.startswith(f"{path} (of soundspot 0.1.0): its frozen encoders aisfx, efficientnet_lite0 are of")
    assert hash_bundle() in message
    assert "0" * 64 in message


def test_inspect_knows_what_is_elsewhere(path: Path) -> None:
    save_checkpoint(build(), path)
    inspection = inspect_checkpoint(path)
    assert inspection.is_usable
    assert "frozen      aisfx, efficientnet_lite0: in the file that comes with" in inspection.format_summary()
