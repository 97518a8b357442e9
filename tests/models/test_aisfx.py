"""aiSFX: blocks and features in time, its front end, and numbers of the released weights."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from soundspot.config.frontend import PRESETS
from soundspot.data.transforms.spectrogram import spectrogram
from soundspot.errors import RecipeError
from soundspot.methods import create
from soundspot.models.aisfx import AISFX
from soundspot.models.encoders import build_encoder

pytestmark = pytest.mark.usefixtures("one_thread")

# The package aisfx 0.1.2 with its weights, on the two blocks of `probe(150)`: every 200th value of five, and the mean.
RELEASED = [1.17011, 0.40538, 2.91507, 2.81444, 0.33275], 2.766608


def probe(frames: int) -> Tensor:
    n = torch.arange(96 * frames, dtype=torch.float64)
    return ((torch.sin(0.37 * n) + torch.cos(0.011 * n)).float() / 4 + 0.5).reshape(1, 1, 96, frames)


@torch.no_grad()
def test_released_weights_give_the_released_numbers() -> None:
    if not AISFX.public.path.is_file():
        pytest.skip("the weights are absent: `soundspot models fetch aisfx`")
    options = {"encoder": "aisfx", "weights": "pretrained", "trained": 0, "width": None}
    flat = build_encoder(options, 1).train()(probe(150))[0, :, 0].T.flatten()
    torch.testing.assert_close(flat[::200][:5], torch.tensor(RELEASED[0]), rtol=0, atol=1e-4)
    assert float(flat.mean()) == pytest.approx(RELEASED[1], abs=1e-4)


@torch.no_grad()
def test_blocks_are_fifty_frames_apart() -> None:
    encoder = AISFX(width=None).eval()
    x = torch.rand(2, 1, 96, 230)
    features = encoder(x)
    assert features.shape == (2, 512, 1, 3)
    for block in range(3):
        alone = encoder(x[..., 50 * block : 50 * block + 100])
        torch.testing.assert_close(features[..., block : block + 1], alone, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_short_sounds_are_padded_with_zeros() -> None:
    encoder = AISFX(width=None).eval()
    x = torch.rand(1, 1, 96, 3)
    padded = torch.nn.functional.pad(x, (0, 97))
    torch.testing.assert_close(encoder(x), encoder(padded), rtol=0, atol=0)


@torch.no_grad()
def test_a_feature_every_eight_frames() -> None:
    encoder, blocks = AISFX(pooling="none", width=None).eval(), AISFX(width=None).eval()
    blocks.load_state_dict(encoder.state_dict())
    x = torch.rand(2, 1, 96, 100)
    features = encoder(x)
    assert features.shape == (2, 512, 1, 12)
    assert encoder(torch.rand(1, 1, 96, 431)).shape == (1, 512, 1, 53)
    torch.testing.assert_close(features.amax(-1, keepdim=True), blocks(x))
    late = x.clone()
    late[..., 90:] = 0  # what comes late moves late features alone
    change = (encoder(late) - features).abs().amax(dim=(0, 1, 2))
    assert bool((change[:6] == 0).all())
    assert bool(change[-1] > 0)


def test_the_front_end_written_out() -> None:
    spec = replace(PRESETS["aisfx"].audio, seconds=0.5)
    x = np.random.RandomState(0).standard_normal(22050)
    ours = spectrogram(torch.from_numpy(x)[None], spec, 44100)[0, 0].numpy()
    assert ours.shape == spec.shape == (96, 22)
    padded = np.pad(x / np.abs(x).max(), 1024)
    taper = 0.5 - 0.5 * np.cos(2 * np.pi / 2048 * np.arange(2048))
    frequencies = np.linspace(0, 22050, 1025)
    edges = 700 * (10 ** (np.linspace(0, 2595 * math.log10(1 + 22050 / 700), 98) / 2595) - 1)
    for frame in (0, 10, 21):
        power = np.abs(np.fft.rfft(padded[1024 * frame : 1024 * frame + 2048] * taper)) ** 2
        for band in (0, 40, 95):
            triangle = np.interp(frequencies, edges[band : band + 3], [0, 1, 0])
            expected = math.log10(1 + 10000 * (triangle / triangle.sum()) @ power) / 9.457798957824707
            assert ours[band, frame] == pytest.approx(expected, abs=1e-6)


def test_silence_is_zero_and_loudness_does_not_matter() -> None:
    spec = replace(PRESETS["aisfx"].audio, seconds=0.5)
    x = torch.randn(1, 22050)
    assert not spectrogram(torch.zeros(1, 22050), spec, 44100).any()
    torch.testing.assert_close(spectrogram(0.01 * x, spec, 44100), spectrogram(x, spec, 44100))


def test_what_it_cannot_take() -> None:
    with pytest.raises(RecipeError, match="takes audio and was given for images"):
        build_encoder({"encoder": "aisfx"}, 3)
    with pytest.raises(RecipeError, match="found spectrograms of 64 x 100, expected 96 bands and at least 1 frames"):
        AISFX()(torch.zeros(1, 1, 64, 100))
    with pytest.raises(RecipeError, match="found spectrograms of 96 x 7, expected 96 bands and at least 8 frames"):
        AISFX(pooling="none")(torch.zeros(1, 1, 96, 7))
    image = {"encoder": "resnet", "blocks": [1], "strides": [2], "width": 4}
    with pytest.raises(RecipeError, match=r"'aisfx': found audio with rate 16000, expected 44100; .* preset 'aisfx'"):
        create("ezvsl", image=image, audio={"encoder": "aisfx"})
    front_end = replace(PRESETS["ezvsl"], audio=PRESETS["aisfx"].audio)
    assert create("ezvsl", image=image, audio={"encoder": "aisfx"}, front_end=front_end).config["audio"]["width"] == 512
