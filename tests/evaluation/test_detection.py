"""AP, max-F1 and LocAcc: the released evaluator's numbers, and what the corrected ones promise."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from golden import READOUTS, expected, having, listed, number
from soundspot.evaluation import functional as F

Samples = tuple[Tensor, Tensor, Tensor]


def drawn(n: int, seed: int, levels: int = 0, silent: float = 0.4) -> Samples:
    """Confidence (of some levels, so that it ties, where given), IoU (some nan), and whether there is a source."""
    draw = torch.Generator().manual_seed(seed)
    confidence, iou, source = torch.rand(3, n, generator=draw, dtype=torch.float64)
    iou[iou > 0.97] = torch.nan
    confidence = (confidence * levels).round() / levels if levels else confidence
    return confidence, iou, source >= silent


def plain(confidence: float, samples: Samples, published: bool) -> tuple[float, float, float]:
    """Precision, recall and F1 at a threshold, sample by sample."""
    right = wrong = missed = 0
    for c, iou, source in zip(*(values.tolist() for values in samples), strict=True):
        if c >= confidence and source and iou >= 0.5:
            right += 1
        elif c >= confidence:
            wrong += 1
            missed += source and not published
        elif source:
            missed += 1
    precision = right / (right + wrong) if right + wrong else 1.0
    recall = right / (right + missed) if right + missed else 1.0
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def plain_ap(samples: Samples, published: bool) -> float:
    ascending = samples[0].sort().values.tolist()
    thresholds = ascending[:-1][:: -max(1, len(ascending) // 200)] if published else sorted(set(ascending))[::-1]
    curve = [plain(threshold, samples, published)[:2] for threshold in thresholds]
    best = [max(p for p, _ in curve[i:]) for i in range(len(curve))]
    if published:
        return sum(best[i] * (curve[i + 1][1] - curve[i][1]) for i in range(len(curve) - 1))
    recalls = [0.0, *(r for _, r in curve)]
    return sum(b * (after - before) for b, before, after in zip(best, recalls, recalls[1:], strict=False))


def plain_max_f1(samples: Samples, published: bool) -> float:
    ascending = samples[0].sort().values.tolist()
    thresholds = ascending[:: max(1, len(ascending) // 10)] if published else ascending
    return max(plain(threshold, samples, published)[2] for threshold in thresholds)


def test_golden_lists(metrics: list[Path]) -> None:
    for _, lists in having(metrics, "ap_lists"):
        for entry in lists:
            confidence, iou = (torch.tensor(entry[key], dtype=torch.float64) for key in ("confidence", "iou"))
            source = torch.tensor(entry["n_boxes"]) > 0
            samples = confidence, iou, source
            visible = confidence[source], iou[source], source[source]
            f1 = F.f1_curve(*samples)
            got = {
                "n": len(iou),
                "AP": F.average_precision(*samples, published=True).item(),
                "AP_75": F.average_precision(*samples, published=True, iou_threshold=0.75).item(),
                "AP_visible": F.average_precision(*visible, published=True).item(),
                "F1_list": f1.tolist(),
                "max_F1": F.max_f1(*samples, published=True).item(),
                "n_thresholds_F1": len(f1),
                "F1_at_conf_0_5": F.f1_at(*samples, published=True).item(),
                "LocAcc_ge": F.loc_acc(iou, source).item(),
                "precision_at_50_strict": F.loc_acc(iou, source, strict=True).item(),
                "Precision_all_50": F.precision_recall(*samples, -1000.0)[0].item(),
                "Precision_visible_50": F.precision_recall(*visible, -1000.0, published=True)[0].item(),
            }
            assert set(entry) == {*got, "n_boxes", "iou", "confidence"}
            for key, value in got.items():
                assert value == pytest.approx(entry[key], abs=1e-12, rel=0), (len(iou), key)


@pytest.mark.parametrize("upsampling", READOUTS)
@pytest.mark.parametrize("kind", ["vggss", "flickr"])
@pytest.mark.parametrize("form", ["relative", "absolute"])
def test_golden_tables(metrics: list[Path], form: str, kind: str, upsampling: str) -> None:
    """SLAVC's final statistics, subsets by size included, from the IoU and confidence of each case."""
    for folder, wanted in having(metrics, "aggregates", upsampling, f"slavc_{form}_{kind}"):
        cases = expected(folder)["cases"]
        confidence = listed(folder, upsampling, "confidence_slavc")
        iou = listed(folder, upsampling, kind, f"iou_slavc_{form}")
        source = torch.tensor([len(case["boxes"]) > 0 for case in cases])
        area = torch.tensor([case["gt_sum"][kind] for case in cases], dtype=torch.float64)
        got = {
            "precision_at_50_strict": F.loc_acc(iou, source, strict=True).item(),
            "AP": F.average_precision(confidence, iou, source, published=True).item(),
            "F1_at_conf_0_5": F.f1_at(confidence, iou, source, published=True).item(),
        }
        assert got == pytest.approx({key: wanted[key] for key in got}, abs=1e-12, rel=0)
        compared = 0
        for at in (0.5, 0.75):
            for subset, stats in F.detection_stats(
                confidence, iou, source, area, published=True, iou_threshold=at
            ).items():
                key = f"{subset}@{100 * at:.0f}"
                theirs = [number(wanted["stats"][f"{column}-{key}"]) for column in ("Precision", "AP", "AUC")]
                ours = [stats.precision.item(), stats.ap.item(), stats.auc.item()]
                assert ours == pytest.approx(theirs, abs=1e-12, rel=0, nan_ok=True), key
                compared += 4
                some = _subset(subset, source, area)
                if not some.any():
                    continue
                printed = [float(value) for value in wanted["stats"][f"F1-{key}"].split()]
                curve = 100 * F.f1_curve(confidence[some], iou[some], source[some], at)
                assert curve.tolist() == pytest.approx(printed, abs=0.05 + 1e-9, rel=0), key
                assert 100 * stats.max_f1.item() == pytest.approx(max(printed), abs=0.05 + 1e-9, rel=0)
        assert compared == len(wanted["stats"])


