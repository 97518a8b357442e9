"""Pixel AP, and IoU, CAP and PIAP of pictures with several sources."""

from itertools import pairwise, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from soundspot.evaluation import functional as F

Array = NDArray[np.float64]


def drawn(seed: int, *shape: int, levels: int = 0) -> tuple[Tensor, Tensor]:
    """Scores of both signs (of some levels, zeros of both signs among them, where given) and truths."""
    draw = torch.Generator().manual_seed(seed)
    scores = torch.randn(*shape, generator=draw)
    scores = (scores * levels).round() / levels if levels else scores
    truths = torch.rand(*shape, generator=draw) > torch.rand(*shape[:-2], 1, 1, generator=draw)
    return scores, truths


def plain_ap(scores: Array, truths: Array) -> float:
    """scikit-learn's: a threshold at each distinct score, from the highest on."""
    if not truths.any():
        return 0.0
    area, recall = 0.0, 0.0
    for threshold in np.unique(scores)[::-1]:
        kept = scores >= threshold
        hit = (kept & truths).sum()
        area += (hit / truths.sum() - recall) * hit / kept.sum()
        recall = hit / truths.sum()
    return area


def halved(values: Array) -> Array:
    """Min-max, everything above the median to 1, everything below 1 to 0."""
    span = values.max() - values.min()
    values = (values - values.min()) / span if span else values.copy()
    values[values > np.sort(values.ravel())[values.size // 2]] = 1
    values[values < 1] = 0
    return values


def plain_matches(maps: list[Array], truths: list[Array]) -> tuple[list[float], list[float], float]:
    """A picture as NoPrior_MultiSSL goes about it. Maps (k, h, w) with a part for each of the k truths."""
    left = [truth.astype(np.float64) for truth in truths]
    ious, caps = [], []
    for parts in maps:
        row = []
        for part, truth in zip(parts, left, strict=True):
            cut = halved(part)
            kept = (cut >= 0.5).astype(np.float64)
            with np.errstate(invalid="ignore"):
                iou = (kept * truth).sum() / (truth.sum() + (kept * (truth == 0)).sum())
            row.append((iou, plain_ap(cut, truth > 0)))
        best = int(np.argmax([iou for iou, _ in row]))
        ious.append(row[best][0])
        caps.append(row[best][1])
        left[best] = np.zeros_like(left[best])
    missing = [0.0] * max(0, len(truths) - len(maps))
    together = np.concatenate([halved(part) for part in sum(maps)])
    return ious + missing, caps + missing, plain_ap(together, np.concatenate(truths) > 0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 1, 3]), st.sampled_from([(1, 1), (1, 7), (6, 9)]))
def test_pixel_ap_of_each_sample(seed: int, levels: int, side: tuple[int, int]) -> None:
    scores, truths = drawn(seed, 5, *side, levels=levels)
    truths[0], truths[1] = False, True
    got = F.pixel_ap(scores, truths)
    pairs = zip(scores.double().numpy(), truths.numpy(), strict=True)
    assert got.tolist() == pytest.approx([plain_ap(score, truth) for score, truth in pairs], abs=1e-12)
    assert got[0] == 0
    assert got[1] == 1
    assert bool(((got >= 0) & (got <= 1 + 1e-12)).all())
    assert bool((got[2:] >= 0).all())
    pixels = torch.randperm(side[0] * side[1], generator=torch.Generator().manual_seed(seed))
    moved = (some.flatten(1)[:, pixels] for some in (scores, truths))
    torch.testing.assert_close(F.pixel_ap(*moved), got, rtol=0, atol=0)


def test_pixel_ap_by_hand() -> None:
    """scikit-learn's own example, and a constant map: the truth's share of the picture."""
    scores, truths = torch.tensor([[[0.1, 0.4], [0.35, 0.8]]]), torch.tensor([[[False, False], [True, True]]])
    assert F.pixel_ap(scores, truths).item() == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert F.pixel_ap(torch.zeros(1, 2, 5), torch.arange(10).view(1, 2, 5) < 3).item() == pytest.approx(0.3)
    assert F.pixel_ap(torch.tensor([[-0.0, 0.0]]), torch.tensor([[True, False]])).item() == 0.5
    assert F.pixel_ap(torch.zeros(0, 2, 2), torch.zeros(0, 2, 2, dtype=torch.bool)).shape == (0,)


