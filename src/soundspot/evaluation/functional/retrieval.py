"""Cross-modal retrieval between images and audio: recalls, in expectation over the order of equal items.

Recall@k has its usual definition: the share of queries with a relevant item among the k most similar. Items that are as
similar to a query as its best relevant one come in random order, so that a model whose embeddings are all alike has the
recall of chance. A similarity that is nan counts as the least there is: such an item comes last, in random order among
its like, and a query whose similarities are all nan has chance.

`relevant` says which items answer a query: item i alone answers query i (by instance; the default), every sound of an
image does, or all items of its category do (`labels[:, None] == labels`).
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

TOLERANCE = (
    1e-6  # largest difference of equal cosines: embeddings of one input in two batches differ by float32 rounding
)
MAX_SPREAD = 10  # magnitudes of queries beyond as many times the median do not scale the tolerance of others
MIN_QUERIES = 64  # at a time, at least
MAX_CELLS = 2**22  # similarities of queries and items at a time: 16 MB
ITEM_CHUNK = 1024  # embeddings that are normalized at a time

RelevanceMatrix: TypeAlias = Bool[Tensor, "n m"] | Callable[[slice, slice], Bool[Tensor, "n m"]]


class TiedRanks(NamedTuple):
    """Position of the best relevant item of each query, where equal items come in random order.

    Attributes:
        better: (n,) int64 number of items more similar than the best relevant item.
        equal: (n,) int64 number of items as similar as it, itself among them.
        relevant: (n,) int64 number of relevant items among those; 0 for a query without a relevant item.
    """

    better: Int[Tensor, " n"]
    equal: Int[Tensor, " n"]
    relevant: Int[Tensor, " n"]


@runtime_checkable
class EmbeddingRows(Protocol):
    """Embeddings (n, d) that are read in slices of rows: a tensor, or rows on disk."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice, /) -> Float[Tensor, "b d"]: ...


def embedding_ranks(queries: EmbeddingRows, items: EmbeddingRows, relevant: RelevanceMatrix | None = None) -> TiedRanks:
    """Compute the rank of each query's best relevant item by cosine, without holding all similarities.

    Cosines are computed in float64; those within 1e-6 of the best relevant item's are equal to it, so neither the
    rounding of a model nor the division of the work orders embeddings that are alike.

    Args:
        queries: (n, d) embeddings, of any norm.
        items: (m, d) embeddings, of any norm.
        relevant: (n, m) matrix, True where an item answers a query; or a function from a slice of queries and a slice
            of items to that block of the matrix; None: item i alone answers query i, which needs m >= n.

    Returns:
        Numbers of better, equal, and equal relevant items of each query.
    """
    return embedding_ranks_multi(queries, items, [relevant])[0]


