"""Masks of the training photographs that nobody annotated, by GrabCut (Rother et al., SIGGRAPH 2004) in OpenCV.

Most of these photographs show one thing in the middle, so GrabCut starts from a rectangle just inside the border. Its
masks are automatic and unchecked: of those looked at about four in five are good. Masks that are tiny, fill the image,
lie off its center or are ragged are dropped, and such photographs stay without. Only the training reads them; every
score and the threshold are of the catalogs as they are.
"""

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIDE = 160  # pixels that GrabCut sees of the longer side
BORDER = 0.04  # of each side, taken for background
AREA = (0.08, 0.75)  # of the image
OFF_CENTER = 0.15  # of a side, by which the center of mass may lie off the middle
FILL = 0.3  # of the mask's bounding box
SMALLEST_PIECE = 0.25  # of the largest connected one


def catalogs_with_masks(root: Path, folders: list[str], output: Path) -> Path:
    """Write a copy of catalogs whose training photographs have masks; media are links. Returns the copy's parent."""
    for folder in folders:
        source, target = root / folder, output / folder
        target.mkdir(parents=True, exist_ok=True)
        for entry in source.iterdir():
            if entry.is_dir() and not (target / entry.name).exists():
                os.symlink(entry, target / entry.name)
        document = json.loads((source / "annotations.json").read_text(encoding="utf-8"))
        for image in document["images"]:
            if image["split"] == "train" and not image["mask"] and not image["boxes"] and image["annotation"] == "none":
                add_mask(image, source, target)
        (target / "annotations.json").write_text(json.dumps(document), encoding="utf-8")
    return output


def add_mask(image: dict[str, Any], source: Path, target: Path) -> None:
    """Give an image of an `annotations.json` the mask that GrabCut finds, if it is a plausible one."""
    name = Path("automatic", image["file"]).with_suffix(".png")
    if not (target / name).exists():
        pixels = cv2.imread(str(source / image["file"]))
        mask = None if pixels is None else grabcut(pixels)
        if mask is None:
            return
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(target / name), mask.astype(np.uint8) * 255)
    image |= {"mask": str(name), "annotation": "auto"}


def grabcut(pixels: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Mask (y, x) of the thing in an image (y, x, 3), or None where what GrabCut finds is implausible."""
    height, width = pixels.shape[:2]
    scale = SIDE / max(height, width)
    small = cv2.resize(pixels, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    h, w = small.shape[:2]
    x, y = (max(2, round(BORDER * side)) for side in (w, h))
    labels, background, foreground = np.zeros((h, w), np.uint8), np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(small, labels, (x, y, w - 2 * x, h - 2 * y), background, foreground, 5, cv2.GC_INIT_WITH_RECT)
    mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, pieces, statistics, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    areas = statistics[1:, cv2.CC_STAT_AREA]
    mask = np.isin(pieces, 1 + np.flatnonzero(areas >= SMALLEST_PIECE * areas.max())).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    ys, xs = np.nonzero(mask)
    off = max(abs(ys.mean() / h - 0.5), abs(xs.mean() / w - 0.5))
    box = (np.ptp(xs) + 1) * (np.ptp(ys) + 1)
    if not AREA[0] < mask.mean() < AREA[1] or off >= OFF_CENTER or mask.sum() <= FILL * box:
        return None
    full = cv2.resize(mask * 255, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full >= 128)
