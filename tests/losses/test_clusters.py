"""Soft k-means against loops, what becomes of clusters that lose all, and how far two sets of clusters are apart."""

import math

import pytest
import torch
from torch import Tensor

from soundspot.errors import RecipeError
from soundspot.losses.clusters import cluster_distances, soft_kmeans
from soundspot.losses.distances import margin_pair_loss


def slow_kmeans(tokens: list[list[float]], k: int, rounds: int, sharpness: float) -> tuple[list[list[float]], ...]:
    """One clip's centres and shares, number by number."""
    n = len(tokens)
    centres = [tokens[c * (n // k)] for c in range(k)]
    shares: list[list[float]] = []
    for _ in range(rounds):
        far = [[math.dist(centre, token) for token in tokens] for centre in centres]
        nearest = [min(far[c][t] for c in range(k)) for t in range(n)]
        raised = [[math.exp(-sharpness * (far[c][t] - nearest[t])) for t in range(n)] for c in range(k)]
        shares = [[raised[c][t] / sum(raised[o][t] for o in range(k)) for t in range(n)] for c in range(k)]
        centres = [
            [sum(s * token[d] for s, token in zip(row, tokens, strict=True)) / sum(row) for d in range(len(tokens[0]))]
            for row in shares
        ]
    return centres, shares


@pytest.mark.parametrize(("k", "rounds", "sharpness"), [(1, 4, 30.0), (2, 4, 30.0), (3, 2, 3.0), (4, 5, 1.0)])
def test_soft_kmeans_written_out(k: int, rounds: int, sharpness: float) -> None:
    tokens = torch.randn(3, 10, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(k))
    found = soft_kmeans(tokens, k, rounds, sharpness)
    for i in range(3):
        centres, shares = slow_kmeans(tokens[i].tolist(), k, rounds, sharpness)
        torch.testing.assert_close(found.centers[i], torch.tensor(centres, dtype=torch.float64), rtol=0, atol=1e-9)
        torch.testing.assert_close(found.assignments[i], torch.tensor(shares, dtype=torch.float64), rtol=0, atol=1e-9)


def test_two_blobs_are_told_apart_and_shares_sum_to_one() -> None:
    blobs = torch.randn(4, 20, 6, generator=torch.Generator().manual_seed(0)) * 0.05
    blobs[:, 10:] += 3
    found = soft_kmeans(blobs, 2)
    torch.testing.assert_close(found.assignments[:, 0], (torch.arange(20) < 10).float().expand(4, -1))
    torch.testing.assert_close(found.centers[:, 1], blobs[:, 10:].mean(dim=1))
    torch.testing.assert_close(soft_kmeans(blobs, 3, sharpness=0.5).assignments.sum(dim=1), torch.ones(4, 20))


def test_a_cluster_that_loses_every_token_stays_a_number() -> None:
    """The middle of three centres has both of its tokens taken away, one to each side."""
    line = torch.tensor([[0.0, 0.1, -9.9, 10.1, 8.0, 8.0]])[..., None]
    tokens = torch.cat([line, torch.zeros_like(line)], dim=-1).requires_grad_()
    for sharpness in (30.0, 3000.0):
        found = soft_kmeans(tokens, 3, iterations=6, sharpness=sharpness)
        assert bool(found.centers.isfinite().all())
        (gradient,) = torch.autograd.grad(found.centers.square().sum(), tokens)
        assert bool(gradient.isfinite().all())
    far = torch.tensor([[[0.0], [1e4], [2e4], [1e4]]])
    assert bool(soft_kmeans(far, 4, iterations=4).centers.isfinite().all())


def test_tokens_that_are_all_alike_have_even_shares_and_no_gradient_that_is_not_a_number() -> None:
    tokens = torch.ones(2, 6, 3, requires_grad=True)
    found = soft_kmeans(tokens, 3)
    torch.testing.assert_close(found.assignments, torch.full((2, 3, 6), 1 / 3))
    (gradient,) = torch.autograd.grad(found.centers.sum(), tokens)
    torch.testing.assert_close(gradient, torch.full((2, 6, 3), 0.5))


def test_the_order_of_the_tokens_matters_only_by_the_first_centres() -> None:
    tokens = torch.randn(1, 8, 4, generator=torch.Generator().manual_seed(3))
    order = torch.tensor([0, 3, 1, 2, 4, 7, 5, 6])  # 0 and 4 stay, which two clusters begin with
    one, two = soft_kmeans(tokens, 2), soft_kmeans(tokens[:, order], 2)
    torch.testing.assert_close(one.centers, two.centers)
    torch.testing.assert_close(one.assignments[:, :, order], two.assignments)


@pytest.mark.parametrize("k", [0, 7])
def test_more_clusters_than_tokens_are_refused(k: int) -> None:
    with pytest.raises(RecipeError, match=rf"found {k} clusters of 6 local features, expected 1 to 6"):
        soft_kmeans(torch.zeros(1, 6, 2), k)


def test_half_precision_is_clustered_in_single() -> None:
    tokens = torch.randn(2, 9, 4).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = soft_kmeans(tokens, 2)
    torch.testing.assert_close(found.centers, soft_kmeans(tokens.float(), 2).centers, rtol=0, atol=0)


def slow_apart(seen: Tensor, heard: Tensor) -> float:
    return math.sqrt(sum(min(math.dist(v, a) for v in seen.tolist()) ** 2 for a in heard.tolist()))


def test_clusters_apart_written_out() -> None:
    seen, heard = torch.randn(2, 3, 4, 5, dtype=torch.float64), torch.randn(1, 3, 2, 5, dtype=torch.float64)
    found = cluster_distances(seen, heard)
    assert found.shape == (2, 1, 3, 3)
    for v in range(2):
        for i in range(3):
            for j in range(3):
                assert found[v, 0, i, j].item() == pytest.approx(slow_apart(seen[v, i], heard[0, j]), abs=1e-8)


def test_gradients_in_float64() -> None:
    torch.manual_seed(0)
    tokens = torch.randn(2, 6, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: soft_kmeans(x, 2, iterations=3, sharpness=2.0).centers, (tokens,))
    assert torch.autograd.gradcheck(lambda x: soft_kmeans(x, 3, iterations=2, sharpness=1.0).assignments, (tokens,))
    seen = torch.randn(1, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    heard = torch.randn(2, 3, 2, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, a: margin_pair_loss(cluster_distances(v, a)), (seen, heard))
    meeting = seen.detach().clone().requires_grad_()  # centres that coincide: no gradient that is not a number
    margin_pair_loss(cluster_distances(meeting, meeting)).backward()
    assert meeting.grad is not None
    assert bool(meeting.grad.isfinite().all())
