"""Classification losses, with soft or missing labels: cross-entropies, pair classification, distances of classes.

`balanced_pair_bce` and `class_margin_loss` are those of Qian et al., "Multiple Sound Sources Localization from Coarse
to Fine", ECCV 2020; `distillation_divergence` and `matching_loss` are those of Hu et al., "Discriminative Sounding
Objects Localization", NeurIPS 2020, all as in the released codes.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.losses.contrastive import full_precision
from soundspot.utils.distributed import all_gather_with_grad, local_diagonal


@full_precision
def multilabel_bce(logits: Float[Tensor, "*views b k"], labels: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Compute the binary cross-entropy of each class, mean over classes and labeled samples.

    Args:
        logits: (..., b, k) class logits of each view; leading axes are views.
        labels: (b, k) class probabilities in [0, 1]; nan entries have no label and are left out of the mean.

    Returns:
        Scalar, mean over labeled entries, summed over views; log 2 per view at logits of 0; 0 where no sample has a
        label.
    """
    is_labeled = labels.isfinite()
    losses = F.binary_cross_entropy_with_logits(
        logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits,
        labels.nan_to_num(0.0).to(torch.promote_types(logits.dtype, torch.float32)).expand_as(logits),
        reduction="none",
    )
    return (losses * is_labeled).sum(dim=(-2, -1)).div(is_labeled.sum().clamp(min=1)).sum()


