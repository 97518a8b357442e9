"""The contrastive family against formulas written out, its gradients, and what a reader would doubt."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from soundspot.losses.contrastive import (
    cross_view_nce,
    embedding_similarity,
    info_nce,
    map_similarity,
    multi_positive_nce,
    unit_norm,
)


def features(
    v: int = 3, u: int = 3, b: int = 4, c: int = 5, h: int = 3, w: int = 2, dtype: torch.dtype = torch.float64
):
    torch.manual_seed(0)
    return unit_norm(torch.randn(v, b, c, h, w, dtype=dtype), dim=2), unit_norm(torch.randn(u, b, c, dtype=dtype))


def test_nine_pairs_are_the_paper_written_out() -> None:
    grids, vectors = features()
    similarity = map_similarity(grids, vectors)
    expected = torch.zeros((), dtype=torch.float64)
    for v in range(3):
        for u in range(3):
            for i in range(4):
                scores = torch.stack(
                    [
                        torch.stack([grids[v, i, :, y, x] @ vectors[u, j] for y in range(3) for x in range(2)]).mean()
                        for j in range(4)
                    ]
                )
                expected -= torch.log(torch.exp(scores[i] / 0.07) / torch.exp(scores / 0.07).sum()) / 4
    assert similarity.shape == (3, 3, 4, 4)
    assert info_nce(similarity, 0.07).item() == pytest.approx(expected.item(), rel=1e-12)


def test_pooling_first_changes_nothing() -> None:
    """The mean over places of cosines is the cosine with the mean: the shortcut that saves h x w of the work."""
    grids, vectors = features(h=7, w=5)
    unpooled = torch.einsum("vichw,ujc->vuijhw", grids, vectors).mean(dim=(-2, -1))
    torch.testing.assert_close(map_similarity(grids, vectors), unpooled, rtol=0, atol=1e-14)


def test_softmax_lies_between_mean_and_max_and_reaches_both() -> None:
    grids, vectors = features()
    mean, most = (map_similarity(grids, vectors, r) for r in ("mean", "max"))
    torch.testing.assert_close(map_similarity(grids, vectors, "softmax", sharpness=0.0), mean)
    torch.testing.assert_close(map_similarity(grids, vectors, "softmax", sharpness=1e4), most)
    between = map_similarity(grids, vectors, "softmax", sharpness=5.0)
    assert ((mean <= between + 1e-12) & (between <= most + 1e-12)).all()


@settings(max_examples=20, deadline=None)
@given(b=st.integers(2, 9), symmetric=st.booleans())
def test_alike_pairs_cost_log_b(b: int, symmetric: bool) -> None:
    alike = torch.full((1, 1, b, b), 0.3)
    assert info_nce(alike, symmetric=symmetric).item() == pytest.approx((1 + symmetric) * math.log(b), rel=1e-5)


def test_told_apart_costs_nothing() -> None:
    assert info_nce(torch.eye(5)[None, None], tau=0.01).item() < 1e-6


def test_alike_sounds_are_no_negatives() -> None:
    """Leaving sound 1 out for picture 0 gives the loss of the batch in which it is as unlike as can be."""
    similarity = torch.rand(2, 2, 4, 4, dtype=torch.float64)
    alike = torch.zeros(4, 4, dtype=torch.bool)
    alike[0, 1] = True
    far = similarity.clone()
    far[:, :, 0, 1] = -1e3
    assert info_nce(similarity, false_negatives=alike).item() == pytest.approx(info_nce(far).item(), rel=1e-12)


def test_the_pair_itself_is_never_excluded() -> None:
    similarity = torch.rand(1, 1, 3, 3)
    everything = torch.ones(3, 3, dtype=torch.bool)
    assert info_nce(similarity, false_negatives=everything).item() == pytest.approx(0.0, abs=1e-6)


def test_symmetric_adds_the_other_direction() -> None:
    similarity = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    both = info_nce(similarity) + info_nce(similarity.transpose(-1, -2))
    assert info_nce(similarity, symmetric=True).item() == pytest.approx(both.item(), rel=1e-12)


def test_between_views_counts_ordered_pairs_and_one_view_costs_nothing() -> None:
    _, vectors = features(u=3)
    pairs = [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    expected = sum(info_nce((vectors[a] @ vectors[b].T)[None]) for a, b in pairs)
    assert cross_view_nce(vectors).item() == pytest.approx(float(expected), rel=1e-12)
    assert cross_view_nce(vectors[:1]).item() == 0.0


def test_attracted_sounds_are_what_random_pairing_gives_on_average() -> None:
    similarity = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    alike = torch.zeros(4, 4, dtype=torch.bool)
    alike[0, 1] = alike[1, 0] = True
    swapped = similarity[..., [1, 0, 2, 3]]
    average = (info_nce(similarity, false_negatives=alike) + info_nce(swapped, false_negatives=alike)) / 2
    # Pictures 2 and 3 are paired alike in both; 0 and 1 are dealt either sound.
    assert info_nce(similarity, false_negatives=alike, false_negatives_as_positives=True).item() == pytest.approx(
        average.item(), rel=1e-12
    )


@pytest.mark.parametrize("attract", [False, True])
@pytest.mark.parametrize("reducer", ["mean", "max", "softmax", "trimap"])
def test_gradients_of_place_similarity(reducer: str, attract: bool) -> None:
    torch.manual_seed(1)
    grids = torch.randn(2, 3, 4, 2, 2, dtype=torch.float64, requires_grad=True)
    vectors = torch.randn(1, 3, 4, dtype=torch.float64, requires_grad=True)
    alike = torch.tensor([[0, 1, 0], [0, 0, 0], [0, 0, 0]], dtype=torch.bool)

    def loss(g: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
        return info_nce(
            map_similarity(unit_norm(g, dim=2), unit_norm(a), reducer), 0.07, alike, attract, symmetric=True
        )  # type: ignore[arg-type]

    assert torch.autograd.gradcheck(loss, (grids, vectors))


def test_gradients_between_views() -> None:
    vectors = torch.randn(3, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: cross_view_nce(unit_norm(x)), (vectors,))


def test_autocast_does_not_blur_similarities() -> None:
    grids, vectors = features(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        cast = map_similarity(grids, vectors), embedding_similarity(grids[..., 0, 0], vectors)
    assert all(x.dtype == torch.float32 for x in cast)
    torch.testing.assert_close(cast[0], map_similarity(grids, vectors))


def test_a_place_speaks_for_its_picture_as_the_released_code_computes_it() -> None:
    """EZ-VSL: cross-entropy of best-place logits in both directions, summed."""
    grids, vectors = features(v=1, u=1)
    logits = torch.einsum("ichw,jc->ijhw", grids[0], vectors[0]).flatten(2).max(dim=-1).values / 0.03
    own = torch.arange(4)
    expected = F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)
    ours = info_nce(map_similarity(grids, vectors, "max"), 0.03, symmetric=True)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-9)


def test_a_margin_is_taken_off_the_positive_alone() -> None:
    similarity = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    logits = (similarity[0, 0] + 0.2 * torch.eye(4, dtype=torch.float64)) / 0.07
    expected = F.cross_entropy(logits, torch.arange(4))
    assert info_nce(similarity, margin=-0.2).item() == pytest.approx(expected.item(), rel=1e-12)
    assert info_nce(similarity, margin=-0.2) < info_nce(similarity) < info_nce(similarity, margin=0.2)


def test_hard_negatives_are_more_columns() -> None:
    similarity = torch.rand(1, 1, 4, 4, dtype=torch.float64)
    hard = torch.rand(1, 1, 4, 2, dtype=torch.float64)
    expected = F.cross_entropy(torch.cat([similarity, hard], -1)[0, 0] / 0.07, torch.arange(4))
    assert info_nce(similarity, hard_negatives=hard).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("symmetric", [False, True])
def test_gradients_of_margin_and_hard_negatives(symmetric: bool) -> None:
    similarity = torch.rand(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    hard = torch.rand(2, 1, 3, 1, dtype=torch.float64, requires_grad=True)

    def loss(s: torch.Tensor, h: torch.Tensor) -> torch.Tensor:
        return info_nce(s, 0.07, symmetric=symmetric, margin=-0.2, hard_negatives=h)

    assert torch.autograd.gradcheck(loss, (similarity, hard))


@pytest.mark.parametrize("odds", [False, True])
def test_one_positive_of_many_is_info_nce(odds: bool) -> None:
    similarity, hard = torch.rand(4, 4, dtype=torch.float64), torch.rand(4, 1, dtype=torch.float64)
    ours = multi_positive_nce(similarity.diagonal()[:, None], similarity, sum_exponentials=odds, hard_negatives=hard)
    assert ours.item() == pytest.approx(info_nce(similarity, hard_negatives=hard).item(), rel=1e-12)


@pytest.mark.parametrize("odds", [False, True])
def test_three_positives_written_out(odds: bool) -> None:
    """exp(mean of p / tau), or the sum of exp(p / tau), against every negative and the hard one."""
    torch.manual_seed(0)
    positives, similarity, hard = (torch.rand(4, n, dtype=torch.float64) for n in (3, 4, 1))
    alike = torch.zeros(4, 4, dtype=torch.bool)
    alike[0, 2] = True
    expected = 0.0
    for i in range(4):
        p = [math.exp(one / 0.5) for one in positives[i].tolist()]
        together = p[0] + p[1] + p[2] if odds else (p[0] * p[1] * p[2]) ** (1 / 3)
        others = [j for j in range(4) if j != i and (i, j) != (0, 2)]
        against = sum(math.exp(similarity[i, j].item() / 0.5) for j in others) + math.exp(hard[i, 0].item() / 0.5)
        expected -= math.log(together / (together + against)) / 4
    assert multi_positive_nce(positives, similarity, 0.5, alike, odds, hard).item() == pytest.approx(
        expected, rel=1e-12
    )


@pytest.mark.parametrize(("odds", "more"), [(False, 0.0), (True, math.log(3))])
def test_three_equal_positives_are_one_or_thrice_one(odds: bool, more: float) -> None:
    one, similarity = torch.rand(4, 1, dtype=torch.float64), torch.rand(4, 4, dtype=torch.float64)
    expected = multi_positive_nce(one + 0.07 * more, similarity)
    assert multi_positive_nce(one.expand(4, 3), similarity, sum_exponentials=odds).item() == pytest.approx(
        expected.item(), rel=1e-12
    )


@pytest.mark.parametrize("odds", [False, True])
def test_gradients_of_many_positives(odds: bool) -> None:
    positives, similarity = (torch.rand(3, n, dtype=torch.float64, requires_grad=True) for n in (2, 3))
    assert torch.autograd.gradcheck(
        lambda p, s: multi_positive_nce(p, s, sum_exponentials=odds), (positives, similarity)
    )
