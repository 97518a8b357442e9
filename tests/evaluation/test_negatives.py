"""Scores under sounds that show nothing: the released definitions written out, bounds, and what must not matter."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from soundspot.evaluation import functional as F


def drawn(seed: int, n: int = 6) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(seed)
    maps = torch.randn(n, 9, 9, generator=draw) + torch.randn(n, 1, 1, generator=draw)
    return maps, torch.rand(n, 9, 9, generator=draw) > torch.rand(n, 1, 1, generator=draw)


def plain_auc_n(pias: list[float]) -> float:
    shares = [np.sum(np.array(pias) <= 0.05 * k) / len(pias) for k in range(21)]
    return sum((shares[k] + shares[k + 1]) / 2 * (0.05 * (k + 1) - 0.05 * k) for k in range(20))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 100), min_size=1, max_size=30), st.booleans())
def test_auc_n(hundredths: list[int], on_the_grid: bool) -> None:
    """Values on the thresholds among them, where 0.05 * k errs: upwards, which only the integer grid forgives."""
    pias = [5 * (value // 5) / 100 if on_the_grid else value / 100 for value in hundredths]
    values = torch.tensor(pias, dtype=torch.float64)
    assert F.auc_n(values, "float").item() == pytest.approx(plain_auc_n(pias))
    exact = [sum(0.05 * (0.5 if k in (0, 20) else 1) for k in range(21) if value <= 5 * k) for value in hundredths]
    if not on_the_grid:
        assert F.auc_n(values).item() == pytest.approx(np.mean(exact))
    assert F.auc_n(values) >= F.auc_n(values, "float") - 1e-12
    assert 0.025 - 1e-12 <= F.auc_n(values).item() <= 1 + 1e-12
    torch.testing.assert_close(F.auc_n(values.flip(0)), F.auc_n(values))
    torch.testing.assert_close(F.auc_n_terms(values).mean(), F.auc_n(values))


def test_auc_n_grids_differ_on_their_own_thresholds() -> None:
    """0.05 * 7 is 0.35000000000000003, 0.05 * 6 is 0.30000000000000004: never below; so both forgive, here."""
    values = torch.arange(21, dtype=torch.float64) / 20
    assert F.auc_n(values, "float").item() == pytest.approx(F.auc_n(values).item())
    above = torch.tensor([0.1 + 0.05], dtype=torch.float64)  # 0.15000000000000002
    assert F.auc_n(above, "float").item() == pytest.approx(F.auc_n(above).item())
    above = torch.tensor([0.25 + 1e-12], dtype=torch.float64)  # a quarter, but for a sum's rounding
    assert F.auc_n(above, "float").item() == pytest.approx(F.auc_n(above).item() - 0.05)


def test_nothing_predicted_is_best() -> None:
    nothing = torch.zeros(3, dtype=torch.float64)
    assert F.auc_n(nothing).item() == pytest.approx(1)
    assert F.auc_n(nothing + 1).item() == pytest.approx(0.025)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([-1.0, 0.0, 0.7]))
def test_shares_and_overlaps_of_each_map(seed: int, tau: float) -> None:
    maps, truths = drawn(seed)
    other = drawn(seed + 1)[0]
    other[0], maps[0], maps[1] = -9, -9, -9
    other[1, 0, 0], other[2] = 9, -9
    pred, under = maps > tau, other > tau
    for i in range(len(maps)):
        kept = int(pred[i].sum())
        assert F.pia(maps, tau)[i].item() == kept / 81
        assert F.false_positive_rate(maps)[i].item() == pytest.approx((maps[i] > 0).double().mean().item())
        both, either = int((pred[i] & under[i]).sum()), int((pred[i] | under[i]).sum())
        assert F.map_overlap(pred, under)[i].item() == (both / either if either else 1)
        hit, area = int((pred[i] & truths[i]).sum()), int(truths[i].sum())
        union = area + kept - hit
        assert F.iou_above(maps, truths, tau)[i].item() == (hit / union if union else 0)
    assert F.map_overlap(pred, under)[0] == 1  # both are empty
    assert F.map_overlap(pred, under)[1] == 0  # one of them
    assert torch.equal(F.map_overlap(pred, under), F.map_overlap(under, pred))
    assert torch.equal(F.pia(maps, torch.tensor(tau)), F.pia(maps, tau))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_neither_batches_nor_orders_matter(seed: int) -> None:
    maps, truths = drawn(seed)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed))
    for score in (
        lambda m, t: F.pia(m, 0.2),
        lambda m, t: F.iou_above(m, t, 0.2),
        lambda m, t: F.map_overlap(m > 0.2, t),
        lambda m, t: F.false_positive_rate(m),
    ):
        whole = score(maps, truths)
        parts = torch.cat([score(*few) for few in zip(maps.split(2), truths.split(2), strict=True)])
        assert torch.equal(parts, whole)
        assert torch.equal(score(maps[order], truths[order]), whole[order])
        assert bool(((whole >= 0) & (whole <= 1)).all())


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=40))
def test_universal_thresholds(peaks: list[float]) -> None:
    values = torch.tensor(peaks)
    assert F.universal_threshold(values).item() == pytest.approx(np.percentile(peaks, 75), abs=1e-12)
    assert F.universal_threshold(values, "max").item() == max(peaks)
    assert F.universal_threshold(values, "max10").item() == pytest.approx(1.1 * max(peaks))
    assert F.universal_threshold(values.flip(0)) == F.universal_threshold(values)
    assert F.universal_threshold(values) <= F.universal_threshold(values, "max")


def test_a_threshold_at_the_highest_peak_leaves_negatives_empty() -> None:
    maps, _ = drawn(3)
    tau = F.universal_threshold(maps.flatten(1).amax(dim=1), "max")
    assert F.pia(maps, tau).sum() == 0


@settings(max_examples=40, deadline=None)
@given(st.floats(0, 1), st.floats(0, 1))
def test_harmonic_mean(a: float, b: float) -> None:
    x, y = torch.tensor([a, b], dtype=torch.float64)
    got = F.harmonic_mean(x, y).item()
    assert got == F.harmonic_mean(y, x).item()
    assert 0 <= got <= 2 * min(a, b) + 1e-12
    assert got <= (a + b) / 2 + 1e-12
    assert math.isclose(got, 2 / (1 / a + 1 / b) if a > 1e-300 and b > 1e-300 else 0, rel_tol=1e-9, abs_tol=1e-12)


def test_the_two_scores() -> None:
    """The mean over kinds of wrong sounds comes first, then one harmonic mean."""
    ious = torch.tensor([0.2, 0.4], dtype=torch.float64)
    pias = torch.tensor([[0.1, 0.3], [0.0, 0.0], [0.5, 0.1]], dtype=torch.float64)
    good = 1 - (0.2 + 0.0 + 0.3) / 3
    assert F.f_loc(ious, pias).item() == pytest.approx(2 * 0.3 * good / (0.3 + good))
    aucs = torch.stack([F.auc_n(kind) for kind in pias])
    mean = aucs.mean().item()
    assert F.f_auc(F.auc(ious), aucs).item() == pytest.approx(
        2 * F.auc(ious).item() * mean / (F.auc(ious).item() + mean)
    )
    assert F.f_loc(torch.zeros(2), torch.ones(3, 2)) == 0  # 0 / 0 in the released code