def test_pixel_ap_does_not_depend_on_the_batch() -> None:
    scores, truths = drawn(0, 70, 5, 5, levels=2)
    alone = torch.cat([F.pixel_ap(*few) for few in zip(scores.split(1), truths.split(1), strict=True)])
    torch.testing.assert_close(F.pixel_ap(scores, truths), alone, rtol=0, atol=0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 1]))
def test_pixels_that_do_not_count_are_as_if_absent(seed: int, levels: int) -> None:
    scores, truths = drawn(seed, 3, 6, 6, levels=levels)
    scores[0, :2] = -torch.inf  # the value that stands for pixels without a map
    counted = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(seed)) > 0.3
    got = F.pixel_ap(scores, truths, counted)
    for ap, score, truth, keep in zip(got, scores, truths, counted, strict=True):
        torch.testing.assert_close(ap, F.pixel_ap(score[keep][None], truth[keep][None])[0])


SHAPES = [(1, 1), (2, 2), (3, 2), (2, 3), (1, 4), (4, 1)]  # maps and truths of a picture


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(SHAPES), st.booleans(), st.sampled_from([0, 1]))
def test_matched_sources_as_published(seed: int, shape: tuple[int, int], parts: bool, levels: int) -> None:
    m, k = shape
    maps = drawn(seed, 6, m, k if parts else 1, 5, 5, levels=levels)[0]
    maps[0, 0] = -0.5  # constant: nothing is kept
    maps[1, 0] = 2.0  # constant, and yet everything is
    truths = drawn(seed + 1, 6, k, 5, 5)[1]
    truths[2, 0] = False
    got = F.matched_sources(maps if parts else maps[:, :, 0], truths)
    for i in range(len(maps)):
        each = list(maps[i].expand(m, k, 5, 5).numpy())
        iou, cap, piap = plain_matches(each, list(truths[i].numpy()))
        counted = got.valid[i]
        assert got.iou[i][counted].tolist() == pytest.approx(iou, abs=1e-12, nan_ok=True)
        assert got.cap[i][counted].tolist() == pytest.approx(cap, abs=1e-12)
        assert got.piap[i].item() == pytest.approx(piap, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_ragged_groups_score_as_they_do_alone(seed: int) -> None:
    sizes = [(3, 2), (1, 3), (2, 2), (0, 2), (2, 1)]
    maps = [drawn(seed + i, m, 5, 5)[0] for i, (m, _) in enumerate(sizes)]
    truths = [drawn(seed - i, k, 5, 5)[1] for i, (_, k) in enumerate(sizes)]
    (all_maps, answered), (all_truths, asked) = F.pad_groups(maps), F.pad_groups(truths)
    assert answered.sum(dim=1).tolist() == [m for m, _ in sizes]
    got = F.matched_sources(all_maps, all_truths, asked, answered)
    for i, (few, theirs) in enumerate(zip(maps, truths, strict=True)):
        if not len(few):  # the released code passes over a picture without maps
            assert got.piap[i].isnan()
            assert not got.valid[i].any()
            continue
        alone = F.matched_sources(few[None], theirs[None])
        for column, one in ((got.iou, alone.iou), (got.cap, alone.cap)):
            torch.testing.assert_close(column[i][got.valid[i]], one[0][alone.valid[0]], equal_nan=True)
        torch.testing.assert_close(got.piap[i], alone.piap[0])


def test_a_map_takes_the_best_of_the_truths_that_are_left() -> None:
    left, right = torch.zeros(2, 4, 4, dtype=torch.bool)
    left[:, :2], right[:, 2:] = True, True
    towards = torch.arange(16.0).view(4, 4) / 100 + torch.tensor([0.0, 0, 1, 1])  # kept: right, less one pixel
    found = F.matched_sources(torch.stack([towards, towards])[None], torch.stack([left, right])[None])
    assert found.iou[0].tolist() == [7 / 8, 0, 0, 0]  # the second finds the right one taken
    assert found.valid[0].tolist() == [True, True, False, False]
    one = F.matched_sources(towards[None, None], torch.stack([left, right])[None])
    assert one.valid[0].tolist() == [True, True, False]  # the source without a map is a zero
    assert one.cap[0, 0].item() == pytest.approx(7 / 8 + 1 / 8 * 8 / 16)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 4]))
