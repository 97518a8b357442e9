"""Measure how far clicks and a box go with GrabCut, on photographs whose masks people drew.

python examples/grabcut_clicks.py [NUMBER]     # of photographs, 200; SOUNDSPOT_REALSET and SOUNDSPOT_REALSET2 name them

A simulated annotator draws a box by the known mask and corrects the largest error by each click, up to 20 of them until
IoU 0.8. Photographs of one thing alone are used: a mask that holds a herd takes a box for each animal.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Bool
from PIL import Image

from soundspot.benchmark.simulate import simulate_annotator
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.media.image import read_image
from soundspot.inference.contours.load_segmenter import load_segmenter
from soundspot.utils.hash_rng import make_generator

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
FOLDERS = [Path(os.environ.get(f"SOUNDSPOT_{name.upper()}", SHARED / name)) for name in ("realset", "realset2")]
MAX_CLICKS, ENOUGH = 20, 0.8
MIN_SHARE = 0.01  # of the image that a thing fills


def iter_photographs(number: int) -> Iterator[tuple[Image.Image, Bool[np.ndarray, "h w"]]]:
    """Yield photographs of one thing with a mask by people, drawn by a seed from both catalogs."""
    entries = []
    for folder in FOLDERS:
        for split in ("train", "test"):
            catalog = Catalog(folder, split, annotation="human")
            entries += [(catalog, image) for image in catalog.images if image.mask and len(image.boxes) == 1]
    for index in make_generator(0, "photographs").permutation(len(entries)).tolist():
        catalog, image = entries[index]
        mask = catalog.read_mask(image)
        assert mask is not None
        if number and mask.numpy().mean() >= MIN_SHARE:
            number -= 1
            yield read_image(catalog.root / image.file), mask.numpy()


def main(number: int) -> None:
    """Print the mean IoU after a box and each of three clicks, and the number of clicks to 0.8."""
    segmenter, scores, clicks = load_segmenter("grabcut"), [], []
    for image, target in iter_photographs(number):
        values = [result.iou for result in simulate_annotator(image, target, segmenter, MAX_CLICKS, enough=ENOUGH)]
        clicks.append(len(values) - 1 if values[-1] >= ENOUGH else MAX_CLICKS)
        scores.append([max(values[: count + 1]) for count in range(4)])  # an annotator undoes what makes it worse
    means = np.mean(scores, axis=0)
    print(
        f"{len(scores)} photographs: mean IoU {means[0]:.3f} by a box, "
        + ", ".join(f"{mean:.3f} with {count} clicks" for count, mean in enumerate(means[1:], 1))
    )
    reached = np.array(clicks)
    shares = [f"{100 * (reached <= count).mean():.0f} % by {count}" for count in (0, 1, 3, 5, 10)]
    print(f"IoU {ENOUGH}: {reached.mean():.1f} clicks on average (at most {MAX_CLICKS}); {', '.join(shares)}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200)
