"""Identities of sources: which events of a video are of one source that paused, by how and where it appears."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from PIL import Image

from soundspot.inference.connected_components import BoxXYXY
from soundspot.inference.events.event import Track

MAX_SOURCES = 64  # identities that are compared with; of more, those that sounded longest ago are left out
SAMPLE_SIDE = 24  # pixels a side that colors are counted of
HUES, LEVELS = 12, 3  # bins of hue, and of saturation and of value
NUM_BINS = HUES * LEVELS**2
SAME_APPEARANCE = 0.6  # similarity from which two events are of one source wherever it is
SAME_BOX = 0.3  # intersection over union from which they are of one source that looks less alike
SIMILAR_APPEARANCE = 0.3  # similarity that such a source needs

Appearance = Float64[np.ndarray, " d"]


@dataclass(frozen=True, eq=False)
class Tracklet:
    """An event without an identity.

    Attributes:
        start, end: seconds from the first frame.
        track: positions in the frames of the event.
        appearance: (108,) mean color histogram of its region (`describe_region`); all 0 where there were no images.
    """

    start: float
    end: float
    track: Track
    appearance: Appearance

    @property
    def confidence(self) -> float:
        """Mean of the track's confidences."""
        return float(self.track.confidences.mean(dtype=np.float64))


def describe_region(image: Image.Image | None, box: BoxXYXY | tuple[float, float, float, float]) -> Appearance:
    """Return the color histogram of a region of a frame: of the colors that it has more of than the entire frame.

    Args:
        image: the frame, RGB; None: not known.
        box: x0, y0, x1, y1 in pixels; its middle half a side is sampled, as its rim is mostly background.

    Returns:
        (108,) shares of twelve hues, three saturations and three values; all 0 without an image, and where the region
        has the colors of the frame.
    """
    if image is None:
        return np.zeros(NUM_BINS)
    x0, y0, x1, y1 = box
    margin_x, margin_y = (x1 - x0) / 4, (y1 - y0) / 4
    middle = (x0 + margin_x, y0 + margin_y, x1 - margin_x, y1 - margin_y)
    own = np.maximum(
        _histogram(image, middle) - _histogram(image, (0.0, 0.0, float(image.width), float(image.height))), 0
    )
    return own / max(own.sum(), 1e-9)


def _histogram(image: Image.Image, box: BoxXYXY | tuple[float, float, float, float]) -> Appearance:
    crop = image.resize((SAMPLE_SIDE, SAMPLE_SIDE), Image.Resampling.NEAREST, box).convert("HSV")
    hue, saturation, value = np.asarray(crop).reshape(-1, 3).astype(np.int64).T
    bins = (hue * HUES // 256 * LEVELS + saturation * LEVELS // 256) * LEVELS + value * LEVELS // 256
    return np.bincount(bins, minlength=NUM_BINS) / len(bins)


def link_identities(tracklets: list[Tracklet]) -> list[int]:
    """Give events of one source one identity.

    Two events are of one source where they do not overlap in time and look alike, or look somewhat alike and the later
    begins where the earlier ended. Of several candidates the one that is most alike, in looks and position.

    Args:
        tracklets: events of a video by rising start.

    Returns:
        Identity of each event, from 1, in order of first appearance.
    """
    looks = np.zeros((MAX_SOURCES, NUM_BINS))
    boxes = np.zeros((MAX_SOURCES, 4))  # where the last event of each source ended
    ends = np.full(MAX_SOURCES, -np.inf)  # and when; -inf: no source yet
    identities, owners = [], [0] * MAX_SOURCES
    for tracklet in tracklets:
        alike = _compute_alikeness(tracklet, looks, boxes)
        alike[(ends == -np.inf) | (ends > tracklet.start)] = 0.0
        row = int(alike.argmax())
        if alike[row] > 0:
            looks[row] = (looks[row] + tracklet.appearance) / 2
        else:
            row = int(ends.argmin())  # free, or of the source that sounded longest ago
            owners[row], looks[row] = max(owners) + 1, tracklet.appearance
        boxes[row], ends[row] = tracklet.track.boxes[-1], tracklet.end
        identities.append(owners[row])
    return identities


def _compute_alikeness(
    tracklet: Tracklet, looks: Float64[np.ndarray, "s d"], boxes: Float64[np.ndarray, "s 4"]
) -> Float64[np.ndarray, " s"]:
    """Compute how much an event is like each of s sources; 0 where it cannot be of that source."""
    similarity = np.sqrt(looks * tracklet.appearance).sum(axis=1)  # Bhattacharyya's coefficient of histograms
    first = tracklet.track.boxes[0]
    sides = np.minimum(first[2:], boxes[:, 2:]) - np.maximum(first[:2], boxes[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=1)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) + np.prod(first[2:] - first[:2])
    iou = shared / (areas - shared)
    is_unknown = ~(looks.any(axis=1) & tracklet.appearance.any())
    is_same = (similarity >= SAME_APPEARANCE) | ((iou >= SAME_BOX) & ((similarity >= SIMILAR_APPEARANCE) | is_unknown))
    return np.where(is_same, similarity + iou / 2, 0.0)
