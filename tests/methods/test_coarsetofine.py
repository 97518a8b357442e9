"""CoarseToFine against its facts written out in loops, and what a reader would doubt."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from soundspot.config.checkpoint import load_checkpoint, save_checkpoint
from soundspot.config.frontend import PRESETS
from soundspot.data.transforms.spectrogram import spectrogram
from soundspot.errors import RecipeError
from soundspot.losses.classes import balanced_pair_bce, class_margin_loss, multilabel_bce
from soundspot.losses.contrastive import unit_norm
from soundspot.methods import Method, create
from soundspot.methods.coarsetofine import CoarseToFine
from soundspot.models.heads import ClassPooling, PairHead
from soundspot.types import Batch

Toy, Clips = Callable[..., Method], Callable[..., Batch]
K = 3


def made(toy: Toy, **options: object) -> CoarseToFine:
    method = toy("coarsetofine", **{"classes": K, **options})
    assert isinstance(method, CoarseToFine)
    return method


def with_labels(batch: Batch) -> Batch:
    torch.manual_seed(3)
    return replace(batch, labels=torch.rand(2, batch.images.shape[1], K))


# Losses, in loops.


def test_labels_are_judged_class_by_class() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 4, K), torch.rand(4, K)
    labels[1] = torch.nan
    total = 0.0
    for view in range(2):
        terms = []
        for b in (0, 2, 3):
            for k in range(K):
                p, y = 1 / (1 + math.exp(-logits[view, b, k])), float(labels[b, k])
                terms.append(-y * math.log(p) - (1 - y) * math.log(1 - p))
        total += sum(terms) / len(terms)
    assert multilabel_bce(logits, labels).item() == pytest.approx(total, rel=1e-5)
    assert multilabel_bce(logits, torch.full_like(labels, torch.nan)).item() == 0


def test_pairs_of_one_clip_weigh_as_much_as_all_others() -> None:
    torch.manual_seed(0)
    both = torch.randn(5, 5, 2)
    truth = torch.eye(5, dtype=torch.long).flatten()
    each = F.cross_entropy(both.flatten(0, 1), truth, reduction="none")
    expected = each[truth == 1].mean() / 2 + each[truth == 0].mean() / 2
    torch.testing.assert_close(balanced_pair_bce(both[..., 1] - both[..., 0]), expected)
    assert balanced_pair_bce(torch.zeros(1, 1)).item() == pytest.approx(math.log(2) / 2)


def distances_by_hand(seen: Tensor, heard: Tensor, shown: Tensor, sounding: Tensor, alike: Tensor | None) -> float:
    near, far = [], []
    for i in range(len(seen)):
        for k in range(K):
            for j in range(len(seen)):
                for l in range(K):  # noqa: E741
                    if not (shown[i, k] and sounding[j, l]):
                        continue
                    apart = 2 - 2 * float(seen[i, k] @ heard[j, l])
                    if i == j and k == l:
                        near.append(apart)
                    elif not (alike is not None and alike[i, j] and k == l):
                        far.append(max(0.0, 1.4 - math.sqrt(max(apart, 1e-6))) ** 2)
    return sum(near) / max(1, len(near)) + sum(far) / max(1, len(far))


@pytest.mark.parametrize("known", [False, True])
def test_distances_of_classes_are_those_of_every_pair(known: bool) -> None:
    torch.manual_seed(0)
    seen, heard = unit_norm(torch.randn(4, K, 5)), unit_norm(torch.randn(4, K, 5))
    shown, sounding = torch.rand(4, K) > 0.4, torch.rand(4, K) > 0.4
    alike = torch.rand(4, 4) > 0.5 if known else None
    expected = distances_by_hand(seen, heard, shown, sounding, alike)
    assert class_margin_loss(seen, heard, shown, sounding, 1.4, alike).item() == pytest.approx(expected, rel=1e-5)
    none = torch.zeros_like(shown)
    assert class_margin_loss(seen, heard, none, sounding).item() == 0


def test_where_vectors_are_the_same_the_gradient_is_finite() -> None:
    """The root of a distance has an infinite slope at 0, and rounding brings distances below it."""
    torch.manual_seed(0)
    raw = torch.randn(1, 1, 64).expand(6, K, 64).clone().requires_grad_()
    vectors, there = unit_norm(raw), torch.ones(6, K, dtype=torch.bool)
    loss = class_margin_loss(vectors, vectors, there, there)
    loss.backward()
    assert raw.grad is not None
    assert torch.isfinite(loss)
    assert torch.isfinite(raw.grad).all()
    assert loss.item() == pytest.approx((1.4 - 1e-3) ** 2, rel=1e-2)


def test_gradients_of_every_loss() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 3, K, dtype=torch.float64, requires_grad=True)
    labels = torch.rand(3, K, dtype=torch.float64)
    labels[0] = torch.nan
    assert torch.autograd.gradcheck(lambda x: multilabel_bce(x, labels), (logits,))
    square = torch.randn(2, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(balanced_pair_bce, (square,))
    seen, heard = (torch.randn(3, K, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    there = torch.rand(2, 3, K) > 0.2
    assert torch.autograd.gradcheck(lambda s, h: class_margin_loss(unit_norm(s), unit_norm(h), *there), (seen, heard))


# The networks.


@torch.no_grad()
def test_a_class_pools_the_places_that_are_active_for_it() -> None:
    torch.manual_seed(0)
    head, grid = ClassPooling(5, K), torch.randn(2, 5, 3, 4)
    logits, pooled = head(grid)
    torch.testing.assert_close(logits, F.conv2d(grid.mean((2, 3), keepdim=True), head.scores.weight).flatten(1))
    for b in range(2):
        for k in range(K):
            weights = F.relu((head.scores.weight[k, :, 0, 0, None, None] * grid[b]).sum(0))
            expected = (grid[b] * weights).sum((1, 2)) / (weights.sum() + 1e-10)
            torch.testing.assert_close(pooled[b, k], expected)


def test_activation_maps_have_no_gradient_of_what_they_pool() -> None:
    head, grid = ClassPooling(5, K), torch.randn(2, 5, 3, 4)
    head(grid)[0].sum().backward()
    assert head.scores.weight.grad is not None
    assert head.scores.weight.grad.abs().max() > 0
    assert not head(grid)[1].requires_grad


@torch.no_grad()
def test_all_pairs_are_judged_as_if_side_by_side() -> None:
    torch.manual_seed(0)
    head, pictures, sounds = PairHead(5, 4, 6), torch.randn(2, 3, 5), torch.randn(1, 3, 4)
    found = head(pictures, sounds)
    weight = torch.cat([head.image.weight, head.audio.weight], dim=1)
    for v in range(2):
        for i in range(3):
            for j in range(3):
                hidden = F.relu(weight @ torch.cat([pictures[v, i], sounds[0, j]]) + head.image.bias)
                no, yes = head.classifier(hidden)
                torch.testing.assert_close(found[v, 0, i, j], yes - no)


@torch.no_grad()
def test_a_map_is_the_mean_of_the_classes_that_are_heard(toy: Toy, clips: Clips) -> None:
    method, batch = made(toy).eval(), clips()
    grids, codes = method.encode_images(batch.images[0]), method.encode_audio(batch.audio[0])
    codes[..., -1] = torch.tensor([[0.1, 0.2, 0.05], [0.9, 0.4, 0.1], [0.3, 0.1, 0.2], [0.31, 0.5, 0.6]])
    maps, heard = method.locate_sources(grids, codes)
    assert heard.tolist() == [[False, True, False], [True, True, False], [True, False, False], [True] * 3]
    found = method.similarity_map(grids, codes)
    for b in range(4):
        total, weight = torch.zeros(4, 4), 0.0
        for k in range(K):
            cosine = F.relu((grids[b] * codes[b, k, :-1, None, None]).sum(0))
            torch.testing.assert_close(maps[b, k], cosine)
            if heard[b, k]:
                total, weight = total + codes[b, k, -1] * cosine, weight + float(codes[b, k, -1])
        torch.testing.assert_close(found[b], total / weight)


# What holds of it anywhere.


def test_stages_follow_the_run_and_travel_in_the_checkpoint(toy: Toy, clips: Clips, tmp_path: Path) -> None:
    method, batch = made(toy, fine_stage_start=0.4), with_labels(clips())
    for progress, terms in (
        (0.0, {"image_classes", "audio_classes", "pairs"}),
        (0.39, {"image_classes", "audio_classes", "pairs"}),
        (0.4, {"image_classes", "audio_classes", "pairs", "fine"}),
    ):
        method.on_train_step_start(progress)
        assert set(method.losses(batch)) == terms
    save_checkpoint(method.eval(), tmp_path / "one.safetensors")
    again, _ = load_checkpoint(tmp_path / "one.safetensors")
    assert set(again.losses(batch)) == {"image_classes", "audio_classes", "pairs", "fine"}


def test_views_are_summed_over_and_what_is_not_labelled_costs_nothing(toy: Toy, clips: Clips) -> None:
    method, batch = made(toy, fine_stage_start=0.0).eval(), with_labels(clips())
    method.on_train_step_start(0.0)
    twice = replace(batch, images=batch.images.expand(2, -1, -1, -1, -1), audio=batch.audio.expand(2, -1, -1, -1, -1))
    once, more = method.losses(batch), method.losses(twice)
    for name, factor in {"image_classes": 2, "audio_classes": 2, "pairs": 4, "fine": 4}.items():
        assert more[name].item() == pytest.approx(factor * once[name].item(), rel=1e-4), name
    unknown = method.losses(replace(batch, labels=torch.full((2, 4, K), torch.nan)))
    assert unknown["image_classes"].item() == unknown["audio_classes"].item() == 0
    assert method.losses(replace(batch, labels=None))["image_classes"].item() == 0


def test_labels_that_are_missing_or_of_other_classes_are_told(toy: Toy, clips: Clips) -> None:
    method, batch = made(toy).train(), clips()
    with pytest.raises(RecipeError, match=r"labels\.source: .*the batch has none; give a source"):
        method.losses(replace(batch, labels=None))
    with pytest.raises(RecipeError, match=r"method\.classes: found 3, and the labels have 5 classes"):
        method.losses(replace(batch, labels=torch.zeros(2, 4, 5)))
    with pytest.raises(RecipeError, match=r"method\.fine_stage_start: found 1.5, expected a fraction"):
        create("coarsetofine", fine_stage_start=1.5)


def test_the_front_end_is_the_released_one() -> None:
    """Five seconds at 22,050 Hz: 64 bands of 251 moments; the loudest sample is 1 whatever the recording's gain."""
    spec = PRESETS["coarsetofine"].audio
    x = torch.from_numpy(np.random.RandomState(0).standard_normal((1, 110250)))
    found = spectrogram(x, spec, 22050)
    assert found.shape == (1, 1, *spec.shape) == (1, 1, 64, 251)
    torch.testing.assert_close(spectrogram(0.01 * x, spec, 22050), found)
    silent = spectrogram(torch.zeros(1, 110250), spec, 22050)
    torch.testing.assert_close(silent, torch.full_like(silent, math.log(np.spacing(1))))
