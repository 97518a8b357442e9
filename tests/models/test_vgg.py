"""VGG-16 and VGGish: the released names and numbers, the front end of VGGish, and what is frozen."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from released import filled, inputs_of
from soundspot.config.frontend import PRESETS
from soundspot.data.transforms.spectrogram import spectrogram
from soundspot.errors import CheckpointError, RecipeError
from soundspot.methods import create
from soundspot.models.encoders import build_encoder
from soundspot.models.vgg import VGGish

RATE = 16000


def part(golden: Path, prefix: str) -> dict[str, torch.Tensor]:
    """The entries of the SSPL case whose names begin so, without that."""
    file = golden / "sspl" / "keys.json"
    if not file.is_file():
        pytest.skip(f"golden/sspl is absent below {golden}")
    keys = json.loads(file.read_text())
    return {name[len(prefix) :]: filled(name, *rest) for name, *rest in keys if name.startswith(prefix)}


@torch.no_grad()
def test_vgg16_is_the_released_one(golden: Path) -> None:
    encoder = build_encoder({"encoder": "vgg16"}, 3).eval()
    encoder.load_state_dict(
        {f"features.{name}": value for name, value in part(golden, "frame/feat_extractor.").items()}
    )
    found = encoder(inputs_of({"image": ["image", [2, 3, 224, 224]]})["image"][:1])
    theirs = np.load(golden / "sspl" / "io.npz")["visual_features"]
    np.testing.assert_allclose(found, theirs, rtol=0, atol=1e-4)
    with_relu = build_encoder({"encoder": "vgg16", "relu": True}, 3)
    assert with_relu.load_state_dict(encoder.state_dict()), "a relu has no weights"


@torch.no_grad()
def test_vggish_is_the_released_one(golden: Path) -> None:
    state = part(golden, "sound/module.")
    encoder = build_encoder({"encoder": "vggish"}, 1)
    encoder.load_state_dict({name: value for name, value in state.items() if not name.startswith("fc.")})
    patches = inputs_of({"audio": ["audio", [2, 3, 1, 96, 64]]})["audio"]  # each (time, frequency)
    grid = encoder(patches[:, :, 0].flatten(1, 2).mT[:, None])
    assert grid.shape == (2, 128, 1, 3)
    found = torch.nn.functional.normalize(grid[:, :, 0].mean(-1))
    np.testing.assert_allclose(found, np.load(golden / "sspl" / "io.npz")["audio_vggish_unit"], rtol=0, atol=2e-5)


def test_the_front_end_of_vggish_written_out() -> None:
    x = np.random.RandomState(0).standard_normal(3 * RATE)
    spec = PRESETS["vggish"].audio
    ours = spectrogram(torch.from_numpy(x)[None], spec, RATE)[0, 0].numpy()
    assert ours.shape == spec.shape == (64, 298)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi / 400 * np.arange(400))
    mels = [1127 * math.log(1 + f / 700) for f in np.linspace(0, 8000, 257)]
    edges = np.linspace(1127 * math.log(1 + 125 / 700), 1127 * math.log(1 + 7500 / 700), 66)
    for frame in (0, 100, 297):
        magnitude = np.abs(np.fft.rfft(x[160 * frame : 160 * frame + 400] * taper, 512))
        for band in (0, 30, 63):
            triangle = np.interp(mels, edges[band : band + 3], [0, 1, 0])
            assert ours[band, frame] == pytest.approx(math.log(triangle @ magnitude + 0.01), abs=1e-6)


def test_patches_begin_with_the_sound_and_what_is_left_over_is_not_heard() -> None:
    encoder = VGGish(width=2, hidden=8).eval()
    x = torch.randn(1, 1, 64, 298)
    with torch.no_grad():
        whole = encoder(x)
        assert torch.allclose(whole, encoder(x[..., :288]))
        assert torch.allclose(whole[..., 1:2], encoder(x[..., 96:192]), atol=1e-6)
    for shape in ((64, 95), (257, 200)):
        with pytest.raises(RecipeError, match=rf"found spectrograms of {shape[0]} x {shape[1]}, expected 64 bands"):
            encoder(torch.zeros(1, 1, *shape))


@pytest.mark.parametrize(("size", "cells"), [(224, 14), (320, 20)])
def test_cells_of_vgg16(size: int, cells: int) -> None:
    assert build_encoder({"encoder": "vgg16", "width": 4}, 3)(torch.zeros(1, 3, size, size)).shape == (
        1,
        32,
        cells,
        cells,
    )


@pytest.mark.parametrize(("trained", "learn"), [("all", 26), (2, 4), (0, 0)])
def test_the_last_layers_learn(trained: int | str, learn: int) -> None:
    encoder = build_encoder({"encoder": "vgg16", "width": 2, "trained": trained}, 3)
    assert sum(one.requires_grad for one in encoder.parameters()) == learn
    answer = encoder(torch.randn(1, 3, 32, 32))
    assert answer.requires_grad == bool(learn)
    with pytest.raises(RecipeError, match=r"'vgg16': found `trained: 14`, expected `all`, or .* 0 \(frozen\) to 13"):
        build_encoder({"encoder": "vgg16", "trained": 14}, 3)


def test_the_public_file_is_read_without_its_classifier(tmp_path: Path) -> None:
    theirs = build_encoder({"encoder": "vgg16", "width": 2}, 3)
    path = tmp_path / "vgg16.pth"
    torch.save({**theirs.state_dict(), "classifier.0.weight": torch.zeros(1)}, path)
    ours = build_encoder({"encoder": "vgg16", "width": 2, "weights": str(path)}, 3)
    assert torch.equal(ours.features[28].weight, theirs.features[28].weight)
    heard = build_encoder({"encoder": "vgg16", "width": 2, "weights": str(path)}, 1)
    torch.testing.assert_close(heard.features[0].weight, theirs.features[0].weight.sum(1, keepdim=True))
    with pytest.raises(CheckpointError, match="of another shape"):
        build_encoder({"encoder": "vgg16", "width": 4, "weights": str(path)}, 3)


def test_vggish_refuses_what_it_was_not_made_for() -> None:
    small = {"encoder": "vggish", "width": 2, "hidden": 8}
    picture = {"encoder": "vgg16", "width": 2}
    with pytest.raises(RecipeError, match=r"found audio with n_fft 512, expected 400; .* preset 'vggish'"):
        create("ezvsl", image=picture, audio=small)
    with pytest.raises(RecipeError, match="takes audio and was given for images"):
        create("ezvsl", image=small)
    spec = PRESETS["vggish"]
    short = replace(spec, audio=replace(spec.audio, seconds=0.96))
    with pytest.raises(RecipeError, match="found spectrograms of 64 x 94, expected 64 bands and at least the 96"):
        create("ezvsl", image=picture, audio=small, front_end=short)
    assert create("ezvsl", image=picture, audio=small, front_end=spec).config["audio"]["hidden"] == 8