def test_source_ap_is_each_maps_own(seed: int, k: int) -> None:
    maps, truths = drawn(seed, 5, k, 6, 6)
    truths[0, 0] = False
    got = F.source_ap(maps, truths)
    for i in range(5):
        rows = zip(maps[i].double().numpy(), truths[i].numpy(), strict=True)
        assert got.cap[i].tolist() == pytest.approx([plain_ap(*row) for row in rows], abs=1e-12)
        some = truths[i].flatten(1).any(dim=1)
        assert torch.equal(got.valid[i], some)
        if some.any():
            wanted = plain_ap(maps[i][some].double().numpy().ravel(), truths[i][some].numpy().ravel())
            assert got.piap[i].item() == pytest.approx(wanted, abs=1e-12)
        else:
            assert got.piap[i].isnan()
    order = torch.randperm(k, generator=torch.Generator().manual_seed(seed))
    moved = F.source_ap(maps[:, order], truths[:, order])
    torch.testing.assert_close(moved.cap, got.cap[:, order], rtol=0, atol=0)
    torch.testing.assert_close(moved.piap, got.piap, equal_nan=True)


def test_a_source_without_a_map_ranks_last() -> None:
    maps, truths = drawn(4, 3, 2, 6, 6)
    truths[:, :, 0, 0] = True
    answered = torch.tensor([[True, True], [True, False], [False, False]])
    got, whole = F.source_ap(maps, truths, has_map=answered), F.source_ap(maps, truths)
    assert got.cap[1].tolist() == [whole.cap[1, 0].item(), 0]
    assert got.valid.all()
    assert got.piap[0] == whole.piap[0]
    last = torch.cat([maps[1, 0].flatten(), torch.full((36,), -torch.inf)]).numpy()
    assert got.piap[1].item() == pytest.approx(plain_ap(last, truths[1].numpy().ravel()), abs=1e-12)
    assert got.piap[2].item() == pytest.approx(truths[2].double().mean().item())
    asked = F.source_ap(maps, truths, has_source=torch.tensor([[True, False]] * 3))
    torch.testing.assert_close(asked.piap, whole.cap[:, 0])
    assert not asked.valid[:, 1].any()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.booleans())
def test_both_forms_agree_on_maps_of_two_values(seed: int, exactly: bool) -> None:
    """Published CAP is the raw one where the cut changes nothing: one source, and fewer pixels than half are high."""
    truths = torch.zeros(1, 1, 6, 6, dtype=torch.bool)
    places = torch.randperm(36, generator=torch.Generator().manual_seed(seed))
    truths.view(-1)[places[:9]] = True
    maps = torch.zeros(1, 1, 6, 6)
    maps.view(-1)[places[: 9 if exactly else 17] if exactly else places[4:17]] = 1
    published, raw = F.matched_sources(maps, truths), F.source_ap(maps, truths)
    assert published.cap[0, 0].item() == pytest.approx(raw.cap.item(), abs=1e-12)
    assert published.piap.item() == pytest.approx(raw.piap.item(), abs=1e-12)
    assert [ap.item() == 1 for ap in (raw.cap, raw.piap)] == [exactly] * 2


def test_recall_never_falls() -> None:
    """What the area under the curve relies on: more truth at the top never lowers AP."""
    scores = torch.arange(20.0).view(1, 4, 5)
    aps = [F.pixel_ap(scores, scores >= 20 - n).item() for n in range(1, 20)]
    assert aps == [1.0] * 19
    lower = [F.pixel_ap(scores, (scores >= low) & (scores < low + 4)).item() for low in range(17)]
    assert all(below < above for below, above in pairwise(lower))


def plain_iou(scores: Array, truth: Array) -> float:
    """IoU of as many pixels as the truth has; those that tie for the last places have a share of one each."""
    area = int(truth.sum())
    last = np.sort(scores.ravel())[-area]
    above, tied = scores > last, scores == last
    share = (area - above.sum()) / tied.sum()
    hit, spill = ((above & some).sum() + share * (tied & some).sum() for some in (truth, ~truth))
    return float(hit / (area + spill))


def plain_assignment(maps: list[Array], truths: list[Array]) -> list[float]:
    """IoU of each truth under the best of all ways to give it a map of its own, or none."""
    places: list[int | None] = [*range(len(maps)), *[None] * len(truths)]
    each = [
        [0.0 if at is None else plain_iou(maps[at], truth) for at, truth in zip(some, truths, strict=True)]
        for some in permutations(places, len(truths))
    ]
    return max(each, key=lambda ious: sum(ious) + 1e-9 * sum(iou >= 0.5 for iou in ious))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([*SHAPES, (3, 3)]), st.sampled_from([0, 1, 2]))
