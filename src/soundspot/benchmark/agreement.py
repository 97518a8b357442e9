"""Agreement of annotators about masks."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool


def mask_iou(first: Bool[np.ndarray, "h w"], second: Bool[np.ndarray, "h w"]) -> float:
    """Compute the intersection over union of two masks.

    Args:
        first, second: (h, w) bool masks of one size.

    Returns:
        IoU in [0, 1]; 1 where both are empty.
    """
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def vote_masks(masks: Sequence[Bool[np.ndarray, "h w"]]) -> Bool[np.ndarray, "h w"]:
    """Combine the masks of several annotators by majority in each pixel.

    Args:
        masks: at least one (h, w) bool mask; the first one decides where votes are equal.

    Returns:
        (h, w) bool.
    """
    votes = 2 * np.sum(np.stack(masks), axis=0, dtype=np.int64)
    return (votes > len(masks)) | ((votes == len(masks)) & masks[0])
