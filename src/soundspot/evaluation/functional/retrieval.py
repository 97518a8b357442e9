"""Which sound belongs to which picture: ranks and recalls.

What answers a query is said by `relevant`, a matrix: item i alone answers query i (an instance; the default), every
sound of a picture answers it, or all that has its category (`labels[:, None] == labels`).
"""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

MIN_QUERIES = 64  # at a time, at least
MAX_CELLS = 2**22  # similarities of queries and items at a time: 16 MB
ITEM_CHUNK = 1024  # whose vectors are brought to unit length at a time

RelevanceMatrix: TypeAlias = Bool[Tensor, "n m"] | Callable[[slice, slice], Bool[Tensor, "n m"]]


@runtime_checkable
class EmbeddingRows(Protocol):
    """Vectors that are read some at a time: a tensor (n, d), or whatever gives parts of one."""

    def __len__(self) -> int: ...
    def __getitem__(self, at: slice, /) -> Float[Tensor, "b d"]: ...


def embedding_ranks(
    queries: EmbeddingRows, items: EmbeddingRows, relevant: RelevanceMatrix | None = None
) -> Int[Tensor, " n"]:
    """`retrieval_ranks` by cosine, without holding all similarities.

    Cosines are computed in float64 and compared in float32, so that embeddings that are equal stay equal however
    the work is divided.

    Args:
        relevant: a matrix, or what gives the part of it for some queries and some items.
    """
    return embedding_ranks_multi(queries, items, [relevant])[0]


def embedding_ranks_multi(
    queries: EmbeddingRows, items: EmbeddingRows, relevant: Sequence[RelevanceMatrix | None]
) -> list[Int[Tensor, " n"]]:
    """The same for several ways of saying what answers a query, of similarities that are computed once."""
    step = min(len(queries), max(MIN_QUERIES, MAX_CELLS // max(1, len(items))))
    device = queries[:1].device
    ranks = torch.empty(len(relevant), len(queries), dtype=torch.int64, device=device)
    room = torch.empty(step, len(items), device=device)  # once: large parts that come and go leave memory in pieces
    for start in range(0, len(queries), max(1, step)):
        few = slice(start, min(start + step, len(queries)))
        asked = normalize(queries[few].double(), dim=1)
        similarity = room[: len(asked)]
        best = similarity.new_full((len(relevant), len(asked)), -torch.inf)
        for first in range(0, len(items), ITEM_CHUNK):
            some = slice(first, min(first + ITEM_CHUNK, len(items)))
            part = similarity[:, some] = (asked @ normalize(items[some].double(), dim=1).T).float()
            for found, which in zip(best, relevant, strict=True):
                if which is not None:
                    right = which(few, some) if callable(which) else which[few, some]
                    highest = part.masked_fill(~right.to(part.device), -torch.inf).amax(dim=1)
                    found.copy_(torch.maximum(found, highest))
        for row, found, which in zip(ranks, best, relevant, strict=True):
            least = similarity.diagonal(start) if which is None else found
            row[few] = (similarity > least[:, None]).sum(dim=1)
    return [*ranks]


def retrieval_ranks(similarity: Float[Tensor, "n m"], relevant: Bool[Tensor, "n m"] | None = None) -> Int[Tensor, " n"]:
    """Rank from 0 of each query's best relevant item: how many items are strictly more similar to it.

    Args:
        relevant: which items answer which query; None: item i alone answers query i.

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
    """Share of the queries with a relevant item among the k most similar.

    Examples:
        >>> similarity = torch.tensor([[0.9, 0.1], [0.8, 0.3]])  # the second query's own item is the second nearest
        >>> recall_at(similarity).item(), recall_at(similarity, k=2).item()
        (0.5, 1.0)
    """
    return (retrieval_ranks(similarity, relevant) < k).double().mean()


def chance_recall(num_relevant: Int[Tensor, " n"], num_items: int, k: int) -> Float[Tensor, " n"]:
    """How likely a random order of `items` puts one of each query's relevant ones among the first k."""
    drawn = torch.arange(min(k, num_items), dtype=torch.float64)
    missed = (num_items - num_relevant[:, None].double() - drawn).clamp(min=0) / (num_items - drawn)
    return 1 - missed.prod(dim=1)
