"""Boxes as Detections of the package supervision, which draws and tracks them (extra `supervision`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from soundspot.data.media.rle import decode_mask
from soundspot.errors import InputError


def make_detections(
    boxes: Sequence[Sequence[float | int]],
    confidences: Sequence[float],
    identities: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    masks: Sequence[Bool[np.ndarray, "h w"]] | None = None,
) -> Any:
    """Make Detections of supervision.

    Args:
        boxes: n boxes, x0, y0, x1, y1 in pixels.
        confidences: n confidences.
        identities: n numbers of sources, as `tracker_id`; None: not known.
        labels: n texts, as `data["label"]`; None: none.
        masks: n masks of one size; None: none.

    Returns:
        `supervision.Detections` of class 0.

    Raises:
        InputError: supervision is not installed.
    """
    try:
        import supervision
    except ImportError as error:
        raise InputError(
            'supervision is not installed, and these Detections are its own. Run `pip install "soundspot[supervision]"`'
        ) from error
    return supervision.Detections(
        xyxy=np.array(boxes, np.float32).reshape(-1, 4),
        confidence=np.array(confidences, np.float32),
        mask=np.array(masks, bool) if masks else None,
        class_id=np.zeros(len(boxes), int),
        tracker_id=None if identities is None else np.array(identities, int),
        data={} if labels is None else {"label": np.array(labels, dtype=str)},
    )


def decode_masks(masks: Sequence[tuple[str, tuple[int, int]]]) -> list[Bool[np.ndarray, "h w"]] | None:
    """Decode masks of tracks.

    Args:
        masks: n texts of COCO's run-length encoding, empty where there is no mask, each with its (height, width).

    Returns:
        n masks, empty where there is none; None where there is none at all.
    """
    if not any(text for text, _ in masks):
        return None
    return [decode_mask({"size": list(size), "counts": text}) if text else np.zeros(size, bool) for text, size in masks]
