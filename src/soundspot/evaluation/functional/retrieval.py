"""Cross-modal retrieval between images and audio: ranks and recalls.

Recall@k has its usual definition: the share of queries with a relevant item among the k most similar.

`relevant` says which items answer a query: item i alone answers query i (by instance; the default), every sound of an
image does, or all items of its category do (`labels[:, None] == labels`).
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

MIN_QUERIES = 64  # at a time, at least
MAX_CELLS = 2**22  # similarities of queries and items at a time: 16 MB
ITEM_CHUNK = 1024  # embeddings that are normalized at a time

RelevanceMatrix: TypeAlias = Bool[Tensor, "n m"] | Callable[[slice, slice], Bool[Tensor, "n m"]]


@runtime_checkable
class EmbeddingRows(Protocol):
    """Embeddings (n, d) that are read in slices of rows: a tensor, or rows on disk."""

    def __len__(self) -> int: ...
    def __getitem__(self, rows: slice, /) -> Float[Tensor, "b d"]: ...


def embedding_ranks(
    queries: EmbeddingRows, items: EmbeddingRows, relevant: RelevanceMatrix | None = None
) -> Int[Tensor, " n"]:
    """Compute the rank of each query's best relevant item by cosine, without holding all similarities.

    Cosines are computed in float64 and compared in float32, so that equal embeddings stay equal however the work is
    divided.

    Args:
        queries: (n, d) embeddings, of any norm.
        items: (m, d) embeddings, of any norm.
        relevant: (n, m) matrix, True where an item answers a query; or a function from a slice of queries and a slice
            of items to that block of the matrix; None: item i alone answers query i, which needs m >= n.

    Returns:
        (n,) int64 ranks from 0: the number of items strictly more similar than the best relevant item; m for a query
        without a relevant item.
    """
    return embedding_ranks_multi(queries, items, [relevant])[0]


def embedding_ranks_multi(
    queries: EmbeddingRows, items: EmbeddingRows, relevant: Sequence[RelevanceMatrix | None]
) -> list[Int[Tensor, " n"]]:
    """Compute `embedding_ranks` for several definitions of relevance from the same similarities.

    Args:
        queries: (n, d) embeddings, of any norm.
        items: (m, d) embeddings, of any norm.
        relevant: definitions of relevance, each an (n, m) bool matrix; or a function from a slice of queries and a
            slice of items to that block of the matrix; or None: item i alone answers query i.

    Returns:
        (n,) int64 ranks from 0 for each definition, in order; m for a query without a relevant item.
    """
    step = min(len(queries), max(MIN_QUERIES, MAX_CELLS // max(1, len(items))))
    device = queries[:1].device
    ranks = torch.empty(len(relevant), len(queries), dtype=torch.int64, device=device)
    buffer = torch.empty(step, len(items), device=device)  # one, as large blocks that come and go fragment memory
    for start in range(0, len(queries), max(1, step)):
        rows = slice(start, min(start + step, len(queries)))
        normalized = normalize(queries[rows].double(), dim=1)
        similarity = buffer[: len(normalized)]
        best = similarity.new_full((len(relevant), len(normalized)), -torch.inf)
        for first in range(0, len(items), ITEM_CHUNK):
            columns = slice(first, min(first + ITEM_CHUNK, len(items)))
            block = similarity[:, columns] = (normalized @ normalize(items[columns].double(), dim=1).T).float()
            for highest, matrix in zip(best, relevant, strict=True):
                if matrix is not None:
                    mask = matrix(rows, columns) if callable(matrix) else matrix[rows, columns]
                    block_highest = block.masked_fill(~mask.to(block.device), -torch.inf).amax(dim=1)
                    highest.copy_(torch.maximum(highest, block_highest))
        for rank, highest, matrix in zip(ranks, best, relevant, strict=True):
            threshold = similarity.diagonal(start) if matrix is None else highest
            rank[rows] = (similarity > threshold[:, None]).sum(dim=1)
    return [*ranks]


def retrieval_ranks(similarity: Float[Tensor, "n m"], relevant: Bool[Tensor, "n m"] | None = None) -> Int[Tensor, " n"]:
    """Compute the rank of each query's best relevant item: the number of items that are strictly more similar.

    Args:
        similarity: (n, m) similarity of each query to each item.
        relevant: (n, m) matrix, True where an item answers a query; None: item i alone answers query i.

    Returns:
        (n,) int64 ranks from 0; m for a query without a relevant item.

    Examples:
        >>> similarity = torch.tensor([[0.9, 0.1], [0.8, 0.3]])  # the second query's own item is the second nearest
        >>> retrieval_ranks(similarity)
        tensor([0, 1])
    """
    best = similarity.diagonal() if relevant is None else similarity.masked_fill(~relevant, -torch.inf).amax(dim=1)
    return (similarity > best[:, None]).sum(dim=1)


def recall_at(
    similarity: Float[Tensor, "n m"], relevant: Bool[Tensor, "n m"] | None = None, k: int = 1
) -> Float[Tensor, ""]:
    """Compute the share of queries with a relevant item among the k most similar.

    Args:
        similarity: (n, m) similarity of each query to each item.
        relevant: (n, m) matrix, True where an item answers a query; None: item i alone answers query i.
        k: number of items retrieved for each query.

    Returns:
        Scalar, float64. With k > m every query counts as answered.

    Examples:
        >>> similarity = torch.tensor([[0.9, 0.1], [0.8, 0.3]])  # the second query's own item is the second nearest
        >>> recall_at(similarity).item(), recall_at(similarity, k=2).item()
        (0.5, 1.0)
    """
    return (retrieval_ranks(similarity, relevant) < k).double().mean()


def chance_recall(num_relevant: Int[Tensor, " n"], num_items: int, k: int) -> Float[Tensor, " n"]:
    """Compute the probability that a random order has a relevant item of each query among the first k.

    Args:
        num_relevant: (n,) number of relevant items of each query.
        num_items: number of items in all.
        k: number of items retrieved for each query; more than `num_items` count as `num_items`.

    Returns:
        (n,) float64 probabilities; 0 for a query without a relevant item.
    """
    drawn = torch.arange(min(k, num_items), dtype=torch.float64)
    missed = (num_items - num_relevant[:, None].double() - drawn).clamp(min=0) / (num_items - drawn)
    return 1 - missed.prod(dim=1)
