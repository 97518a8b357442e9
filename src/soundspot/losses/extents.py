"""The extent of a source: a cosine map through a sigmoid against the annotated map.

Cross-entropy alone, balanced or not, is content with a blurred outline; the soft Dice coefficient (Milletari et al.,
"V-Net", 3DV 2016) is near intersection over union, by which maps are scored. Both together are usual in segmentation.
"""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.losses.contrastive import full_precision
from soundspot.losses.negatives import peak_weights


@full_precision
def extent_loss(
    maps: Float[Tensor, "*views b h w"],
    target: Float[Tensor, "*views b h w"],
    offset: Float[Tensor, ""],
    width: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Compute balanced cross-entropy plus soft Dice loss of sigmoid((map - offset) / width) with an annotated map.

    Cells of the source and cells beside it count one half each in the cross-entropy, however large the source is.

    Args:
        maps: (..., b, h, w) raw maps.
        target: (..., b, h, w) annotated maps in [0, 1], of the same grid; nan throughout for images without annotation,
            which are left out.
        offset: value of a map at which its sigmoid is one half.
        width: difference of map values that the sigmoid takes as one unit, above 0.

    Returns:
        Scalar, mean over the annotated maps and *summed* over views; 0 where none is annotated.
    """
    annotated = ~target.isnan().flatten(-2).any(dim=-1)
    logits, truth = ((x.float()).flatten(-2) for x in ((maps - offset) / width, target.nan_to_num(0.0)))
    foreground = (F.softplus(-logits) * truth).sum(dim=-1) / truth.sum(dim=-1).clamp(min=1e-6)
    background = (F.softplus(logits) * (1 - truth)).sum(dim=-1) / (1 - truth).sum(dim=-1).clamp(min=1e-6)
    probabilities = logits.sigmoid()
    overlap = (probabilities * truth).sum(dim=-1)
    dice = (2 * overlap + 1) / (probabilities.sum(dim=-1) + truth.sum(dim=-1) + 1)
    losses = (foreground + background) / 2 + 1 - dice
    return ((losses * annotated).sum(dim=-1) / annotated.sum(dim=-1).clamp(min=1)).sum()


@full_precision
def absence_ranking(
    maps: Float[Tensor, "k b h w"],
    is_negative: Bool[Tensor, "k b"],
    target: Float[Tensor, "b h w"],
    width: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Compute softplus((mean of the map on the object - mean beside it) / width) for sounds that are not there.

    Low everywhere is not enough: a map of low values that still has the shape of the object tells a reader that the
    sound comes from it.

    Args:
        maps: (k, b, h, w) raw maps of images with sounds whose source is not in them.
        is_negative: (k, b) bool, False where an image has no such sound; its map is left out.
        target: (b, h, w) annotated maps in [0, 1], of the same grid; nan throughout for images without annotation,
            which are left out, as are those that the object fills to more than 19 parts in 20.
        width: difference of map values that counts as one unit, above 0.

    Returns:
        Scalar, mean over the negatives of annotated images; 0 where there are none.
    """
    truth, values = target.nan_to_num(0.0).flatten(1).float(), maps.flatten(2).float()
    area = truth.mean(dim=-1)
    used = is_negative & (area > 0) & (area < 0.95)
    inside = (values * truth).sum(dim=-1) / truth.sum(dim=-1).clamp(min=1e-6)
    outside = (values * (1 - truth)).sum(dim=-1) / (1 - truth).sum(dim=-1).clamp(min=1e-6)
    losses = F.softplus((inside - outside) / width)
    return (losses * used).sum() / used.sum().clamp(min=1)


@full_precision
def absence_loss(
    maps: Float[Tensor, "k b h w"],
    is_negative: Bool[Tensor, "k b"],
    offset: Float[Tensor, ""],
    width: Float[Tensor, ""],
) -> Float[Tensor, ""]:
    """Compute the cross-entropy of sigmoid((map - offset) / width) with a map that is 0 everywhere.

    Half of it is the mean over all cells, half the mean around the peak (`peak_weights`): presence is told by the peak,
    which a mean over 400 cells hardly sees.

    Args:
        maps: (k, b, h, w) raw maps of images with sounds whose source is not in them.
        is_negative: (k, b) bool, False where an image has no such sound; its map is left out.
        offset: value of a map at which its sigmoid is one half.
        width: difference of map values that the sigmoid takes as one unit, above 0.

    Returns:
        Scalar, mean over the negatives; 0 where there are none.
    """
    losses = F.softplus((maps.float() - offset) / width).flatten(-2)
    losses = (losses.mean(dim=-1) + (peak_weights(maps.float()) * losses).sum(dim=-1)) / 2
    return (losses * is_negative).sum() / is_negative.sum().clamp(min=1)