def test_assigned_sources_as_loops_have_it(seed: int, shape: tuple[int, int], levels: int) -> None:
    m, k = shape
    maps = drawn(seed, 4, m, 5, 5, levels=levels)[0]
    truths = drawn(seed + 1, 4, k, 5, 5)[1]
    truths[..., 2, 2] = True
    got = F.assigned_sources(maps, truths)
    for i in range(len(maps)):
        want = plain_assignment(list(maps[i].double().numpy()), list(truths[i].numpy()))
        assert got[i].sum().item() == pytest.approx(sum(want), abs=1e-12)
        assert (got[i] >= 0.5).sum() == sum(one >= 0.5 for one in want)
    draw = torch.Generator().manual_seed(seed)
    order, others = torch.randperm(m, generator=draw), torch.randperm(k, generator=draw)
    torch.testing.assert_close(F.assigned_sources(maps[:, order], truths).sum(dim=1), got.sum(dim=1))
    found = (F.assigned_sources(maps[:, order], truths[:, others]) >= 0.5).sum(dim=1)
    torch.testing.assert_close(found, (got >= 0.5).sum(dim=1))


def test_assigned_sources_of_large_maps() -> None:
    maps, truths = drawn(3, 5, 2, 70, 80)
    maps[0, 1] = maps[0, 1].round()  # many ties
    got = F.assigned_sources(maps, truths)
    for few, theirs, found in zip(maps, truths, got, strict=True):
        want = plain_assignment(list(few.double().numpy()), list(theirs.numpy()))
        assert found.tolist() == pytest.approx(want, abs=1e-12)


def test_one_map_for_two_sources_finds_one_and_two_maps_find_both() -> None:
    truths = torch.zeros(1, 2, 6, 6, dtype=torch.bool)
    truths[0, 0, :2, :2], truths[0, 1, 4:, 3:] = True, True  # 4 pixels and 6
    either = truths.any(dim=1, keepdim=True).float()
    graded = either + truths[:, :1]
    assert F.assigned_sources(graded, truths)[0].tolist() == [1, 0]
    assert F.assigned_sources(torch.cat([graded, graded], dim=1), truths)[0].tolist() == [1, pytest.approx(2 / 10)]
    assert F.assigned_sources(truths.flip(1).float(), truths)[0].tolist() == [1, 1]
    shared = 6 * 6 / 10  # 6 places for 10 pixels that tie, 6 of which are the second source's
    assert F.assigned_sources(either, truths)[0].tolist() == [0, pytest.approx(shared / (12 - shared))]


def test_the_best_total_counts_where_the_first_choice_would_miss_it() -> None:
    values = torch.tensor([[[0.9, 0.8], [0.7, 0.0]], [[1.0, 0.5], [0.5, 0.0]]], dtype=torch.float64)
    assert F.assign_sources(values).tolist() == [[0.7, 0.8], [0.5, 0.5]]  # of equal totals the one that finds more
    assert F.assign_sources(values.flip(1)).tolist() == [[0.7, 0.8], [0.5, 0.5]]
    assert F.assign_sources(values[:, :0]).tolist() == [[0, 0], [0, 0]]


def test_assigned_sources_of_ragged_groups_and_of_what_does_not_count() -> None:
    sizes = [(3, 2), (1, 3), (0, 2), (2, 1)]
    maps = [drawn(i, m, 5, 5)[0] for i, (m, _) in enumerate(sizes)]
    truths = [drawn(9 + i, k, 5, 5)[1] for i, (_, k) in enumerate(sizes)]
    truths[1][0] = False  # an object without a pixel
    (all_maps, answered), (all_truths, asked) = F.pad_groups(maps), F.pad_groups(truths)
    got = F.assigned_sources(all_maps, all_truths, asked, answered)
    assert (~got.isnan()).tolist() == [
        [True, True, False],
        [False, True, True],
        [True, True, False],
        [True, False, False],
    ]
    assert got[2, :2].tolist() == [0, 0]
    for i in (0, 1, 3):
        alone = F.assigned_sources(maps[i][None], truths[i][None])[0]
        torch.testing.assert_close(got[i, : sizes[i][1]], alone, equal_nan=True)
