"""Which sound belongs to which picture: ranks and recalls.

What answers a query is said by `relevant`, a matrix: item i alone answers query i (an instance; the default), every
sound of a picture answers it, or all that has its category (`labels[:, None] == labels`).
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

QUERIES = 512  # at a time: 20 MB of similarities to 5,000 items


def embedding_ranks(
    queries: Float[Tensor, "n d"], items: Float[Tensor, "m d"], relevant: Bool[Tensor, "n m"] | None = None
) -> Int[Tensor, " n"]:
    """`retrieval_ranks` by cosine, without holding all similarities.

    Cosines are computed in float64 and compared in float32, so that embeddings that are equal stay equal however
    the work is divided.
    """
    items = normalize(items.double(), dim=1)
    ranks = [torch.zeros(0, dtype=torch.int64, device=items.device)]
    for start in range(0, len(queries), QUERIES):
        few = slice(start, start + QUERIES)
        similarity = (normalize(queries[few].double(), dim=1) @ items.T).float()
        if relevant is None:
            best = similarity.diagonal(start)
        else:
            best = similarity.masked_fill(~relevant[few], -torch.inf).amax(dim=1)
        ranks.append((similarity > best[:, None]).sum(dim=1))
    return torch.cat(ranks)


def retrieval_ranks(similarity: Float[Tensor, "n m"], relevant: Bool[Tensor, "n m"] | None = None) -> Int[Tensor, " n"]:
    """Rank from 0 of each query's best relevant item: how many items are strictly more similar to it.

    Args:
        relevant: which items answer which query; None: item i alone answers query i.
    """
    best = similarity.diagonal() if relevant is None else similarity.masked_fill(~relevant, -torch.inf).amax(dim=1)
    return (similarity > best[:, None]).sum(dim=1)


def recall_at(
    similarity: Float[Tensor, "n m"], relevant: Bool[Tensor, "n m"] | None = None, k: int = 1
) -> Float[Tensor, ""]:
    """Share of the queries with a relevant item among the k most similar."""
    return (retrieval_ranks(similarity, relevant) < k).double().mean()


def chance_recall(relevant: Int[Tensor, " n"], items: int, k: int) -> Float[Tensor, " n"]:
    """How likely a random order of `items` puts one of each query's relevant ones among the first k."""
    drawn = torch.arange(min(k, items), dtype=torch.float64)
    missed = (items - relevant[:, None].double() - drawn).clamp(min=0) / (items - drawn)
    return 1 - missed.prod(dim=1)