def soft_cross_entropy(logits: Float[Tensor, "b k"], labels: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Compute the cross-entropy with labels normalized to sum to 1, mean over labeled samples.

    Args:
        logits: (b, k) class logits.
        labels: (b, k) class probabilities in [0, 1]; rows of nan or zeros are samples without a label, which are left
            out of the mean.

    Returns:
        Scalar in the dtype of `labels`; 0 where no sample has a label.
    """
    labels = labels.nan_to_num(0.0)
    total = labels.sum(dim=-1, keepdim=True)
    distribution = labels / total.clamp(min=torch.finfo(labels.dtype).tiny)
    num_labeled = (total[:, 0] > 0).sum().clamp(min=1)
    return -(distribution * F.log_softmax(logits.to(labels.dtype), dim=-1)).sum() / num_labeled


def distillation_divergence(scores: Float[Tensor, "*b k"], teacher: Float[Tensor, "*b k"]) -> Float[Tensor, "*b"]:
    """Compute the KL divergence of softmax(scores) from a teacher's softmax, *mean* over the k classes (DSOL).

    Args:
        scores: (..., b, k) logits of the student.
        teacher: (..., b, k) logits of the teacher; they get no gradient.

    Returns:
        (..., b) divergences KL(teacher || student), divided by k; not reduced over samples.
    """
    target = F.softmax(teacher.detach(), dim=-1)
    return F.kl_div(F.log_softmax(scores, dim=-1), target, reduction="none").mean(dim=-1)


@full_precision
def balanced_pair_bce(
    logits: Float[Tensor, "*views b b"], false_negatives: Bool[Tensor, "b b"] | None = None
) -> Float[Tensor, ""]:
    """Classify which image and audio match: half the mean loss over matching pairs, half over all others.

    Args:
        logits: (..., b, b) logits of the event that image i and audio j match. Of a classifier with two outputs, the
            second minus the first: the loss is the same.
        false_negatives: (b, b) bool, True where audio j is likely to match image i too: such pairs are left out of both
            halves; None: all other pairs are negatives.

    Returns:
        Scalar, summed over the pairs of views; log 2 each at logits of 0. A half without a pair is 0.
    """
    logits = logits.float() if logits.dtype in (torch.float16, torch.bfloat16) else logits
    matched = torch.eye(logits.shape[-1], dtype=torch.bool, device=logits.device)
    negatives = ~matched if false_negatives is None else ~(matched | false_negatives)
    return 0.5 * (_masked_mean(F.softplus(-logits), matched) + _masked_mean(F.softplus(logits), negatives)).sum()


def matching_loss(
    logits: Float[Tensor, "v u b m h w"], false_negatives: Bool[Tensor, "m m"] | None = None, grid_size: int = 1
) -> Float[Tensor, ""]:
    """Compute the binary cross-entropy of every image with every audio; matching pairs weigh as much as all others.

    1/2 mean_i -log p_ii + 1/2 mean over negatives of -log(1 - q_ij), summed over the pairs of views, with p the
    sigmoid of a map's largest logit. All negatives are used where the paper draws one: the same on average.

    Args:
        logits: (v, u, b, m, h, w) logit maps of image i of this process with audio j of all processes.
        false_negatives: (m, m) bool, True where audio j is likely to match image i too: such pairs are left out of the
            negatives; None: all other pairs are negatives.
        grid_size: number of regions along each side of the map of a negative pair. Its loss is the mean over the
            regions, each scored by its largest logit (DSOL's second stage: 2).

    Returns:
        Scalar, summed over the v x u pairs of views; about log 2 each at logits of 0.
    """
    matched = torch.eye(logits.shape[-3], dtype=torch.bool, device=logits.device)
    negatives = ~(matched if false_negatives is None else matched | false_negatives)
    maxima = local_diagonal(logits.amax(dim=(-2, -1)))
    regions = F.adaptive_max_pool2d(logits.flatten(0, -4), grid_size).unflatten(0, logits.shape[:-3])
    losses = all_gather_with_grad(F.softplus(regions).mean(dim=(-2, -1)), 2) * negatives
    negative_loss = losses.sum(dim=(-2, -1)) / negatives.sum().clamp(min=1)
    return 0.5 * (F.softplus(-maxima).mean(dim=-1) + negative_loss).sum()


@full_precision
def class_margin_loss(
    image_embeddings: Float[Tensor, "*#views b k d"],
    audio_embeddings: Float[Tensor, "*#views b k d"],
    image_has_class: Bool[Tensor, "*#views b k"],
    audio_has_class: Bool[Tensor, "*#views b k"],
    margin: float = 1.4,
    false_negatives: Bool[Tensor, "b b"] | None = None,
) -> Float[Tensor, ""]:
    """Pull the embeddings of a class in an image and in its audio together, push all others apart (CoarseToFine).

    With D = 2 - 2 cos the squared distance of a class of an image from a class of an audio clip: the mean of D where
    sample and class are the same, and of max(0, margin - sqrt D)^2 over all other pairs of (sample, class).

    Args:
        image_embeddings, audio_embeddings: (..., b, k, d) embeddings of each class, of unit L2 norm; leading axes are
            broadcast.
        image_has_class, audio_has_class: (..., b, k) bool, True where a class is present; pairs with an absent class
            are left out of both means.
        margin: Euclidean distance, in [0, 2], up to which negatives are pushed apart.
        false_negatives: (b, b) bool, True where audio j is likely to match image i too: pairs of the same class of both
            are left out; None: none is.

    Returns:
        Scalar, summed over the pairs of views; a mean without any pair is 0. The push has no gradient where D is below
        1e-6.
    """
    cosines = torch.einsum("...ikd,...jld->...ikjl", image_embeddings, audio_embeddings)
    squared_distances = 2 - 2 * cosines
    is_present = image_has_class[..., :, :, None, None] & audio_has_class[..., None, None, :, :]
    num_samples, num_classes = image_embeddings.shape[-3:-1]
    same_sample = torch.eye(num_samples, dtype=torch.bool, device=cosines.device)[:, None, :, None]
    same_class = torch.eye(num_classes, dtype=torch.bool, device=cosines.device)[None, :, None, :]
    matched = same_sample & same_class
    negatives = ~matched if false_negatives is None else ~(matched | (false_negatives[:, None, :, None] & same_class))
    push = F.relu(margin - squared_distances.clamp(min=1e-6).sqrt()).square()
    pull = _masked_mean(squared_distances, is_present & matched, 4)
    return (pull + _masked_mean(push, is_present & negatives, 4)).sum()


def _masked_mean(values: Tensor, mask: Tensor, dims: int = 2) -> Tensor:
    """Compute the mean of the masked values over the last dimensions; 0 where the mask is empty."""
    over = tuple(range(-dims, 0))
    mask = mask.expand_as(values)
    return (values * mask).sum(dim=over) / mask.sum(dim=over).clamp(min=1)
