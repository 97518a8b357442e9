"""F-scores and mask IoU: golden values, and AVSBench's 255 passes written out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from golden import READOUTS, expected, having, listed, number, sets
from soundspot.evaluation import functional as F
from soundspot.evaluation.protocols.thresholding import ThresholdRule, scale_maps, select_pixels

CUTS = {"fscore_b03_top50": ThresholdRule("half", "drop"), "fscore_b03_adap": ThresholdRule("target", "drop")}


def drawn(kind: str, n: int, seed: int, side: int = 20) -> tuple[Tensor, Tensor]:
    """Probabilities and masks, one of which is empty and one full."""
    draw = torch.Generator().manual_seed(seed)
    maps = torch.rand(n, side, side, generator=draw)
    if kind == "on thresholds":  # where `>=` matters
        maps = torch.linspace(0, 1 - 1e-10, 255)[(maps * 255).long()]
    elif kind == "extremes":
        maps = maps.round()
    elif kind == "beyond":
        maps = 3 * maps - 1
    masks = torch.rand(n, side, side, generator=draw) > torch.rand(n, 1, 1, generator=draw)
    masks[:, 0, 0] = True
    masks[0] = False
    masks[-1] = True
    return maps, masks


def plain_curve(probabilities: Tensor, mask: Tensor) -> Tensor:
    """A pass over the map for each threshold, as released, but summed in float64."""
    curve = []
    for threshold in torch.linspace(0, 1 - 1e-10, 255):
        kept = (probabilities >= threshold).double()
        hit = (kept * mask).sum()
        precision, recall = hit / (kept.sum() + 1e-20), hit / (mask.double().sum() + 1e-20)
        curve.append((1.3 * precision * recall / (0.3 * precision + recall)).nan_to_num(0))
    return torch.stack(curve)


@pytest.mark.parametrize("upsampling", READOUTS)
@pytest.mark.parametrize("column", CUTS)
def test_golden_f_score_of_every_case(metrics: list[Path], column: str, upsampling: str) -> None:
    """Exact for repeated pixels; else a pixel near the threshold moves a hit or a kept one."""
    compared = 0
    for some in (some for folder in metrics for some in sets(folder) if upsampling in some.cases[0]["expected"]):
        values = scale_maps(READOUTS[upsampling].upsample(some.maps, 224, 224), "forward")
        truths = some.truths["mask"]
        got = F.f_score(*F.pixel_counts(select_pixels(values, truths, CUTS[column]), truths))
        for case, f, area in zip(some.cases, got.tolist(), truths.sum(dim=(1, 2)).tolist(), strict=True):
            wanted = number(case["expected"][upsampling]["mask"][column])
            near = case["expected"][upsampling]["n_near_threshold"]
            slack = 1e-12 if upsampling == "kron" else 1e-12 + 1.3 * (near + 1) / max(1, area)
            assert f == pytest.approx(wanted, abs=slack, rel=0, nan_ok=True), case["name"]
            assert (f != f) == (area == 0)
            compared += 1
    assert compared


@pytest.mark.parametrize("upsampling", READOUTS)
def test_golden_means_of_f_scores(metrics: list[Path], upsampling: str) -> None:
    for folder, wanted in having(metrics, "aggregates", upsampling, "segmentation_fixed_threshold"):
        for column in CUTS:
            values = listed(folder, upsampling, "mask", column)
            assert int((~values.isnan()).sum()) == wanted["n_nonempty"]
            assert values.nanmean().item() == pytest.approx(wanted[f"{column}_mean_nonempty"], abs=1e-12)


def _logits(folder: Path, spread: float = 8) -> tuple[Tensor, Tensor]:
    """Of the golden file: 8 times the repeated coarse maps, and fine maps stretched from [0, 1] to [-8, 8]."""
    found = sets(folder)
    logits = [
        spread * (READOUTS["kron"].upsample(some.maps, 224, 224) if some.maps.shape[1] == 14 else 2 * some.maps - 1)
        for some in found
    ]
    return torch.cat(logits), torch.cat([some.truths["mask"] for some in found])


def test_golden_mask_iou(metrics: list[Path]) -> None:
    for folder, wanted in having(metrics, "aggregates", "avsbench"):
        got = F.mask_iou(*_logits(folder))
        assert got.tolist() == pytest.approx(wanted["mask_iou_per_case"], abs=1e-6, rel=0)
        if "mask_iou" in wanted:
            assert got.mean().item() == pytest.approx(wanted["mask_iou"], abs=1e-6, rel=0)


def test_golden_max_f(metrics: list[Path]) -> None:
    compared = 0
    for folder, wanted in having(metrics, "aggregates", "avsbench"):
        if "max_f_minmax" not in wanted:
            continue
        logits, masks = _logits(folder)
        for name, maps in {"sigmoid_logits": logits.sigmoid(), "minmax": scale_maps(logits, "forward")}.items():
            curves = F.f_curve(maps, masks)
            key = "max_f_minmax" if name == "minmax" else f"max_f_{name}"
            assert F.max_f(curves).item() == pytest.approx(wanted[key], abs=1e-6, rel=0)
            assert int(curves.nanmean(dim=0).argmax()) == wanted[f"max_f_{name.split('_')[0]}_argmax"]
            assert int((~curves[:, 0].isnan()).sum()) == wanted["n_nonempty"]
            compared += 1
    if not compared:
        pytest.skip("these golden metrics have no max-F")


def test_golden_cases_are_all_read(metrics: list[Path]) -> None:
    for folder in metrics:
        assert len(_logits(folder)[0]) == len(expected(folder)["cases"])


KINDS = ["random", "on thresholds", "extremes", "beyond"]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(KINDS))
def test_one_sort_equals_255_passes(seed: int, kind: str) -> None:
    maps, masks = drawn(kind, 4, seed)
    got = F.f_curve(maps, masks)
    assert got[0].isnan().all()
    for curve, one, mask in zip(got[1:], maps[1:], masks[1:], strict=True):
        assert torch.equal(curve, plain_curve(one, mask))
    assert bool(((got[1:] >= 0) & (got[1:] <= 1 + 1e-12)).all())
    wanted = torch.stack([plain_curve(one, mask) for one, mask in zip(maps[1:], masks[1:], strict=True)]).mean(0).max()
    assert F.max_f(got) == wanted


def test_logits_next_to_nothing_are_not_predicted() -> None:
    """Their float32 sigmoid is 0.5 exactly."""
    full = torch.ones(1, 2, 2, dtype=torch.bool)
    assert F.mask_iou(torch.full((1, 2, 2), 1e-9), full).item() == 0
    assert F.mask_iou(torch.full((1, 2, 2), 1e-9), ~full).item() == pytest.approx(1)
    assert F.mask_iou(torch.full((1, 2, 2), 1e-3), full).item() == pytest.approx(1)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(KINDS))
def test_neither_batches_nor_orders_matter(seed: int, kind: str) -> None:
    maps, masks = drawn(kind, 7, seed)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(seed))
    pixels = torch.randperm(400, generator=torch.Generator().manual_seed(seed))
    moved = tuple(some.flatten(1)[:, pixels].view_as(some) for some in (maps, masks))
    for score in (F.f_curve, F.mask_iou, lambda m, t: F.f_score(*F.pixel_counts(m >= 0.5, t))):
        whole = score(maps, masks)
        parts = torch.cat([score(*few) for few in zip(maps.split(3), masks.split(3), strict=True)])
        for same in (parts, score(maps[order], masks[order])[order.argsort()], score(*moved)):
            torch.testing.assert_close(same, whole, rtol=0, atol=0, equal_nan=True)


def test_more_maps_than_one_pass_holds() -> None:
    maps, masks = drawn("random", 70, 0, side=4)
    alone = torch.cat([F.f_curve(one, mask) for one, mask in zip(maps.split(1), masks.split(1), strict=True)])
    torch.testing.assert_close(F.f_curve(maps, masks), alone, rtol=0, atol=0, equal_nan=True)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_mask_iou_is_iou_but_for_empty_masks(seed: int) -> None:
    maps, masks = drawn("random", 6, seed)
    logits = maps - 0.5
    got, plain = F.mask_iou(logits, masks), F.iou(logits.sigmoid() > 0.5, masks)
    torch.testing.assert_close(got[1:], plain[1:], rtol=1e-6, atol=1e-9)
    assert got[0].item() == pytest.approx((logits[0] <= 0).double().mean().item(), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.3, 1.0]))
def test_f_score_is_the_weighted_mean_of_precision_and_recall(seed: int, beta2: float) -> None:
    maps, masks = drawn("random", 6, seed)
    pred = maps > 0.7
    hit, kept, area = F.pixel_counts(pred, masks)
    precision, recall = hit / kept, hit / area
    wanted = (1 + beta2) * precision * recall / (beta2 * precision + recall)
    got = F.f_score(hit, kept, area, beta2)
    torch.testing.assert_close(got[1:], wanted[1:].nan_to_num(0))
    assert got[0].isnan()
    assert bool((got[1:] <= torch.fmax(precision, recall)[1:] + 1e-12).all())


def test_f_score_of_nothing_kept_is_nothing() -> None:
    mask = torch.ones(1, 3, 3, dtype=torch.bool)
    assert F.f_score(*F.pixel_counts(~mask, mask)).item() == 0
    assert F.f_score(*F.pixel_counts(mask, mask)).item() == 1


def test_max_f_by_video_chooses_a_threshold_for_each() -> None:
    """The released number: it moves with the batch, and an empty batch counts as 0."""
    maps, masks = drawn("random", 9, 3)
    masks[3:6] = False
    curves, videos = F.f_curve(maps, masks), torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
    each = [F.max_f(curves[:3]).item(), 0.0, F.max_f(curves[6:]).item()]
    assert F.max_f(curves, videos).item() == pytest.approx(np.mean(each))
    assert F.max_f(curves, torch.zeros(9, dtype=torch.int64)).item() == pytest.approx(F.max_f(curves).item())
    assert F.max_f(curves[3:6]).isnan()
