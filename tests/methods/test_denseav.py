"""DenseAV against its released code (examples/compare_denseav.py), and what its tokens of time are good for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from conftest import ROOT
from released import Case, golden_case, inputs_of
from soundspot.config.checkpoint import load_checkpoint, save_checkpoint
from soundspot.config.inspect_checkpoint import inspect_checkpoint
from soundspot.errors import RecipeError
from soundspot.importers import import_checkpoint
from soundspot.methods import create, list_methods
from soundspot.methods.denseav import BLUR, DenseAV
from tiny import DENSEAV, denseav_front_end

pytest.importorskip("transformers", reason="the extra `hub` is not installed")
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def case() -> Case:
    return golden_case(ROOT / "tests" / "golden", "denseav", "denseav")


@pytest.fixture(scope="module")
def released(case: Case) -> DenseAV:
    hyper_parameters = case.read("inputs.json")["hyper_parameters"]
    method = import_checkpoint({"state_dict": case.state(), "hyper_parameters": hyper_parameters}, "denseav")
    assert isinstance(method, DenseAV)
    return method


def build(preset: str = "denseav", seconds: float = 1.0, **options: Any) -> DenseAV:
    torch.manual_seed(0)
    method = create("denseav", front_end=denseav_front_end(seconds, preset), **DENSEAV | options)
    assert isinstance(method, DenseAV)
    return method.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def tiny() -> DenseAV:
    return build(heads=2, class_token=True)


def sounds(*lengths: int, samples: int = 16_000) -> Tensor:
    """(b, 1, 2, samples): noise of those lengths, and zeros behind it."""
    torch.manual_seed(2)
    mask = (torch.arange(samples) < torch.tensor(lengths)[:, None]).float()
    return torch.stack([0.1 * torch.randn(len(lengths), samples) * mask, mask], dim=1)[:, None]


@pytest.mark.parametrize("image", ["image", "wide"])
@torch.no_grad()
def test_features_and_maps_are_those_of_the_released_code(image: str, case: Case, released: DenseAV) -> None:
    """LoRA merged by hand there and by the importer here; two heads, class tokens, positions that are interpolated."""
    theirs = {name.partition("/")[2]: x for name, x in case.arrays().items() if name.startswith(f"{image}/")}
    x = inputs_of(case.read("inputs.json")["inputs"])
    mask = torch.ones_like(x["audio"])
    whole = released.encode_audio(torch.stack([x["audio"], mask], dim=1)[:, None])
    mask[1, mask.shape[1] // 2 :] = 0
    audio = torch.stack([x["audio"], mask], dim=1)[:, None]
    images, encoded = released.encode_images(x[image]), released.encode_audio(audio)

    def check(ours: Tensor, name: str) -> None:  # theirs, of another processor, are 1.2e-5 off in double precision
        torch.testing.assert_close(ours, theirs[name], rtol=0, atol=3e-5 * float(theirs[name].abs().max()))

    features, cls = released.image_aligner(*released.image_encoder.encode(x[image]))
    check(features, "image_feats")
    check(cls, "image_cls")
    heads = encoded[..., :-1].unflatten(-1, (2, -1))  # of each head five channels, and five of the class token
    check(heads[..., :5].flatten(-2).mT[:, :, None], "audio_feats")
    check(heads[:, 0, :, 5:].flatten(-2), "audio_cls")
    check(released.similarity_map(images, encoded), "mean_map")
    check(released.scores(images, encoded), "score")
    for n in range(5):
        moment = released.audio_at(whole, torch.full((2,), (n + 0.5) / 5))
        torch.testing.assert_close(
            released.locate_sources(images, moment)[0],
            theirs["by_head"][..., n],
            rtol=0,
            atol=1e-5 * float(theirs["by_head"].abs().max()),
        )
        torch.testing.assert_close(
            released.similarity_map(images, moment), theirs["moments"][..., n], rtol=1e-4, atol=1e-3
        )


def test_padding_has_no_weight(tiny: DenseAV) -> None:
    weights = tiny.encode_audio(sounds(16_000, 8_000, 10))[..., -1]
    assert weights.sum(1).tolist() == pytest.approx([1, 1, 1])
    assert [int(row.count_nonzero()) for row in weights] == [5, 3, 1]


def test_a_sound_that_is_not_padded_is_encoded_as_it_is_alone() -> None:
    """As the demo: its features do not depend on the window, nor on the batch."""
    method = build("denseav@demo")
    both = method.encode_audio(sounds(16_000, 8_000))
    alone = method.encode_audio(sounds(16_000, 8_000)[1:, ..., :8_000])
    assert both.shape[1:] == (5, 13)
    assert alone.shape[1:] == (2, 13)
    torch.testing.assert_close(both[1:, :2], alone)
    assert not both[1, 2:].any()
    padded = build().encode_audio(sounds(16_000, 8_000))
    assert not torch.allclose(padded[1, :2], both[1, :2], atol=1e-4)
    assert method.encode_audio(sounds(16_000, 1))[1, :, -1].tolist() == [1, 0, 0, 0, 0]


def test_a_moment_is_the_mean_of_three_tokens(tiny: DenseAV) -> None:
    encoded = tiny.encode_audio(sounds(16_000, 8_000))
    first, inside = tiny.audio_at(encoded, torch.tensor([0.0, 0.5]))[:, 0, :-1]
    side, middle, _ = BLUR
    tokens = encoded[..., :-1]
    torch.testing.assert_close(first, (side + middle) * tokens[0, 0] + side * tokens[0, 1])
    torch.testing.assert_close(inside, side * tokens[1, 0] + middle * tokens[1, 1] + side * tokens[1, 2])
    last = tiny.audio_at(encoded, torch.tensor([1.0, 1.0]))[1, 0]
    torch.testing.assert_close(last[:-1], side * tokens[1, 1] + (middle + side) * tokens[1, 2])
    assert last[-1] == 1


def test_maps_take_the_larger_head_of_each_token(tiny: DenseAV) -> None:
    torch.manual_seed(3)
    images, encoded = tiny.encode_images(torch.randn(2, 3, 32, 48)), tiny.encode_audio(sounds(16_000, 8_000))
    maps, is_audible = tiny.locate_sources(images, encoded)
    assert maps.shape == (2, 2, 4, 6)
    assert is_audible.all()
    mean = tiny.similarity_map(images, encoded)
    assert (mean >= maps.amax(1) - 1e-5).all()
    assert (mean > maps.amax(1) + 1e-5).any()
    assert tiny.saliency(images).max() <= 2 + 1e-5
    assert tiny.embed_audio(sounds(16_000, 8_000)).norm(dim=1).tolist() == pytest.approx([1, 1])
    clamped = build(non_negative=True)
    images = clamped.encode_images(torch.randn(2, 3, 32, 32))
    assert clamped.similarity_map(images, clamped.encode_audio(sounds(16_000, 8_000))).min() >= 0


def test_it_is_saved_and_loaded_and_not_trained(tiny: DenseAV, tmp_path: Path) -> None:
    save_checkpoint(tiny, tmp_path / "a.safetensors")
    loaded, _ = load_checkpoint(tmp_path / "a.safetensors")
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(loaded.maps(image, sounds(9_000)), tiny.maps(image, sounds(9_000)))
    assert loaded.front_end == tiny.front_end
    summary = inspect_checkpoint(tmp_path / "a.safetensors").format_summary()
    assert "sound       1 s (first) at 16000 Hz, waveform\n" in summary
    assert "image       dino (" in summary
    assert "denseav" not in list_methods()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: build(heads=5), r"found 12 with 5 heads, expected a multiple"),
        (lambda: build(seconds=0.1), r"windows of 0.1 s have no audio token"),
        (lambda: build(seconds=0.01), r"windows of 0.01 s, shorter than one of its frames"),
        (lambda: build(image={"encoder": "resnet18"}), r"has the encoders `dino` and `hubert`"),
        (lambda: build(image={**DENSEAV["image"], "heads": 7}), r"found width 64 and 7 heads"),
        (lambda: build(audio={"config": {"hidden_sizes": 64}}), r"has no 'hidden_sizes'. Did you mean 'hidden_size'\?"),
        (lambda: build(audio={"config": {"hidden_size": 65}}), r"encoder 'hubert' cannot be built from"),
        (lambda: create("ezvsl", image={"encoder": "hubert"}), r"takes audio and was given for images"),
        (lambda: create("ezvsl", audio={"encoder": "dino"}), r"takes images and was given for audio"),
        (
            lambda: create("ezvsl", audio={"encoder": "hubert", **DENSEAV["audio"]}),
            r"its front end is the preset 'hubert'",
        ),
    ],
)
def test_what_does_not_fit_is_told(make: Callable[[], DenseAV], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        make()


def test_sounds_of_other_durations_are_alike(tiny: DenseAV) -> None:
    token = torch.randn(4)
    long, short = torch.zeros(2, 6, 5)
    long[:], short[:2] = torch.cat([token, torch.tensor([1 / 6])]), torch.cat([token, torch.tensor([1 / 2])])
    torch.testing.assert_close(tiny.pool_audio(torch.stack([long, short])), torch.stack([token, token]))
