"""EZ-VSL and its descendants: what a margin, a reducer and dropout do, and when FNAC's terms set in."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import nn

from soundspot.data.datasets.registry import open_dataset
from soundspot.errors import RecipeError
from soundspot.losses.contrastive import map_similarity
from soundspot.losses.extents import absence_loss
from soundspot.losses.false_negatives import false_negative_losses
from soundspot.methods import Method
from soundspot.training.datamodule import uses_ground_truth
from soundspot.types import Batch

Toy, Clips = Callable[..., Method], Callable[..., Batch]
FNAC = ("false_negatives_audio", "true_negatives", "false_negatives_image")


def best_places(method: Method, batch: Batch) -> torch.Tensor:
    """Similarity (b, b) of pictures, by their best place, and sounds."""
    grids, vectors = method.encode(batch)
    return torch.einsum("ichw,jc->ijhw", grids[0].double(), vectors[0].double()).amax(dim=(-2, -1))


@torch.no_grad()
def test_marginnce_is_its_formula(toy: Toy, clips: Clips) -> None:
    batch, method = clips(), toy("marginnce", margin=-0.3).eval()
    powers = torch.exp((best_places(method, batch) + 0.3 * torch.eye(4, dtype=torch.float64)) / 0.07)
    expected = -torch.log(powers.diagonal() / powers.sum(dim=-1)).mean()
    assert method.losses(batch)["contrast"].item() == pytest.approx(expected.item(), rel=1e-4)


@torch.no_grad()
def test_marginnce_is_ezvsl_with_a_margin(toy: Toy, clips: Clips) -> None:
    batch = clips()
    ours = toy("marginnce").eval().losses(batch)["contrast"]
    plain, same = (
        toy("ezvsl", tau=0.07, symmetric=False, margin=m).eval().losses(batch)["contrast"] for m in (0.0, -0.2)
    )
    assert ours < 0.9 * plain
    assert torch.equal(ours, same)


@torch.no_grad()
def test_ezvsl_asks_both_ways_unless_told_otherwise(toy: Toy, clips: Clips) -> None:
    batch = clips()
    logits, own = best_places(toy("ezvsl").eval(), batch) / 0.03, torch.arange(4)
    across, back = (nn.functional.cross_entropy(x, own).item() for x in (logits, logits.T))
    both, one = (toy("ezvsl", symmetric=s).eval().losses(batch)["contrast"].item() for s in (True, False))
    assert (both, one) == pytest.approx((across + back, across), rel=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("reducer", ["mean", "max", "softmax", "trimap"])
def test_a_picture_is_judged_by_the_reducer_it_is_told(reducer: str, toy: Toy, clips: Clips) -> None:
    batch, method = clips(), toy("ezvsl", reducer=reducer, sharpness=3.0, symmetric=False).eval()
    similarity = map_similarity(*method.encode(batch), reducer, 3.0)[0, 0]  # type: ignore[arg-type]
    expected = nn.functional.cross_entropy(similarity / 0.03, torch.arange(4))
    torch.testing.assert_close(method.losses(batch)["contrast"], expected)


@torch.no_grad()
@pytest.mark.parametrize("name", ["ezvsl", "marginnce", "fnac", "slavc"])
def test_dropout_takes_its_share_of_the_pictures_features_in_training(name: str, toy: Toy, clips: Clips) -> None:
    batch, method = clips(b=8), toy(name, dropout=0.7)
    seen: list[torch.Tensor] = []
    projection = method.identification.image if name == "slavc" else method.space.image
    assert isinstance(projection, nn.Module)
    projection.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    for training in (True, False):
        method.train(training).losses(batch)
        whole, kept = method.image_encoder(batch.images[0]), seen.pop()
        share = ((kept != 0).sum() / (whole != 0).sum()).item()
        assert share == pytest.approx(0.3 if training else 1.0, abs=0.03)
        stayed = kept != 0
        torch.testing.assert_close(kept[stayed], whole[stayed] / (0.3 if training else 1.0))


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
def test_the_terms_of_fnac_set_in_after_its_warm_up_and_hold_out_sets_always_have_them(
    training: bool, toy: Toy, clips: Clips
) -> None:
    batch, method = (
        clips(),
        toy("fnac", dropout=0.0, warmup=0.25, weights=[2.0, 3.0, 5.0], foreground_threshold=0.5).train(training),
    )
    extra = false_negative_losses(*method.encode(batch), tau=0.03, foreground_threshold=0.5)
    alone = toy("ezvsl").train(training).losses(batch)["contrast"]
    for progress, warm in ((0.0, True), (0.24, True), (0.25, False), (1.0, False)):
        method.on_train_step_start(progress)
        terms = method.losses(batch)
        assert torch.equal(terms.pop("contrast"), alone)
        assert terms.keys() == (set() if training and warm else set(FNAC)), progress
        for name, weight, term in zip(FNAC, (2.0, 3.0, 5.0), extra, strict=True):
            if name in terms:
                torch.testing.assert_close(terms[name], weight * term)
                assert terms[name] > 1e-3


def marked(batch: Batch) -> Batch:
    """The batch with the upper left quarter of its first two images annotated."""
    ground_truth = torch.full((len(batch.images), 4, 16, 16), torch.nan)
    ground_truth[:, :2] = 0.0
    ground_truth[:, :2, :8, :8] = 1.0
    return replace(batch, ground_truth=ground_truth)


@pytest.mark.parametrize("name", ["ezvsl", "marginnce", "fnac"])
def test_extents_are_learned_with_a_weight_alone(name: str, toy: Toy, clips: Clips) -> None:
    batch = marked(clips())
    blind, method = toy(name).eval(), toy(name, ground_truth_weight=0.5).eval()
    assert (blind.supports_ground_truth, method.supports_ground_truth) == (False, True)
    assert method.state_dict().keys() - blind.state_dict().keys() == {"extent_offset", "extent_log_width"}
    terms, plain = method.losses(batch), blind.losses(batch)
    assert all(torch.equal(terms[key], value) for key, value in plain.items())
    assert terms.keys() - plain.keys() == {"extent"}
    double = toy(name, ground_truth_weight=1.0).eval().losses(batch)["extent"]
    assert double.item() == pytest.approx(2 * terms["extent"].item())
    assert "extent" not in method.losses(replace(batch, ground_truth=None))


def test_learning_extents_puts_the_map_on_the_annotation(toy: Toy, clips: Clips) -> None:
    batch, method = marked(clips()), toy("ezvsl", ground_truth_weight=1.0).train()
    before = None
    optimizer = torch.optim.Adam(method.parameters(), lr=3e-2)
    for _ in range(6):
        loss = method.losses(batch)["extent"]
        before = before or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.9 * before
    assert method.extent_offset.item() != pytest.approx(0.3)


def test_negative_sounds_have_empty_maps(toy: Toy, clips: Clips) -> None:
    rows = torch.tensor([[1, 2, 3, 0]])
    batch = replace(clips(), negatives=rows)
    assert toy("ezvsl").negative_losses(batch, 0.07).keys() == {"negatives"}
    method = toy("ezvsl", ground_truth_weight=2.0)
    terms = method.negative_losses(batch, 0.07)
    _, maps, is_negative = method.negative_maps(batch)
    expected = 2 * absence_loss(maps, is_negative, torch.tensor(0.3), torch.tensor(0.1))
    torch.testing.assert_close(terms["absence"], expected)
    with pytest.raises(RecipeError, match=r"ground_truth_weight: found -1\.0, expected 0 or more"):
        toy("ezvsl", ground_truth_weight=-1.0)


def test_a_weight_without_ground_truth_is_refused(toy: Toy) -> None:
    data, own = (open_dataset("scenes", length=2, **options) for options in ({}, {"train_ground_truth": "own"}))
    assert uses_ground_truth(toy("ezvsl", ground_truth_weight=1.0), own)
    with pytest.raises(RecipeError, match=r"method\.ground_truth_weight: .*give `train_ground_truth: own`"):
        uses_ground_truth(toy("ezvsl", ground_truth_weight=1.0), data)
    with pytest.raises(RecipeError, match="'ezvsl' cannot learn from ground truth"):
        uses_ground_truth(toy("ezvsl"), own)
