"""The contour of an object that a region of a map became, beside the region: one can hide that the other is wrong."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool

from soundspot.data.media.rle import encode_mask
from soundspot.inference.connected_components import BoxXYXY, bounding_box


@dataclass(frozen=True, eq=False)
class Contour:
    """The mask of an object, made by a segmenter from the box of a region of a map.

    Attributes:
        mask: (h, w) bool, at the size of the image; not empty.
        region_box: box of the region, x0, y0, x1, y1 in pixels, the far edges exclusive.
        peak_at: pixel (x, y) of the highest score of the region.
        segmenter: name of the segmenter.
        note: sentence for a reader where the mask is that of the region; empty where it is the segmenter's.
    """

    mask: Bool[np.ndarray, "h w"]
    region_box: BoxXYXY
    peak_at: tuple[int, int]
    segmenter: str
    note: str = ""

    @property
    def contains_peak(self) -> bool:
        """True where the peak lies in the mask; else the contour shows a thing that the map does not."""
        x, y = self.peak_at
        return bool(self.mask[y, x])

    @property
    def box(self) -> BoxXYXY:
        """Bounding box of the mask, x0, y0, x1, y1 in pixels, the far edges exclusive."""
        return bounding_box(self.mask)

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The note, and a sentence where the peak lies outside the mask."""
        notes = (self.note,) if self.note else ()
        if self.contains_peak:
            return notes
        return (*notes, f"The contour by {self.segmenter} does not contain the peak {self.peak_at}: trust the region.")

    def to_dict(self) -> dict[str, Any]:
        """Convert to plain values.

        Returns:
            `segmenter`; `region_box` and `box`, [x0, y0, x1, y1]; `peak_at` [x, y]; `contains_peak`; `is_region`,
            whether the mask is that of the region; and `mask`, COCO's run-length encoding (`size`, `counts`).
        """
        return {
            "segmenter": self.segmenter,
            "region_box": list(self.region_box),
            "box": list(self.box),
            "peak_at": list(self.peak_at),
            "contains_peak": self.contains_peak,
            "is_region": bool(self.note),
            "mask": encode_mask(self.mask),
        }
