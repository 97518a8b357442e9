"""Measure what contours add to the regions of maps, and how often one hides a wrong peak, on masks of test splits.

python examples/contours.py [SEGMENTER]     # grabcut; SOUNDSPOT_REALSET2 and SOUNDSPOT_REALSET name the photographs

The starter locates the sound that each photograph is paired with, and the region of the peak becomes a contour, whether
the source counts as present or not. A peak outside of the mask is wrong; the contour hides that where it is right all
the same (IoU of at least 0.5 with the mask), or where it looks whole and lies on another thing: the segmenter's own, at
least nine tenths of it in one piece, with an IoU below 0.1.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from soundspot import load
from soundspot.data.datasets.catalog import Catalog
from soundspot.inference.connected_components import label_components
from soundspot.inference.contours.trace import ContourTracer, region_mask
from soundspot.inference.events.regions import find_regions
from soundspot.inference.result import LocalizationMap

Mask = Bool[np.ndarray, "h w"]

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
SETS = {  # name of a row -> catalog and how its masks were made
    "realset2, masks by people": ("realset2", "human"),
    "realset, masks by people": ("realset", "human"),
}
RIGHT, WRONG, ONE_PIECE = 0.5, 0.1, 0.9
COLUMNS = ("photographs", "region", "contour", "better", "worse", "fell back", "peak wrong", "right", "other thing")


def iter_results(name: str, annotation: str) -> Iterator[tuple[LocalizationMap, Mask]]:
    """Yield the map and the mask of each photograph of a test split."""
    localizer = load()
    root = Path(os.environ.get(f"SOUNDSPOT_{name.upper()}", SHARED / name))
    catalog = Catalog(root, "test", annotation=annotation)
    for index, entry in enumerate(catalog.images):
        mask = catalog.read_mask(entry)
        if mask is not None:
            yield localizer.locate(catalog.read_image(index), catalog.read_audio(index)), mask.numpy()


def iou(first: Mask, second: Mask) -> float:
    """Return the intersection over union of two masks."""
    return float((first & second).sum() / max(1, (first | second).sum()))


def measure(tracer: ContourTracer, result: LocalizationMap, target: Mask) -> list[float]:
    """Return the columns of one photograph."""
    region = region_mask(result, find_regions(result, result.peak)[0])
    contour = tracer.trace(result, result.peak).contours[0]
    before, after = iou(region, target), iou(contour.mask, target)
    sizes = np.bincount(label_components(contour.mask).ravel())[1:]
    is_wrong = not target[result.peak_at[1], result.peak_at[0]]
    is_other = not contour.note and sizes.max() >= ONE_PIECE * sizes.sum() and after < WRONG
    row = [1, before, after, after > before, after < before, bool(contour.note)]
    return [float(value) for value in (*row, is_wrong, is_wrong and after >= RIGHT, is_wrong and is_other)]


def main(segmenter: str) -> None:
    """Print a row for each set of masks: means of IoU, and numbers of photographs."""
    print(f"| {segmenter} | " + " | ".join(COLUMNS) + " |\n" + "|---" * (len(COLUMNS) + 1) + "|")
    for title, (name, annotation) in SETS.items():
        tracer = ContourTracer(segmenter)
        rows = np.array([measure(tracer, *pair) for pair in iter_results(name, annotation)])
        counts = rows.sum(axis=0).astype(int).tolist()
        cells = [counts[0], *(f"{mean:.3f}" for mean in rows[:, 1:3].mean(axis=0)), *counts[3:]]
        print(f"| {title} | " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "grabcut")