def _subset(name: str, source: Tensor, area: Tensor) -> Tensor:
    if name in F.SIZES:
        return source & (F.size_bucket(area) == F.SIZES.index(name))
    return source if name == "visible" else torch.ones_like(source)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 3, 9, 23, 60, 450]), st.sampled_from([0, 1, 4, 30]))
def test_plain_loops_agree(seed: int, n: int, levels: int) -> None:
    samples = drawn(n, seed, levels)
    for published in (False, True):
        if not published and not bool(samples[2].any()):
            assert F.average_precision(*samples).isnan()
            assert F.max_f1(*samples).isnan()
            continue
        got = F.average_precision(*samples, published=published).item()
        assert got == pytest.approx(plain_ap(samples, published), abs=1e-12)
        assert F.max_f1(*samples, published=published).item() == pytest.approx(plain_max_f1(samples, published))
        for threshold in (-1000.0, 0.5, 2.0):
            precision, recall, f1 = plain(threshold, samples, published)
            found = F.precision_recall(*samples, threshold, published)
            assert [value.item() for value in found] == pytest.approx([precision, recall])
            assert F.f1_at(*samples, threshold, published).item() == pytest.approx(f1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 7, 40, 300]), st.sampled_from([0, 1, 5]), st.booleans())
def test_counts_repeat_the_samples(seed: int, n: int, levels: int, published: bool) -> None:
    """Draws of different sizes too, as bootstraps of groups have; an empty one is nan."""
    samples = drawn(n, seed, levels)
    counts = torch.randint(0, 4, (5, n), generator=torch.Generator().manual_seed(seed))
    counts[0] = 0
    for score in (F.average_precision, F.max_f1):
        together = score(*samples, published=published, counts=counts)
        assert together[0].isnan()
        for some, got in zip(counts[1:], together[1:], strict=True):
            repeated = tuple(values.repeat_interleave(some) for values in samples)
            torch.testing.assert_close(got, score(*repeated, published=published), equal_nan=True)
            alone = score(*samples, published=published, counts=some)
            torch.testing.assert_close(got, alone, rtol=1e-14, atol=1e-15, equal_nan=True)
        ones = score(*samples, published=published, counts=torch.ones(n, dtype=torch.int32))
        torch.testing.assert_close(ones, score(*samples, published=published), rtol=0, atol=0, equal_nan=True)


def test_many_draws_go_through_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, counts = drawn(30, 0), torch.randint(0, 3, (2, 9, 30))
    whole = F.average_precision(*samples, counts=counts)
    monkeypatch.setattr("soundspot.evaluation.functional.detection.MAX_CELLS", 60)
    torch.testing.assert_close(F.average_precision(*samples, counts=counts), whole, rtol=0, atol=0)
    assert whole.shape == (2, 9)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([5, 30, 250]), st.sampled_from([0, 3]), st.booleans())
def test_neither_order_nor_scale_matters(seed: int, n: int, levels: int, published: bool) -> None:
    samples = drawn(n, seed, levels)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    shuffled = tuple(values[order] for values in samples)
    squeezed = samples[0] / 66.7 + 0.5, *samples[1:]  # a cosine through SLAVC's affine map, say
    for score in (F.average_precision, F.max_f1):
        wanted = score(*samples, published=published)
        torch.testing.assert_close(score(*shuffled, published=published), wanted, rtol=0, atol=0, equal_nan=True)
        torch.testing.assert_close(score(*squeezed, published=published), wanted, rtol=0, atol=0, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 150), st.sampled_from([0, 4]), st.sampled_from([0.0, 0.4]))
