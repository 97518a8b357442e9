"""Statistics of a benchmark: the counts of the paper's first table, sizes and positions of things, and plots."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from jaxtyping import Bool, Float

GRID = 32  # cells of the map of positions along each side
BINS = 20  # of the histogram of areas
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, eq=False)
class BenchmarkStatistics:
    """Statistics of a benchmark.

    Attributes:
        num_images: number of images.
        num_instances: number of things that sound, each an image with a sound.
        counts: number of instances of each category.
        areas: share of the image that each thing fills.
        positions: (32, 32) share of things that cover each cell of the image.
        seconds: duration of each sound in seconds.
    """

    num_images: int
    num_instances: int
    counts: dict[str, int]
    areas: Float[np.ndarray, " n"]
    positions: Float[np.ndarray, "y x"]
    seconds: Float[np.ndarray, " n"]

    def to_dict(self) -> dict[str, object]:
        """Convert the statistics to values that JSON has.

        Returns:
            Counts as in table I of the paper, quantiles of areas and durations, and instances by category.
        """
        return {
            "images": self.num_images,
            "classes": len(self.counts),
            "instances": self.num_instances,
            "boxes": self.num_instances,
            "masks": self.num_instances,
            "area": {f"{quantile:g}": round(float(np.quantile(self.areas, quantile)), 4) for quantile in QUANTILES},
            "seconds": {
                f"{quantile:g}": round(float(np.quantile(self.seconds, quantile)), 2) for quantile in QUANTILES
            },
            "by_category": self.counts,
        }


def compute_statistics(
    num_images: int,
    categories: Sequence[str],
    masks: Iterable[Bool[np.ndarray, "h w"]],
    seconds: Sequence[float | int],
) -> BenchmarkStatistics:
    """Compute the statistics of a benchmark.

    Args:
        num_images: number of images.
        categories: category of each instance.
        masks: mask of each instance.
        seconds: duration of the sound of each instance.

    Returns:
        The statistics.
    """
    covered, shares = np.zeros((GRID, GRID)), []
    for mask in masks:
        covered += _shrink(mask)
        shares.append(mask.mean())
    areas, positions = np.array(shares), covered / len(shares)
    counts = dict(sorted(Counter(categories).items()))
    return BenchmarkStatistics(num_images, len(areas), counts, areas, positions, np.asarray(seconds, np.float64))


def draw_areas(areas: Float[np.ndarray, " n"]) -> str:
    """Draw a histogram of the areas of things as SVG.

    Args:
        areas: shares of the image.

    Returns:
        The file's text.
    """
    counts, _ = np.histogram(areas, BINS, (0, 1))
    width, height, base = 400, 200, 170
    bars = "".join(
        f'<rect x="{20 + i * 18}" y="{base - 150 * count / max(counts.max(), 1):.1f}" width="16" '
        f'height="{150 * count / max(counts.max(), 1):.1f}"/>'
        for i, count in enumerate(counts.tolist())
    )
    labels = "".join(
        f'<text x="{20 + 3.6 * share}" y="186" text-anchor="middle">{share} %</text>' for share in (0, 50, 100)
    )
    return _svg(width, height, f'<g fill="#ad1263">{bars}</g>{labels}', "Share of the image that a thing fills")


def draw_positions(positions: Float[np.ndarray, "y x"]) -> str:
    """Draw how many things cover each cell of the image as SVG.

    Args:
        positions: (y, x) share of things.

    Returns:
        The file's text.
    """
    side, highest = 8, max(float(positions.max()), 1e-9)
    cells = "".join(
        f'<rect x="{x * side}" y="{y * side}" width="{side}" height="{side}" fill-opacity="{value / highest:.2f}"/>'
        for (y, x), value in np.ndenumerate(positions)
    )
    extent = len(positions) * side
    frame = f'<rect width="{extent}" height="{extent}" fill="none" stroke="#7b7e8a"/>'
    title = f"Where things are; darkest: {100 * highest:.0f} % of them"
    return _svg(extent, extent + 24, f'<g fill="#ad1263">{cells}</g>{frame}', title)


def _shrink(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, "y x"]:
    """Return the mask at 32 x 32 cells, by the pixel at the center of each."""
    rows, columns = (((np.arange(GRID) + 0.5) * side / GRID).astype(int) for side in mask.shape)
    return mask[np.ix_(rows, columns)].astype(np.float64)


def _svg(width: int, height: int, body: str, title: str) -> str:
    style = "text{font:12px system-ui,sans-serif;fill:#5d606b}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<style>{style}</style><title>{escape(title)}</title>{body}"
        f'<text x="4" y="{height - 4}">{escape(title)}</text></svg>\n'
    )
