"""Losses of classes: what a clip is of (labels may be soft or missing), whose pairs are one clip, class distances."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.losses.contrastive import full_precision


@full_precision
def multilabel_bce(logits: Float[Tensor, "*views b k"], labels: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Binary cross-entropy of each class by itself, mean over classes and over the clips that are labelled.

    Args:
        labels: in [0, 1]; not a number where a clip is not labelled, which then costs nothing.

    Returns:
        Summed over views; log 2 each where nothing is known, 0 where no clip is labelled.
    """
    known = labels.isfinite()
    each = F.binary_cross_entropy_with_logits(
        logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits,
        labels.nan_to_num(0.0).to(torch.promote_types(logits.dtype, torch.float32)).expand_as(logits),
        reduction="none",
    )
    return (each * known).sum(dim=(-2, -1)).div(known.sum().clamp(min=1)).sum()


def soft_cross_entropy(logits: Float[Tensor, "b k"], labels: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Cross-entropy with labels scaled to sum to 1, mean over the clips that have any.

    Args:
        labels: in [0, 1]; rows that are not a number, or 0 throughout, are clips of which nothing is known.

    Returns:
        0 where nothing is known of any clip.
    """
    labels = labels.nan_to_num(0.0)
    total = labels.sum(dim=-1, keepdim=True)
    shares = labels / total.clamp(min=torch.finfo(labels.dtype).tiny)
    known = (total[:, 0] > 0).sum().clamp(min=1)
    return -(shares * F.log_softmax(logits.to(labels.dtype), dim=-1)).sum() / known


def distillation_divergence(scores: Float[Tensor, "*b k"], teacher: Float[Tensor, "*b k"]) -> Float[Tensor, "*b"]:
    """Divergence of softmax(scores) from a teacher's softmax, *mean* over the k classes (DSOL, as torch's has it).

    Args:
        teacher: logits that stand still.
    """
    goal = F.softmax(teacher.detach(), dim=-1)
    return F.kl_div(F.log_softmax(scores, dim=-1), goal, reduction="none").mean(dim=-1)


@full_precision
def balanced_pair_bce(
    logits: Float[Tensor, "*views b b"], false_negatives: Bool[Tensor, "b b"] | None = None
) -> Float[Tensor, ""]:
    """Which picture and sound are one clip's: half the mean over those that are, half over those that are not.

    Args:
        logits: that picture i and sound j are; of two outputs, the second less the first, which is the same loss.
        alike: True where sound j would do for picture i as well as its own: neither.

    Returns:
        Summed over the pairs of views; log 2 each where nothing is known. A half without a pair is 0.
    """
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    own = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    other = ~own if false_negatives is None else ~(own | false_negatives)
    return 0.5 * (_mean(F.softplus(-logits), own) + _mean(F.softplus(logits), other)).sum()


@full_precision
def class_margin_loss(
    image_embeddings: Float[Tensor, "*#views b k d"],
    audio_embeddings: Float[Tensor, "*#views b k d"],
    image_has_class: Bool[Tensor, "*#views b k"],
    audio_has_class: Bool[Tensor, "*#views b k"],
    margin: float = 1.4,
    false_negatives: Bool[Tensor, "b b"] | None = None,
) -> Float[Tensor, ""]:
    """What a picture shows of a class is near to what its sound has of it, and off all else (CoarseToFine).

    With D = 2 - 2 cos the squared distance of a class of a picture from a class of a sound: the mean of D where clip
    and class are the same, and of max(0, margin - sqrt D)^2 over all other pairs of (clip, class).

    Args:
        seen, heard: unit vectors of each class.
        of_picture, of_sound: which classes are there; others count neither way.
        alike: True where sound j would do for picture i as well as its own: the same class of both is left out.

    Returns:
        Summed over the pairs of views. Where D is 0, whose root has no slope, a pair has no gradient.
    """
    cosines = torch.einsum("...ikd,...jld->...ikjl", image_embeddings, audio_embeddings)
    apart = 2 - 2 * cosines
    there = image_has_class[..., :, :, None, None] & audio_has_class[..., None, None, :, :]
    clips, classes = image_embeddings.shape[-3:-1]
    same_clip = torch.eye(clips, dtype=torch.bool, device=image_embeddings.device)[:, None, :, None]
    same_class = torch.eye(classes, dtype=torch.bool, device=image_embeddings.device)[None, :, None, :]
    own = same_clip & same_class
    other = ~own if false_negatives is None else ~(own | (false_negatives[:, None, :, None] & same_class))
    push = F.relu(margin - apart.clamp(min=1e-6).sqrt()).square()
    return (_mean(apart, there & own, 4) + _mean(push, there & other, 4)).sum()


def _mean(values: Tensor, where: Tensor, dims: int = 2) -> Tensor:
    """Mean over the last dimensions of the values that count; 0 where none does."""
    over = tuple(range(-dims, 0))
    where = where.expand_as(values)
    return (values * where).sum(dim=over) / where.sum(dim=over).clamp(min=1)