def test_bounds(seed: int, n: int, levels: int, silent: float) -> None:
    samples = drawn(n, seed, levels, silent)
    samples[2][0] = True
    accuracy = F.loc_acc(*samples[1:]).item()
    ap, f1 = F.average_precision(*samples).item(), F.max_f1(*samples).item()
    assert 0 <= ap <= accuracy + 1e-12  # what is in the wrong place is never found
    assert 0 <= f1 <= 2 * accuracy / (1 + accuracy) + 1e-12  # no answer is wrong that need not be
    assert 0 <= F.average_precision(*samples, published=True).item() <= 1
    assert F.max_f1(*samples, published=True).item() <= 1
    assert F.max_f1(*samples).item() >= F.f1_at(*samples, threshold=samples[0].median().item()).item() - 1e-12


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 19))
def test_published_f1_is_the_corrected_one_where_all_places_are_right(seed: int, n: int) -> None:
    """Below 20 samples all thresholds are tried, and only wrong places tell the two apart."""
    confidence, _, source = drawn(n, seed)
    source[0] = True
    right = torch.ones(n, dtype=torch.float64)
    published = F.max_f1(confidence, right, source, published=True)
    torch.testing.assert_close(published, F.max_f1(confidence, right, source))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 399))
def test_published_ap_misses_the_area_before_its_first_threshold(seed: int, n: int) -> None:
    """Right places, distinct confidences, no subsampling: the second highest is the first threshold."""
    confidence, _, source = drawn(n, seed)
    confidence, source[0] = torch.randperm(n, generator=torch.Generator().manual_seed(seed)).double(), True
    right = torch.ones(n, dtype=torch.float64)
    first = source[confidence.topk(2).indices].sum().double() / source.sum()
    published = F.average_precision(confidence, right, source, published=True).item()
    corrected = F.average_precision(confidence, right, source).item()
    assert published >= corrected - first.item() - 1e-12
    everywhere = torch.ones(n, dtype=torch.bool)
    assert F.average_precision(confidence, right, everywhere, published=True).item() == pytest.approx(1 - 2 / n)
    assert F.average_precision(confidence, right, everywhere).item() == 1


def test_published_recall_forgets_sources_in_the_wrong_place() -> None:
    """One right, three wrong: the published recall of answering always is 1."""
    samples = torch.tensor([0.9, 0.8, 0.7, 0.6]), torch.tensor([1.0, 0, 0, 0]), torch.ones(4, dtype=torch.bool)
    assert F.precision_recall(*samples, 0.0, published=True)[1].item() == 1
    assert F.precision_recall(*samples, 0.0)[1].item() == 0.25
    assert F.average_precision(*samples).item() == 0.25
    assert F.max_f1(*samples).item() == 2 / 5


def test_a_constant_confidence_has_one_threshold() -> None:
    """Ties are taken together: AP is precision times recall of answering always, in any order."""
    _, iou, source = drawn(50, 1)
    ap = F.average_precision(torch.zeros(50), iou, source)
    precision, recall = F.precision_recall(torch.zeros(50), iou, source, 0.0)
    torch.testing.assert_close(ap, precision * recall)


def test_no_samples_and_no_sources() -> None:
    nothing = torch.zeros(0), torch.zeros(0), torch.zeros(0, dtype=torch.bool)
    silent = torch.rand(5), torch.rand(5), torch.zeros(5, dtype=torch.bool)
    for published in (False, True):
        assert F.average_precision(*nothing, published=published).isnan()
        assert F.max_f1(*nothing, published=published).isnan()
    assert F.f1_curve(*nothing).shape == (0,)
    assert F.average_precision(*silent, published=True) == F.max_f1(*silent, published=True) == 0
    assert F.loc_acc(*silent[1:]).isnan()
    assert F.detection_stats(*silent, torch.zeros(5))["huge"].ap.isnan()


def test_sizes() -> None:
    areas = torch.tensor([0, 1023.5, 1024, 9215, 9216, 20735, 20736, 50176])
    assert [F.SIZES[i] for i in F.size_bucket(areas)] == [size for size in F.SIZES for _ in range(2)]


def test_confidence_is_the_mean_of_the_top_quarter() -> None:
    assert F.confidence(torch.arange(16.0).view(1, 4, 4)).item() == 13.5
    maps = torch.rand(7, 9, 9)
    alone = torch.cat([F.confidence(one) for one in maps.split(1)])
    torch.testing.assert_close(F.confidence(maps), alone, rtol=0, atol=1e-15)
