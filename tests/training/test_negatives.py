"""Silence, noise and off-screen sounds as negatives of every method: what is drawn, and what is learned from it."""

from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
import torch

import soundspot
from soundspot.config.frontend import AudioSpec
from soundspot.config.load import read_recipe
from soundspot.config.schema import FrontEndConfig, NegativesConfig, Recipe, TrainConfig, ViewsConfig
from soundspot.data.transforms.spectrogram import silence_value, spectrogram
from soundspot.errors import RecipeError
from soundspot.methods import METHODS, create
from soundspot.training.clip_reader import ClipReader, SampleRequest
from soundspot.training.datamodule import FalseNegativeMask
from soundspot.training.lightning_module import LocalizationModule
from soundspot.training.negatives import NOISES_PER_BATCH, NegativeSounds, add_negatives, check_negatives
from soundspot.types import Batch
from toys import clips, toy

pytestmark = pytest.mark.usefixtures("one_thread")

ALL = NegativesConfig(silence=True, noise=True, offscreen=1)
SPEC = AudioSpec(seconds=0.5)
SMALL = {"encoder": "resnet", "blocks": [1], "strides": [2], "width": 8}


def batch_of(b: int, **options: Any) -> Batch:
    rate = SPEC.rate or 16000
    times = torch.arange(round(SPEC.seconds * rate)) / rate
    tones = torch.stack([torch.sin(1000.0 * (n + 1) * times) for n in range(b)])
    audio = spectrogram(tones, SPEC, rate)
    return Batch(torch.rand(1, b, 3, 32, 32), audio[None], torch.arange(b) + 5, **options)


def test_each_kind_is_a_row_of_the_own_sounds_or_of_the_added_ones() -> None:
    batch = add_negatives(batch_of(12), 0, ALL, NegativeSounds(SPEC, 3))
    assert batch.negative_audio is not None
    assert batch.negatives is not None
    assert len(batch.negative_audio) == 1 + NOISES_PER_BATCH
    silence, noise, offscreen = batch.negatives
    assert (silence == 12).all()
    assert (batch.negative_audio[0] == silence_value(SPEC)).all()
    assert noise.tolist() == [13, 14, 15, 16, 17, 18, 19, 20, 13, 14, 15, 16]
    assert ((offscreen >= 0) & (offscreen < 12) & (offscreen != torch.arange(12))).all()
    levels = batch.negative_audio[1:].flatten(1).mean(1)
    assert len(levels.unique()) == NOISES_PER_BATCH
    only = add_negatives(batch_of(12), 0, NegativesConfig(offscreen=1), NegativeSounds(SPEC, 3))
    assert only.negative_audio is None
    assert only.negatives is not None
    assert torch.equal(only.negatives[0], offscreen)


def test_draws_are_of_seed_epoch_and_sample() -> None:
    def drawn(epoch: int, seed: int) -> torch.Tensor:
        batch = add_negatives(batch_of(8), epoch, ALL, NegativeSounds(SPEC, seed))
        assert batch.negative_audio is not None
        assert batch.negatives is not None
        return torch.cat([batch.negative_audio[1:].flatten(), batch.negatives[2].float()])

    assert torch.equal(drawn(1, 2), drawn(1, 2))
    assert not torch.equal(drawn(1, 2), drawn(2, 2))
    assert not torch.equal(drawn(1, 2), drawn(1, 3))


def test_stored_features_of_silence_and_noise_are_computed_once() -> None:
    packed = Mock(side_effect=lambda audio: audio.mean(dim=(2, 3), keepdim=True))
    sounds = NegativeSounds(SPEC, 3, packed)
    first, again = (sounds.inputs([-1, 5, 7], torch.device("cpu")) for _ in range(2))
    assert torch.equal(first, again)
    assert packed.call_count == 3
    plain = NegativeSounds(SPEC, 3).inputs([-1, 5, 7], torch.device("cpu"))
    torch.testing.assert_close(first, plain.mean(dim=(2, 3), keepdim=True))


def test_several_offscreen_sounds_are_different_ones() -> None:
    batch = add_negatives(batch_of(4), 0, NegativesConfig(offscreen=5), NegativeSounds(SPEC, 3))
    assert sorted(batch.negatives[:, 0].tolist()) == [-1, 1, 2, 3]  # as many as there are


