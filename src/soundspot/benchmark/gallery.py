"""The gallery of a released benchmark: images with the outlines of their things and players of their sounds."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool

from soundspot.benchmark.release_items import ReleaseItem
from soundspot.evaluation.report.templating import render_template

MAX_IMAGES = 200  # of the page; a browser loads each as it is scrolled to


@dataclass(frozen=True)
class GalleryThing:
    """A thing in an image of the page.

    Attributes:
        category: category.
        outline: path data of SVG, in pixels of the image.
        audio: path of its sound, relative to the page.
    """

    category: str
    outline: str
    audio: str


@dataclass(frozen=True)
class GalleryImage:
    """An image of the page.

    Attributes:
        file: path of the image, relative to the page.
        width: width in pixels.
        height: height in pixels.
        alt: alternative text.
        things: things that sound.
    """

    file: str
    width: int
    height: int
    alt: str
    things: tuple[GalleryThing, ...]


def render_gallery(name: str, items: Sequence[ReleaseItem], audio_format: str) -> str:
    """Render the gallery, which lies in the folder of the release; of many images evenly spaced ones.

    Args:
        name: name of the benchmark.
        items: things of the benchmark, those of an image one after the other.
        audio_format: suffix of the sounds.

    Returns:
        HTML text, the same for the same things.
    """
    groups = [list(group) for _, group in itertools.groupby(items, lambda item: item.record.id)]
    count = min(len(groups), MAX_IMAGES)
    chosen = [groups[round(position)] for position in np.linspace(0, len(groups) - 1, count)]
    number = f"All {len(groups)} images" if count == len(groups) else f"{count} of {len(groups)} images, evenly spaced,"
    return render_template(
        "benchmark.html.j2",
        title=name,
        lead=f"{number} with the outlines of their things, each with its sound.",
        images=[_to_image(group, audio_format) for group in chosen],
    )


def format_outline(mask: Bool[np.ndarray, "h w"]) -> str:
    """Format the edges between the pixels of a mask and all others as path data of SVG.

    Args:
        mask: (h, w) bool.

    Returns:
        Horizontal runs by rows, then vertical ones by columns, in pixels.
    """
    padded, data = np.pad(mask, 1), ""
    for is_vertical, pixels in enumerate((padded, padded.T)):
        edges = np.pad(pixels[1:] != pixels[:-1], ((0, 0), (1, 1)))
        steps = np.diff(edges.astype(np.int8), axis=1)
        starts, ends = (np.argwhere(steps == step).tolist() for step in (1, -1))
        for (line, start), (_, end) in zip(starts, ends, strict=True):
            data += f"M{line},{start - 1}V{end - 1}" if is_vertical else f"M{start - 1},{line}H{end - 1}"
    return data


def _to_image(group: Sequence[ReleaseItem], audio_format: str) -> GalleryImage:
    first = group[0]
    things = tuple(
        GalleryThing(item.category, format_outline(item.mask), f"audio_wav/{item.stem}.{audio_format}")
        for item in group
    )
    alt = " and ".join(thing.category for thing in things)
    return GalleryImage(f"images/{first.stem}.jpg", first.record.width, first.record.height, alt, things)