def embedding_ranks_multi(
    queries: EmbeddingRows, items: EmbeddingRows, relevant: Sequence[RelevanceMatrix | None]
) -> list[TiedRanks]:
    """Compute `embedding_ranks` for several definitions of relevance from the same similarities.

    Args:
        queries: (n, d) embeddings, of any norm.
        items: (m, d) embeddings, of any norm.
        relevant: definitions of relevance, each an (n, m) bool matrix; or a function from a slice of queries and a
            slice of items to that block of the matrix; or None: item i alone answers query i.

    Returns:
        Numbers of better, equal, and equal relevant items of each query, for each definition, in order.
    """
    step = min(len(queries), max(MIN_QUERIES, MAX_CELLS // max(1, len(items))))
    device = queries[:1].device
    ranks = torch.empty(len(relevant), 3, len(queries), dtype=torch.int64, device=device)
    buffer = torch.empty(step, len(items), device=device)  # one, as large blocks that come and go fragment memory
    chunks = [slice(first, min(first + ITEM_CHUNK, len(items))) for first in range(0, len(items), ITEM_CHUNK)]
    for start in range(0, len(queries), max(1, step)):
        rows = slice(start, min(start + step, len(queries)))
        normalized = normalize(queries[rows].double(), dim=1)
        similarity = buffer[: len(normalized)]
        best = similarity.new_full((len(relevant), len(normalized)), -torch.inf)
        for columns in chunks:
            cosines = (normalized @ normalize(items[columns].double(), dim=1).T).float()
            block = similarity[:, columns] = _rank_nan_last(cosines)
            for highest, matrix in zip(best, relevant, strict=True):
                if matrix is not None:
                    unanswered = ~_relevance_block(matrix, rows, columns, device)
                    block_highest = block.masked_fill(unanswered, -torch.inf).amax(dim=1)
                    highest.copy_(torch.maximum(highest, block_highest))
        for rank, highest, matrix in zip(ranks, best, relevant, strict=True):
            threshold = similarity.diagonal(start) if matrix is None else highest
            rank[:, rows] = _count_items(similarity, threshold, TOLERANCE)
            if matrix is None:
                rank[2, rows] = rank[1, rows].clamp(max=1)
                continue
            rank[2, rows] = 0
            for columns in chunks:
                near = similarity[:, columns] >= (threshold - TOLERANCE)[:, None]
                if bool(near.any()):
                    rank[2, rows] += (near & _relevance_block(matrix, rows, columns, device)).sum(dim=1)
    return [TiedRanks(*rank) for rank in ranks]


def retrieval_ranks(similarity: Float[Tensor, "n m"], relevant: Bool[Tensor, "n m"] | None = None) -> TiedRanks:
    """Compute the rank of each query's best relevant item.

    Similarities to a query are equal where they differ by at most 1e-6 of the largest finite magnitude among them. Of
    queries nearly orthogonal to all items little but rounding is left, so the magnitude is at least the largest of all
    queries, or 10 times the median query's if that is less: one huge similarity makes no ties of other queries.

    Args:
        similarity: (n, m) similarity of each query to each item.
        relevant: (n, m) matrix, True where an item answers a query; None: item i alone answers query i.

    Returns:
        Numbers of better, equal, and equal relevant items of each query.

    Examples:
        >>> similarity = torch.tensor([[0.9, 0.1], [0.3, 0.3]])  # the items are the same to the second query
        >>> better, equal, relevant = retrieval_ranks(similarity)
        >>> better, equal, relevant
        (tensor([0, 0]), tensor([1, 2]), tensor([1, 1]))
    """
    if relevant is None:
        relevant = torch.eye(*similarity.shape, dtype=torch.bool, device=similarity.device)
    if not similarity.numel():
        return TiedRanks(*torch.zeros(3, len(similarity), dtype=torch.int64, device=similarity.device))
    similarity = _rank_nan_last(similarity)
    magnitude = similarity.where(similarity.isfinite(), 0).abs().amax(dim=1)
    tolerance = TOLERANCE * magnitude.maximum(magnitude.amax().minimum(MAX_SPREAD * magnitude.median()))
    best = similarity.masked_fill(~relevant, -torch.inf).amax(dim=1)
    near = similarity >= (best - tolerance)[:, None]
    better, equal, _ = _count_items(similarity, best, tolerance)
    return TiedRanks(better, equal, (near & relevant).sum(dim=1))


def _relevance_block(matrix: RelevanceMatrix, rows: slice, columns: slice, device: torch.device) -> Tensor:
    return (matrix(rows, columns) if callable(matrix) else matrix[rows, columns]).to(device)


def _rank_nan_last(similarity: Tensor) -> Tensor:
    return similarity.masked_fill(similarity.isnan(), -torch.inf)


def _count_items(similarity: Tensor, best: Tensor, tolerance: float | Tensor) -> Int[Tensor, "3 n"]:
    """Count the items of each query above its best relevant one, and those equal to it; the third row is empty."""
    better = (similarity > (best + tolerance)[:, None]).sum(dim=1)
    equal = (similarity >= (best - tolerance)[:, None]).sum(dim=1) - better
    return torch.stack([better, equal, torch.zeros_like(equal)])


def expected_recall(ranks: TiedRanks, k: int) -> Float[Tensor, " n"]:
    """Compute the probability that a query has a relevant item among the k most similar.

    Of e equal items, r of them relevant, the first k - g come after g better ones; all orders of equal items are as
    likely, so none of the r is among them with probability C(e - r, k - g) / C(e, k - g).

    Args:
        ranks: numbers of better, equal, and equal relevant items of each query (g, e and r).
        k: number of items retrieved for each query.

    Returns:
        (n,) float64 probabilities: exactly 0 or 1 where nothing ties; 0 for a query without a relevant item.

    Examples:
        >>> one_of_four = TiedRanks(torch.tensor([0]), torch.tensor([4]), torch.tensor([1]))  # all items are the same
        >>> expected_recall(one_of_four, k=1), expected_recall(one_of_four, k=4)
        (tensor([0.2500], dtype=torch.float64), tensor([1.], dtype=torch.float64))
    """
    better, equal, relevant = ranks
    missed = torch.ones_like(better, dtype=torch.float64)
    for drawn in range(min(k, int(equal.max())) if len(equal) else 0):
        left, wrong = (equal - drawn).clamp(min=1), (equal - relevant - drawn).clamp(min=0)
        missed = torch.where(better + drawn < k, missed * (wrong.double() / left), missed)
    return torch.where(relevant > 0, 1 - missed, 0)


def recall_at(
    similarity: Float[Tensor, "n m"], relevant: Bool[Tensor, "n m"] | None = None, k: int = 1
) -> Float[Tensor, ""]:
    """Compute the share of queries with a relevant item among the k most similar, in expectation over equal items.

    Args:
        similarity: (n, m) similarity of each query to each item; equal ones (`retrieval_ranks`) come in random order.
        relevant: (n, m) matrix, True where an item answers a query; None: item i alone answers query i.
        k: number of items retrieved for each query.

    Returns:
        Scalar, float64. A query without a relevant item counts as unanswered for every k.

    Examples:
        >>> similarity = torch.tensor([[0.9, 0.1], [0.8, 0.3]])  # the second query's own item is the second nearest
        >>> recall_at(similarity).item(), recall_at(similarity, k=2).item()
        (0.5, 1.0)
        >>> recall_at(torch.ones(4, 4)).item()  # no item is nearer than another: chance
        0.25
    """
    return expected_recall(retrieval_ranks(similarity, relevant), k).mean()


def chance_recall(num_relevant: Int[Tensor, " n"], num_items: int, k: int) -> Float[Tensor, " n"]:
    """Compute the probability that a random order has a relevant item of each query among the first k.

    Args:
        num_relevant: (n,) number of relevant items of each query.
        num_items: number of items in all.
        k: number of items retrieved for each query; more than `num_items` count as `num_items`.

    Returns:
        (n,) float64 probabilities; 0 for a query without a relevant item.
    """
    better, equal = torch.zeros_like(num_relevant), torch.full_like(num_relevant, num_items)
    return expected_recall(TiedRanks(better, equal, num_relevant), k)