def test_a_likely_false_negative_is_not_offscreen() -> None:
    names = torch.tensor([0, 0, 1, 0])
    mask = names[:, None] == names[None]
    for seed in range(8):
        batch = add_negatives(
            batch_of(4, false_negatives=mask), 0, NegativesConfig(offscreen=1), NegativeSounds(SPEC, seed)
        )
        assert batch.negatives is not None
        assert batch.negatives[0, [0, 1, 3]].tolist() == [2, 2, 2]
        assert batch.negatives[0, 2] in (0, 1, 3)
    alike = torch.ones(4, 4, dtype=torch.bool)
    batch = add_negatives(batch_of(4, false_negatives=alike), 0, NegativesConfig(offscreen=1), NegativeSounds(SPEC, 0))
    assert batch.negatives is not None
    assert (batch.negatives == -1).all()
    method = create("ezvsl", image=SMALL, audio=SMALL, width=8)
    assert method.negative_losses(batch, 0.07)["negatives"].item() == 0


FIRST = ("alignment", "joint_slots", "slavc")


@pytest.mark.parametrize(
    "name", [*FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in sorted({*METHODS} - {*FIRST}))]
)
def test_every_method_learns_from_them(name: str) -> None:
    method = toy(name).train()
    batch = clips(4)
    extra = batch.audio[0, :2] * 0.5
    rows = torch.tensor([[4, 4, 4, 4], [5, 5, 5, 5], [1, 2, 3, -1]])
    (loss,) = method.negative_losses(replace(batch, negative_audio=extra, negatives=rows), 0.07).values()
    loss.backward()
    assert torch.isfinite(loss)
    for encoder in (method.image_encoder, method.audio_encoder):
        is_frozen = not any(p.requires_grad for p in encoder.parameters())  # images in heartheflow
        assert is_frozen or any(p.grad is not None and bool(p.grad.any()) for p in encoder.parameters())


def test_what_learns_from_them_gives_silence_and_noise_lower_peaks() -> None:
    margins = []
    for weight in (0.0, 2.0):
        torch.manual_seed(0)
        method = create("ezvsl", image=SMALL, audio=SMALL, width=16, reducer="softmax").train()
        optimizer = torch.optim.Adam(method.parameters(), lr=3e-3)
        torch.manual_seed(1)
        batch = batch_of(6)
        for epoch in range(12):
            optimizer.zero_grad()
            term = method.negative_losses(add_negatives(batch, epoch, ALL, NegativeSounds(SPEC, 0)), 0.07)["negatives"]
            (method.losses(batch)["contrast"] + weight * term).backward()
            optimizer.step()
        with torch.no_grad():
            own, others, _ = method.eval().negative_maps(add_negatives(batch, 99, ALL, NegativeSounds(SPEC, 5)))
        margins.append((own.amax((-2, -1)).mean() - others[:2].amax((-2, -1)).mean()).item())
    assert margins[1] > margins[0] + 0.05, margins


def test_the_trainer_adds_their_weighted_term_and_nothing_without_them() -> None:
    data = soundspot.open_dataset("scenes", length=4, size=32, seconds=0.5)
    terms = []
    for negatives in (NegativesConfig(), replace(ALL, weight=0.5), replace(ALL, weight=1.0)):
        torch.manual_seed(0)
        front_end = FrontEndConfig("ezvsl", size=32, seconds=0.5)
        method = create("ezvsl", image=SMALL, audio=SMALL, front_end=front_end.build(), width=8)
        views = ViewsConfig(multi_view=False, semantic=False, base_view="unaugmented")
        recipe = Recipe(method={"name": "ezvsl"}, views=views, negatives=negatives, train=TrainConfig(compile="never"))
        reader = ClipReader(data, method.front_end, views, seed=0)
        raw_batch = reader.read([SampleRequest(0, i, i, i) for i in range(4)])
        module = LocalizationModule(method, recipe, Mock(spec=FalseNegativeMask), lambda index, epoch: None, 1)
        terms.append(module.compute_losses(raw_batch, lambda index, epoch: None))
    assert [*terms[0]] == ["contrast"]
    assert all(torch.equal(one["contrast"], terms[0]["contrast"]) for one in terms)
    assert terms[1]["negatives"].item() == pytest.approx(terms[2]["negatives"].item() / 2)


def test_embeddings_in_place_of_waveforms_have_no_silence() -> None:
    check_negatives(NegativesConfig(offscreen=1), replace(SPEC, embedding_dim=4))
    with pytest.raises(RecipeError, match="negatives: found silence or noise where sounds are embeddings"):
        check_negatives(NegativesConfig(noise=True), replace(SPEC, embedding_dim=4))


def test_the_recipe_reads_and_checks_them() -> None:
    assert not read_recipe("ezvsl/debug").negatives
    recipe = read_recipe("ezvsl/debug", ["--negatives.silence", "true", "--negatives.weight", "0.5"])
    assert recipe.negatives == NegativesConfig(silence=True, weight=0.5)
    with pytest.raises(RecipeError, match=r"negatives.tau: found 0.0, expected more than 0"):
        NegativesConfig(tau=0.0)
