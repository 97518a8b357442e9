"""The contrastive family: similarities of pictures and sounds over all pairs of views, and InfoNCE over them.

Views are axes: v picture views, u sound views, b clips. A similarity tensor is (v, u, b, b): entry [v, u, i, j]
compares view v of picture i with view u of sound j. Where several processes train (`soundspot.utils.distributed`), each puts in
its own clips, and a similarity tensor is of the m clips of all of them.
"""

from collections.abc import Callable
from functools import wraps
from typing import Literal, ParamSpec, TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.errors import RecipeError
from soundspot.losses.maps import foreground_mean
from soundspot.utils.distributed import all_gather_with_grad

Reducer = Literal["mean", "max", "softmax", "trimap"]
P = ParamSpec("P")
R = TypeVar("R")


def full_precision(function: Callable[P, R]) -> Callable[P, R]:
    """Keeps autocast out: a cosine in bf16 is off by 0.004, which a temperature of 0.07 makes 0.06 of a logit."""

    @wraps(function)
    def inside(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(a.device.type for a in args if isinstance(a, Tensor))
        with torch.autocast(device, enabled=False):
            return function(*args, **kwargs)

    return inside


@full_precision
def all_pair_maps(
    image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"]
) -> Float[Tensor, "v u b m p"]:
    """The map of every picture with every sound, over all pairs of views: unit-norm features, places p = h w flat.

    Of pictures those of this process: what becomes of a map's places is to be gathered, and not the places.
    """
    return torch.einsum("vicp,ujc->vuijp", image_features.flatten(-2), all_gather_with_grad(audio_embeddings, 1))


@full_precision
def matched_pair_maps(
    image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"]
) -> Float[Tensor, "v b u h w"]:
    """The map of every picture with its own sound alone, over all pairs of views: unit-norm features."""
    return torch.einsum("vbchw,ubc->vbuhw", image_features, audio_embeddings)


@full_precision
def map_similarity(
    image_features: Float[Tensor, "v b c h w"],
    audio_embeddings: Float[Tensor, "u b c"],
    reducer: Reducer = "mean",
    sharpness: float = 10.0,
) -> Float[Tensor, "v u m m"]:
    """How well each sound fits each picture, judged by its places.

    Args:
        grids: unit-norm features of each place.
        vectors: unit-norm sound vectors.
        reducer: over places: `mean` of the cosines, as the alignment paper prints it; `max`, the best place (EZ-VSL);
            `softmax`, the mean weighted by softmax(sharpness * cosine); `trimap`, the foreground's mean (LVS).
        sharpness: of `softmax`; 0 is the mean, infinity the maximum.

    Returns:
        Similarities in [-1, 1]. The mean of cosines is the cosine with the mean, so `mean` pools the places before
        the product: v u b^2 c work in place of v u b^2 c h w, and no map is ever held.

    Examples:
        >>> grids = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 1, 2, 1, 2)  # two places, at right angles
        >>> vectors = torch.tensor([[[1.0, 0.0]]])  # a sound that is the first one's
        >>> [place_similarity(grids, vectors, how).item() for how in ("mean", "max")]
        [0.5, 1.0]
    """
    if reducer == "mean":
        return embedding_similarity(image_features.mean(dim=(-2, -1)), audio_embeddings)
    maps = all_pair_maps(image_features, audio_embeddings)
    if reducer == "max":
        return all_gather_with_grad(maps.amax(dim=-1), 2)
    if reducer == "softmax":
        return all_gather_with_grad((torch.softmax(sharpness * maps, dim=-1) * maps).sum(dim=-1), 2)
    if reducer == "trimap":
        return all_gather_with_grad(foreground_mean(maps), 2)
    raise RecipeError(f"method.reducer: found {reducer!r}, expected mean, max, softmax or trimap")


@full_precision
def embedding_similarity(
    image_embeddings: Float[Tensor, "v b c"], audio_embeddings: Float[Tensor, "u b c"]
) -> Float[Tensor, "v u m m"]:
    """Cosine of each unit-norm picture vector with each unit-norm sound vector."""
    return all_gather_with_grad(
        torch.einsum("vic,ujc->vuij", image_embeddings, all_gather_with_grad(audio_embeddings, 1)), 2
    )


def info_nce(
    similarity: Float[Tensor, "*views b b"],
    tau: float = 0.07,
    false_negatives: Bool[Tensor, "b b"] | None = None,
    false_negatives_as_positives: bool = False,
    symmetric: bool = False,
    margin: float = 0.0,
    hard_negatives: Float[Tensor, "*views b k"] | None = None,
) -> Float[Tensor, ""]:
    """Each picture finds its own sound among those of the batch: mean over clips, *summed* over the pairs of views.

    -log( exp(s_ii / tau) / (exp(s_ii / tau) + sum over negatives j of exp(s_ij / tau)) )

    Args:
        similarity: entry [..., i, j] compares picture i with sound j.
        tau: temperature.
        alike: True where sound j would do for picture i as well as its own, as far as is known: no negative of it.
        attract: those are positives too. The loss of picture i is then the mean over its positives, each against the
            same negatives: what random pairing within a category gives on average, without the chance of the draw.
        symmetric: adds the same with pictures and sounds exchanged.
        margin: taken off each positive before the softmax; below 0 it favours them (MarginNCE).
        hard: k more negatives of each pair, in the unit of `similarity` (LVS: the background of its own map).

    Returns:
        Per pair of views: near 0 when every clip is told apart, log b when all look alike (2 log b if symmetric).

    Examples:
        >>> info_nce(torch.ones(4, 4))  # all look alike: log 4
        tensor(1.3863)
        >>> info_nce(torch.eye(4)) < 1e-4  # every clip is told apart
        tensor(True)
        >>> alike = torch.ones(4, 4, dtype=torch.bool)
        >>> info_nce(torch.ones(4, 4), alike=alike)  # who has no negatives has nothing to learn
        tensor(0.)
    """
    if symmetric:
        mirrored = None if false_negatives is None else false_negatives.T
        turned = info_nce(
            similarity.transpose(-1, -2), tau, mirrored, false_negatives_as_positives, False, margin, hard_negatives
        )
        return (
            info_nce(similarity, tau, false_negatives, false_negatives_as_positives, False, margin, hard_negatives)
            + turned
        )
    logits = similarity / tau
    own = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    known = own if false_negatives is None else own | false_negatives
    others = logits.masked_fill(known, -1e4)  # finite, so a row without negatives is 0
    against = (others if hard_negatives is None else torch.cat([others, hard_negatives / tau], -1)).logsumexp(
        dim=-1, keepdim=True
    )
    positives = (known if false_negatives_as_positives else own).to(logits.dtype)
    share = positives / positives.sum(dim=-1, keepdim=True)
    return (F.softplus(against - (logits - margin / tau)) * share).sum(dim=-1).mean(dim=-1).sum()


def multi_positive_nce(
    positives: Float[Tensor, "b k"],
    similarity: Float[Tensor, "b b"],
    tau: float = 0.07,
    false_negatives: Bool[Tensor, "b b"] | None = None,
    sum_exponentials: bool = False,
    hard_negatives: Float[Tensor, "b k2"] | None = None,
) -> Float[Tensor, ""]:
    """InfoNCE with k positives of each picture taken together (HardPos); with one it is `info_nce`.

    -log( P_i / (P_i + sum over negatives j of exp(s_ij / tau)) ),   P_i = exp(mean over k of p_ik / tau)

    Args:
        positives: similarities of each picture's positives.
        similarity: of pictures and sounds, for the negatives: its diagonal, and what is `alike`, are none.
        odds: P_i is the sum of the exponentials, in place of the exponential of the mean.
        hard: more negatives.
    """
    own = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    others = (similarity / tau).masked_fill(own if false_negatives is None else own | false_negatives, -1e4)
    against = (others if hard_negatives is None else torch.cat([others, hard_negatives / tau], dim=-1)).logsumexp(
        dim=-1
    )
    together = (positives / tau).logsumexp(dim=-1) if sum_exponentials else positives.mean(dim=-1) / tau
    return F.softplus(against - together).mean()


def cross_view_nce(
    embeddings: Float[Tensor, "v b c"],
    tau: float = 0.07,
    false_negatives: Bool[Tensor, "b b"] | None = None,
    false_negatives_as_positives: bool = False,
) -> Float[Tensor, ""]:
    """InfoNCE inside one modality: each ordered pair of different views of the same clips, summed; 0 for one view."""
    views = len(embeddings)
    similarity = embedding_similarity(embeddings, embeddings)
    other = [similarity[a, b] for a in range(views) for b in range(views) if a != b]
    return (
        info_nce(torch.stack(other), tau, false_negatives, false_negatives_as_positives)
        if other
        else embeddings.new_zeros(())
    )


def unit_norm(features: Float[Tensor, "..."], dim: int = -1) -> Float[Tensor, "..."]:
    """Scaled to unit norm along `dim` in at least single precision; what is all zero stays so.

    Examples:
        >>> unit(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """
    return F.normalize(features.float() if features.dtype in (torch.float16, torch.bfloat16) else features, dim=dim)
