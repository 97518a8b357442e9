"""Agreement of annotators: Cohen's kappa of decisions, IoU of masks."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool


def cohen_kappa(first: Sequence[str], second: Sequence[str]) -> float:
    """Compute Cohen's kappa of two annotators' labels (Cohen, 1960).

    Args:
        first: labels of one annotator.
        second: labels of the other annotator for the same items.

    Returns:
        (p_o - p_e) / (1 - p_e) of observed and expected agreement; 1 for perfect agreement, 0 for chance; nan without
        items, or where both gave one and the same label throughout.

    Examples:
        >>> round(cohen_kappa(["keep", "keep", "drop", "drop"], ["keep", "drop", "drop", "drop"]), 3)
        0.5
    """
    count = len(first)
    if not count:
        return float("nan")
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / count
    counts = Counter(first), Counter(second)
    expected = sum(counts[0][label] * counts[1][label] for label in counts[0]) / count**2
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")


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
