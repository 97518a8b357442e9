"""HuBERT from a configuration: nothing is fetched, a frame each 20 ms."""

import sys

import pytest
import torch

from soundspot.errors import RecipeError
from soundspot.models.encoders import build_encoder
from soundspot.models.hubert import HuBERT
from tiny import DENSEAV

pytest.importorskip("transformers", reason="the extra `hub` is not installed")
SMALL = {"encoder": "hubert", **DENSEAV["audio"]}


@pytest.fixture(scope="module")
def encoder() -> HuBERT:
    encoder = build_encoder(SMALL, 1).eval()
    assert isinstance(encoder, HuBERT)
    return encoder


@pytest.mark.parametrize("samples", [400, 719, 720, 8_000])
@torch.no_grad()
def test_frames_are_counted_without_computing_them(samples: int, encoder: HuBERT) -> None:
    features = encoder(torch.randn(1, 1, 2, samples))
    assert features.shape == (1, encoder.channels, 1, encoder.count_frames(samples))
    assert encoder.count_frames(samples) == (samples - 400) // 320 + 1


@torch.no_grad()
def test_the_mask_is_no_input(encoder: HuBERT) -> None:
    audio = torch.randn(1, 1, 2, 800)
    other = audio.clone()
    other[:, :, 1] = 0
    assert torch.equal(encoder(audio), encoder(other))


def test_without_the_extra_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RecipeError, match=r'needs transformers; install it with `pip install "soundspot\[hub\]"`'):
        build_encoder(SMALL, 1)
