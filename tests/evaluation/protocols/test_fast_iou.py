"""The fast way and the plain rules give the same numbers, and the corrected rule is fair."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import reference
from soundspot.evaluation import functional as F
from soundspot.evaluation.engine import baselines
from soundspot.evaluation.protocols.fast_iou import compute_overlaps
from soundspot.evaluation.protocols.presets import PROTOCOLS
from soundspot.evaluation.protocols.thresholding import (
    Scaling,
    ThresholdRule,
    count_selected,
    scale_maps,
    select_pixels,
)

CUTS = [ThresholdRule(places, ties) for places in ("half", "target") for ties in ("drop", "keep", "fill", "share")]
SIDE = 67  # odd, so that half of the pixels is no whole number; large enough for the fast way


def drawn(kind: str, n: int = 6, side: int = SIDE, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Maps of a kind and box truths, one of them empty and one full."""
    draw = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 1, 7, 7, generator=draw)
    maps = {
        "smooth": torch.nn.functional.interpolate(coarse, (side, side), mode="bilinear")[:, 0],
        "noise": torch.rand(n, side, side, generator=draw),
        "repeated": torch.nn.functional.interpolate(coarse, (side, side), mode="nearest")[:, 0],
        "few levels": (torch.rand(n, side, side, generator=draw) * 5).floor() / 4,
        "constant": torch.rand(n, 1, 1, generator=draw).expand(n, side, side) - 0.5,
        "rounds together": 1e-5 * torch.rand(n, side, side, generator=draw) ** 4 + torch.eye(side),
    }[kind]
    truths = torch.zeros(n, side, side, dtype=torch.bool)
    for truth, (x, y, w, h) in zip(truths, torch.randint(1, side // 2, (n, 4), generator=draw).tolist(), strict=True):
        truth[y : y + h, x : x + w] = True
    truths[0], truths[1] = False, True
    return maps, truths


KINDS = ["smooth", "noise", "repeated", "few levels", "constant", "rounds together"]


@pytest.mark.parametrize("scaling", ["none", "forward", "mirrored"])
@pytest.mark.parametrize("kind", KINDS)
def test_fast_and_plain_agree(kind: str, scaling: Scaling) -> None:
    maps, truths = drawn(kind)
    plain = torch.stack([F.iou(select_pixels(scale_maps(maps, scaling), truths, cut), truths) for cut in CUTS])
    fast = compute_overlaps(maps, truths, CUTS, scaling).iou
    torch.testing.assert_close(fast, plain, rtol=1e-12, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "constant"])
def test_the_released_loop_to_the_last_bit(kind: str, mirrored: bool) -> None:
    maps, truths = drawn(kind, side=64)
    with np.errstate(invalid="ignore"):
        wanted = reference.score(maps.numpy(), truths.numpy().astype(np.float64), mirrored)
    cuts = [ThresholdRule("half", "drop"), ThresholdRule("target", "drop")]
    got = compute_overlaps(maps, truths, cuts, "mirrored" if mirrored else "forward").iou.numpy()
    assert np.array_equal(got, [wanted["iou"], wanted["iou_adaptive"]], equal_nan=True)
    assert F.auc(torch.from_numpy(got[0]), "float").item() == pytest.approx(wanted["auc"], abs=1e-14)
    assert F.success_rate(torch.from_numpy(got[1])).item() == wanted["ciou_adaptive"]


def test_soft_truths_and_threads_change_nothing() -> None:
    maps, truths = drawn("smooth", n=100)
    torch.set_num_threads(2)
    cuts = PROTOCOLS["corrected"].threshold_rule, ThresholdRule("target", "share")
    whole = compute_overlaps(maps, truths, cuts).iou
    torch.testing.assert_close(compute_overlaps(maps, truths.float(), cuts).iou, whole, rtol=0, atol=0, equal_nan=True)
    parts = torch.cat(
        [compute_overlaps(m, t, cuts).iou for m, t in zip(maps.split(7), truths.split(7), strict=True)], dim=1
    )
    torch.testing.assert_close(parts, whole, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
def test_shared_ties_keep_exactly_as_many_as_asked_for(kind: str) -> None:
    maps, truths = drawn(kind)
    for cut in (ThresholdRule("half", "share"), ThresholdRule("target", "share")):
        kept = select_pixels(maps, truths, cut)
        torch.testing.assert_close(kept.double().sum(dim=(1, 2)), count_selected(truths, cut))
        assert bool(((kept >= 0) & (kept <= 1)).all())


def test_published_rules_keep_what_they_are_known_to_keep() -> None:
    """224 x 224 pixels without ties: `>` keeps 25087 and B - 1, `>=` 25088; a constant map nothing, or everything."""
    maps = torch.rand(1, 224, 224, dtype=torch.float64)
    truths = torch.zeros(1, 224, 224, dtype=torch.bool)
    truths[0, :10, :10] = True
    kept = {cut: int(select_pixels(maps, truths, cut).sum()) for cut in CUTS}
    assert kept[ThresholdRule("half", "drop")] == 25087
    assert kept[ThresholdRule("half", "keep")] == kept[ThresholdRule("half", "share")] == 25088
    assert kept[ThresholdRule("target", "drop")] == 99
    assert kept[ThresholdRule("target", "share")] == 100
    constant = torch.full((1, 224, 224), 0.25)
    assert select_pixels(constant, truths, ThresholdRule("half", "drop")).sum() == 0
    assert select_pixels(constant, truths, ThresholdRule("half", "keep")).sum() == 50176
    assert select_pixels(scale_maps(constant, "mirrored"), truths, ThresholdRule("half", "fill")).sum() == 50176
    assert select_pixels(scale_maps(-constant, "mirrored"), truths, ThresholdRule("half", "fill")).sum() == 0


def test_a_constant_map_gets_what_random_maps_get_and_no_more() -> None:
    _, truths = drawn("constant", n=8)
    truths = truths[2:]
    cuts = [ThresholdRule("half", "share"), ThresholdRule("target", "share")]
    constant = compute_overlaps(torch.zeros(len(truths), SIDE, SIDE), truths, cuts).iou
    chance = torch.stack(
        [compute_overlaps(torch.rand(len(truths), SIDE, SIDE), truths, cuts).iou for _ in range(40)]
    ).mean(0)
    torch.testing.assert_close(constant, chance, rtol=0.03, atol=0.003)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(KINDS), st.sampled_from([8, 31, 67, 80]))
def test_iou_lies_between_nothing_and_the_ceiling(seed: int, kind: str, side: int) -> None:
    maps, truths = drawn(kind, n=6, side=side, seed=seed)
    cuts = [ThresholdRule("half", "share"), ThresholdRule("target", "share")]
    found = compute_overlaps(maps, truths, cuts).iou
    ceiling = compute_overlaps(baselines.oracle_maps(truths), truths, cuts).iou
    assert not bool(found.isnan().any())
    assert bool((found >= 0).all())
    assert bool((found <= ceiling + 1e-12).all())
    assert bool((ceiling[1, 1:] == 1).all())  # exactly as many pixels as the truth, and the right ones


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(KINDS))
def test_order_does_not_matter(seed: int, kind: str) -> None:
    maps, truths = drawn(kind, seed=seed)
    order = torch.randperm(len(maps), generator=torch.Generator().manual_seed(seed))
    cuts = [ThresholdRule("half", "share"), ThresholdRule("target", "drop")]
    found = compute_overlaps(maps, truths, cuts, "forward").iou
    torch.testing.assert_close(
        compute_overlaps(maps[order], truths[order], cuts, "forward").iou, found[:, order], equal_nan=True
    )


def test_the_centred_box_is_one_whatever_is_kept() -> None:
    centre, truths = baselines.centered_box(40, 60)[None], torch.zeros(1, 40, 60, dtype=torch.bool)
    assert len(centre.unique()) == 2400
    truths[0, 10:30, 15:45] = True
    assert compute_overlaps(centre, truths, [ThresholdRule("target", "share")]).iou.item() == 1
    assert (centre > 0).sum() == 1200
