"""Contrastive losses: similarities of images and audio over all pairs of views, and InfoNCE over them.

Views are axes: v image views, u audio views, b samples. A similarity tensor is (v, u, b, b): entry [v, u, i, j]
compares view v of image i with view u of audio j. In distributed training (`soundspot.utils.distributed`) each process
encodes its own b samples, and a similarity tensor covers the m samples of all processes.

Sources: Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018 (InfoNCE); the reducers are
those of the papers named in `map_similarity`.
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
    """Disable autocast in a function: a cosine in bf16 is off by 0.004, which a temperature of 0.07 makes 0.06.

    Args:
        function: function with at least one tensor as a positional argument.

    Returns:
        Wrapper of the same signature, which disables autocast on the device of the first tensor during the call; dtypes
        of the arguments are not changed.
    """

    @wraps(function)
    def without_autocast(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(a.device.type for a in args if isinstance(a, Tensor))
        with torch.autocast(device, enabled=False):
            return function(*args, **kwargs)

    return without_autocast


@full_precision
def all_pair_maps(
    image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"]
) -> Float[Tensor, "v u b m p"]:
    """Compute the cosine map of every image with every audio, over all pairs of views.

    Args:
        image_features: (v, b, c, h, w) features of unit L2 norm over c, of this process only.
        audio_embeddings: (u, b, c) embeddings of unit L2 norm, of this process; those of all processes are gathered
            here.

    Returns:
        (v, u, b, m, p) cosines of image i of this process with audio j of all processes, at p = h w locations row by
        row; m is b in a single process.
    """
    return torch.einsum("vicp,ujc->vuijp", image_features.flatten(-2), all_gather_with_grad(audio_embeddings, 1))


@full_precision
def matched_pair_maps(
    image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"]
) -> Float[Tensor, "v b u h w"]:
    """Compute the cosine map of every image with its own audio only, over all pairs of views.

    Args:
        image_features: (v, b, c, h, w) features of unit L2 norm over c.
        audio_embeddings: (u, b, c) embeddings of unit L2 norm.

    Returns:
        (v, b, u, h, w) cosines in [-1, 1] of image i in view v with audio i in view u.
    """
    return torch.einsum("vbchw,ubc->vbuhw", image_features, audio_embeddings)


@full_precision
def map_similarity(
    image_features: Float[Tensor, "v b c h w"],
    audio_embeddings: Float[Tensor, "u b c"],
    reducer: Reducer = "mean",
    sharpness: float = 10.0,
) -> Float[Tensor, "v u m m"]:
    """Compute the similarity of each image with each audio as a reduction of their cosine map.

    Args:
        image_features: (v, b, c, h, w) features of unit L2 norm over c, of this process.
        audio_embeddings: (u, b, c) embeddings of unit L2 norm, of this process.
        reducer: reduction over the h w locations: `mean`, as the alignment paper prints it; `max` (EZ-VSL); `softmax`,
            the mean weighted by softmax(sharpness * cosine); `trimap`, the mean of the foreground, cosines above 0.65
            (LVS).
        sharpness: factor in the weights of `softmax`, ignored by other reducers; 0 gives the mean, infinity the
            maximum.

    Returns:
        (v, u, m, m) similarities in [-1, 1] of all pairs of the m samples of all processes. The mean of cosines is the
        cosine with the mean, so `mean` pools the features before the product: v u b^2 c work in place of v u b^2 c h w,
        without computing a map.

    Raises:
        RecipeError: `reducer` is unknown.

    Examples:
        >>> features = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 1, 2, 1, 2)  # two orthogonal locations
        >>> audio = torch.tensor([[[1.0, 0.0]]])  # matches the first one
        >>> [map_similarity(features, audio, reducer).item() for reducer in ("mean", "max")]
        [0.5, 1.0]
    """
    if reducer == "mean":
        return embedding_similarity(image_features.mean(dim=(-2, -1)), audio_embeddings)
    return all_gather_with_grad(reduce_maps(all_pair_maps(image_features, audio_embeddings), reducer, sharpness), 2)


def reduce_maps(
    maps: Float[Tensor, "*b p"], reducer: Reducer = "mean", sharpness: float | int = 10.0
) -> Float[Tensor, "*b"]:
    """Reduce cosine maps to a similarity each.

    Args:
        maps: (..., p) cosines at p locations.
        reducer: reduction over the locations, as in `map_similarity`.
        sharpness: factor in the weights of `softmax`.

    Returns:
        (...) similarities in [-1, 1].

    Raises:
        RecipeError: `reducer` is unknown.
    """
    if reducer == "mean":
        return maps.mean(dim=-1)
    if reducer == "max":
        return maps.amax(dim=-1)
    if reducer == "softmax":
        return (torch.softmax(sharpness * maps, dim=-1) * maps).sum(dim=-1)
    if reducer == "trimap":
        return foreground_mean(maps)
    raise RecipeError(f"method.reducer: found {reducer!r}, expected mean, max, softmax or trimap")


@full_precision
def embedding_similarity(
    image_embeddings: Float[Tensor, "v b c"], audio_embeddings: Float[Tensor, "u b c"]
) -> Float[Tensor, "v u m m"]:
    """Compute the cosine of each image embedding with each audio embedding.

    Args:
        image_embeddings: (v, b, c) embeddings of unit L2 norm, of this process.
        audio_embeddings: (u, b, c) embeddings of unit L2 norm, of this process.

    Returns:
        (v, u, m, m) cosines in [-1, 1] of all pairs of the m samples of all processes.
    """
    similarity = torch.einsum("vic,ujc->vuij", image_embeddings, all_gather_with_grad(audio_embeddings, 1))
    return all_gather_with_grad(similarity, 2)


def info_nce(
    similarity: Float[Tensor, "*views b b"],
    tau: float = 0.07,
    false_negatives: Bool[Tensor, "b b"] | None = None,
    false_negatives_as_positives: bool = False,
    symmetric: bool = False,
    margin: float = 0.0,
    hard_negatives: Float[Tensor, "*views b k"] | None = None,
) -> Float[Tensor, ""]:
    """Compute InfoNCE from images to audio: mean over samples, *summed* over the pairs of views.

    -log( exp(s_ii / tau) / (exp(s_ii / tau) + sum over negatives j of exp(s_ij / tau)) )

    Args:
        similarity: (..., b, b) similarities; entry [..., i, j] compares image i with audio j. Leading axes are pairs of
            views.
        tau: temperature, by which similarities are divided.
        false_negatives: (b, b) bool, True where audio j is likely to match image i too; such pairs are left out of the
            denominator. None: all other audio is negative.
        false_negatives_as_positives: treat those pairs as positives too. The loss of image i is then the mean over its
            positives, each against the same negatives: what random pairing within a category gives on average, without
            its variance.
        symmetric: add the loss from audio to images; the sum is not halved.
        margin: number subtracted from the similarity of each positive before the softmax; below 0 it favors them
            (MarginNCE).
        hard_negatives: (..., b, k) similarities of k further negatives of each sample (LVS: the background of its own
            map); None: there are none.

    Returns:
        Scalar; per pair of views near 0 when every pair is separated, log b when all are equal (2 log b if
        symmetric).

    Examples:
        >>> info_nce(torch.ones(4, 4))  # all are equal: log 4
        tensor(1.3863)
        >>> info_nce(torch.eye(4)) < 1e-4  # every pair is separated
        tensor(True)
        >>> false_negatives = torch.ones(4, 4, dtype=torch.bool)
        >>> info_nce(torch.ones(4, 4), false_negatives=false_negatives)  # without negatives there is nothing to learn
        tensor(0.)
    """
    if symmetric:
        as_positives, transposed = false_negatives_as_positives, None if false_negatives is None else false_negatives.T
        from_audio = info_nce(
            similarity.transpose(-1, -2), tau, transposed, as_positives, False, margin, hard_negatives
        )
        return info_nce(similarity, tau, false_negatives, as_positives, False, margin, hard_negatives) + from_audio
    logits = similarity / tau
    matched = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    excluded = matched if false_negatives is None else matched | false_negatives
    negatives = logits.masked_fill(excluded, -1e4)  # finite, so a row without negatives is 0
    if hard_negatives is not None:
        negatives = torch.cat([negatives, hard_negatives / tau], -1)
    positives = (excluded if false_negatives_as_positives else matched).to(logits.dtype)
    weights = positives / positives.sum(dim=-1, keepdim=True)
    losses = F.softplus(negatives.logsumexp(dim=-1, keepdim=True) - (logits - margin / tau))
    return (losses * weights).sum(dim=-1).mean(dim=-1).sum()


def multi_positive_nce(
    positives: Float[Tensor, "b k"],
    similarity: Float[Tensor, "b b"],
    tau: float = 0.07,
    false_negatives: Bool[Tensor, "b b"] | None = None,
    sum_exponentials: bool = False,
    hard_negatives: Float[Tensor, "b k2"] | None = None,
) -> Float[Tensor, ""]:
    """Compute InfoNCE with k combined positives per image (HardPos); with one it is `info_nce`.

    -log( P_i / (P_i + sum over negatives j of exp(s_ij / tau)) ),   P_i = exp(mean over k of p_ik / tau)

    Args:
        positives: (b, k) similarities of each image's k positives.
        similarity: (b, b) similarities of image i and audio j, of which all off the diagonal are negatives.
        tau: temperature, by which similarities are divided.
        false_negatives: (b, b) bool, True where audio j is likely to match image i too; such pairs are left out of the
            denominator. None: there are none.
        sum_exponentials: define P_i as the sum of exp(p_ik / tau) over k, in place of the exponential of the mean.
        hard_negatives: (b, k2) similarities of further negatives of each image; None: there are none.

    Returns:
        Scalar, mean over the images, from images to audio only.
    """
    matched = torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
    negatives = (similarity / tau).masked_fill(matched if false_negatives is None else matched | false_negatives, -1e4)
    if hard_negatives is not None:
        negatives = torch.cat([negatives, hard_negatives / tau], dim=-1)
    total = negatives.logsumexp(dim=-1)
    combined = (positives / tau).logsumexp(dim=-1) if sum_exponentials else positives.mean(dim=-1) / tau
    return F.softplus(total - combined).mean()


def cross_view_nce(
    embeddings: Float[Tensor, "v b c"],
    tau: float = 0.07,
    false_negatives: Bool[Tensor, "b b"] | None = None,
    false_negatives_as_positives: bool = False,
) -> Float[Tensor, ""]:
    """Compute InfoNCE within one modality, summed over the ordered pairs of different views.

    Args:
        embeddings: (v, b, c) embeddings of unit L2 norm, of this process; those of all processes are gathered here.
        tau: temperature, by which cosines are divided.
        false_negatives: (m, m) bool over the samples of all processes, True where two samples are likely to match; such
            pairs are left out of the denominator. None: there are none.
        false_negatives_as_positives: treat those pairs as positives too, each with equal weight.

    Returns:
        Scalar, mean over samples, summed over the v (v - 1) ordered pairs of views; 0 for a single view.
    """
    views = len(embeddings)
    similarity = embedding_similarity(embeddings, embeddings)
    pairs = [similarity[a, b] for a in range(views) for b in range(views) if a != b]
    if not pairs:
        return embeddings.new_zeros(())
    return info_nce(torch.stack(pairs), tau, false_negatives, false_negatives_as_positives)


def unit_norm(features: Float[Tensor, "..."], dim: int = -1) -> Float[Tensor, "..."]:
    """Scale features to unit norm along `dim`, in at least single precision.

    Args:
        features: tensor of any shape; vectors of zeros stay zero.
        dim: axis over which the L2 norm is computed.

    Returns:
        Tensor of the same shape; float16 and bfloat16 become float32, other dtypes stay.

    Examples:
        >>> unit_norm(torch.tensor([3.0, 4.0]))
        tensor([0.6000, 0.8000])
    """
    return F.normalize(features.float() if features.dtype in (torch.float16, torch.bfloat16) else features, dim=dim)
