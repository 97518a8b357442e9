"""The localization map of one image with one sound, and what people take from it: peak, mask, boxes, overlay."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.config.upsampling import Upsampling, min_max_normalize
from soundspot.errors import InputError
from soundspot.inference import render
from soundspot.inference.connected_components import BoxXYXY, find_boxes
from soundspot.inference.contours.contour import Contour
from soundspot.inference.supervision import make_detections
from soundspot.utils.atomic_io import atomic_write, check_output
from soundspot.utils.notebook import image_to_html, lines_to_html

IMAGE_SUFFIXES, SCORE_SUFFIXES, SUMMARY_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp"), (".npz",), (".json",)
RESULT_SUFFIXES = IMAGE_SUFFIXES + SCORE_SUFFIXES + SUMMARY_SUFFIXES

FULL_REGION = (0.0, 0.0, 1.0, 1.0)

MaskThreshold = str | float


@dataclass(frozen=True, eq=False, repr=False)
class LocalizationMap:
    """The map of one image with one sound. It shows its overlay in a notebook.

    Attributes:
        scores: (h, w) float32, raw signed similarity at the model's own resolution (a cosine for most methods).
        size: (height, width) of the image in pixels.
        upsampling: interpolation that brings the scores to the size of the image.
        region: part of the image that the scores cover, (x0, y0, x1, y1) as fractions: the whole image, or the square
            that a front end with `crop` takes.
        image: the image itself; None where there is none to draw on.
        threshold: raw score from which the peak counts as a present source, as fitted on validation data; None: not
            known.
        is_silent: True where the audio was silence, so that the map shows what the model makes of the image alone.
        notes: sentences for a reader of the result.
        category: class of the source, for methods that separate the sources of a mixture by named classes.
        codec_spread: how far lossy codecs alone move a peak, measured when the threshold was fitted; None: not known.
        calibration: probability of presence by the peak, fitted with the threshold; None: not known.
        contours: masks of the objects that its regions became, by falling score; empty unless they were asked for
            (`soundspot.load(contour=...)`). The regions stay as they are.

    Raises:
        InputError: the scores are not (h, w) with at least one cell, or not finite.

    Examples:
        >>> scores = torch.tensor([[0.1, 0.2], [0.3, 0.9]])
        >>> result = LocalizationMap(scores, (64, 64), Upsampling("nearest"), threshold=0.5)
        >>> round(result.peak, 2), result.peak_at, result.present
        (0.9, (47, 47), True)
        >>> result.upsample().shape
        torch.Size([64, 64])
    """

    scores: Float[Tensor, "h w"]
    size: tuple[int, int]
    upsampling: Upsampling = field(default_factory=Upsampling)
    region: tuple[float, float, float, float] = FULL_REGION
    image: Image.Image | None = None
    threshold: float | None = None
    is_silent: bool = False
    notes: tuple[str, ...] = ()
    category: str | None = None
    codec_spread: float | None = None
    calibration: PresenceCalibration | None = None
    contours: tuple[Contour, ...] = ()

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or not self.scores.numel():
            raise InputError(f"found a map of shape {tuple(self.scores.shape)}, expected (h, w), at least one cell.")
        if broken := int((~self.scores.isfinite()).sum()):
            raise InputError(f"a map holds {broken} values that are not finite; check the model's weights.")

    def upsample(self, size: tuple[int, int] | None = None) -> Float[Tensor, "H W"]:
        """Upsample the scores by the map's own interpolation; outside of `region` the result is its minimum.

        Args:
            size: (height, width) of the result in pixels; None: that of the image.

        Returns:
            (H, W) float32, in the units of the scores.
        """
        return self.upsample_values(self.scores, size)

    def upsample_values(
        self, values: Float[Tensor, "h w"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "H W"]:
        """Upsample other values on the grid of the scores; outside of `region` the result is its minimum.

        Args:
            values: (h, w), one value per score.
            size: (height, width) of the result in pixels; None: that of the image.

        Returns:
            (H, W) float32.
        """
        height, width = size or self.size
        x0, y0, x1, y1 = (round(f * side) for f, side in zip(self.region, (width, height) * 2, strict=True))
        covered = self.upsampling.upsample(values[None], max(1, y1 - y0), max(1, x1 - x0))[0]
        if covered.shape == (height, width):
            return covered
        upsampled = covered.new_full((height, width), float(covered.min()))
        upsampled[y0 : y0 + covered.shape[0], x0 : x0 + covered.shape[1]] = covered
        return upsampled

    @property
    def peak(self) -> float:
        """Highest raw score, before upsampling."""
        return float(self.scores.max())

    @property
    def peak_at(self) -> tuple[int, int]:
        """Pixel (x, y) of the image with the highest upsampled score.

        Of several equal ones (within rounding), that nearest to the mean of their positions, the first in reading order
        of those: the middle of a plateau, and of the image where the map is constant.
        """
        upsampled = self.upsample()
        margin = torch.inf if self.is_constant else 1e-6 * float(upsampled.abs().max())
        highest = (upsampled >= float(upsampled.max()) - margin).nonzero().double()
        nearest = (highest - highest.mean(dim=0)).square().sum(dim=1).numpy().argmin()
        y, x = highest[nearest].int().tolist()
        return x, y

    @property
    def confidence(self) -> float:
        """Mean of the highest quarter of the raw scores: the confidence of extended benchmarks, as SLAVC defines it."""
        return float(self.scores.flatten().topk(max(1, self.scores.numel() // 4)).values.mean())

    @property
    def is_constant(self) -> bool:
        """True where all raw scores are equal, so that the map locates nothing."""
        return bool(self.scores.min() == self.scores.max())

    @property
    def present(self) -> bool | None:
        """True where the peak reaches the threshold; False below it and for silence; None without a threshold."""
        if self.is_silent:
            return False
        return None if self.threshold is None else self.peak >= self.threshold

    @property
    def presence_probability(self) -> float | None:
        """Calibrated probability that the source is in the image; 0 for silence; None where none was fitted.

        It supposes that the source is in the image as often as not, or by a calibration for one's own recordings as
        often as in these. `present` goes by the threshold, which was chosen by another rule, such as few false alarms,
        and need not lie at one half.
        """
        if self.calibration is None:
            return None
        return 0.0 if self.is_silent else self.calibration.probability_of(self.peak)

    @property
    def is_near_threshold(self) -> bool:
        """True where the peak is so near to the threshold that another codec of the sound could turn the answer."""
        if self.is_silent or self.threshold is None or self.codec_spread is None:
            return False
        return abs(self.peak - self.threshold) <= self.codec_spread

    @property
    def all_notes(self) -> tuple[str, ...]:
        """The notes, those of contours, and a sentence where the peak is near the threshold."""
        notes = (*self.notes, *(note for contour in self.contours for note in contour.all_notes))
        if not self.is_near_threshold:
            return notes
        return (
            *notes,
            f"The peak is near the threshold: {self.peak:.3f} against {self.threshold:.3f}; lossy codecs alone move it "
            f"by up to {self.codec_spread:.3f}.",
        )

    def mask(self, threshold: MaskThreshold = 0.5) -> Bool[Tensor, "H W"]:
        """Return the pixels that the sound comes from, at the size of the image.

        A constant map locates nothing: a number gives an empty mask, a share the first pixels in reading order.

        Args:
            threshold: a number t in [0, 1]: upsampled scores of at least t between the lowest (0) and the highest (1)
                of this map, so that the mask is never empty; `half`: the higher half of the pixels, as benchmarks score
                (cIoU); `share:0.1`: that share of the pixels, the highest, ties in reading order; `score:0.3`:
                upsampled raw scores of at least 0.3, perhaps none.

        Returns:
            (H, W) bool, True where the source is.

        Raises:
            InputError: `threshold` is none of these.

        Examples:
            >>> scores = torch.tensor([[0.1, 0.2], [0.3, 0.9]])
            >>> result = LocalizationMap(scores, size=(64, 64), upsampling=Upsampling("nearest"))
            >>> [result.mask(t).double().mean().item() for t in (0.5, "half", "score:0.25", "score:1.0")]
            [0.25, 0.5, 0.5, 0.0]
        """
        upsampled = self.upsample()
        kind, number = parse_mask_threshold(threshold)
        if kind == "score":
            return upsampled >= number
        if kind == "share":
            mask = torch.zeros(upsampled.numel(), dtype=torch.bool)
            order = upsampled.flatten().argsort(descending=True, stable=True)
            mask[order[: round(number * upsampled.numel())]] = True
            return mask.view_as(upsampled)
        return (min_max_normalize(upsampled[None])[0] >= number) & (not self.is_constant)

    def contour_mask(self) -> Bool[Tensor, "H W"]:
        """Return the pixels of all contours, at the size of the image.

        Returns:
            (H, W) bool; empty where there are no contours, such as where the source is absent.
        """
        mask = torch.zeros(self.size, dtype=torch.bool)
        for contour in self.contours:
            mask |= torch.from_numpy(contour.mask)
        return mask

    def boxes(self, threshold: MaskThreshold = 0.5) -> list[BoxXYXY]:
        """Return the bounding boxes of the 8-connected components of `mask(threshold)`, by falling highest score.

        Args:
            threshold: a number in [0, 1] of the range of this map, `half`, `share:0.1` or `score:0.3` (see `mask`).

        Returns:
            Boxes (x0, y0, x1, y1) in pixels of the image, the far edges exclusive; empty for an empty mask.

        Raises:
            InputError: `threshold` is none of these.

        Examples:
            >>> scores = torch.tensor([[0.8, 0.2], [0.3, 0.9]])
            >>> result = LocalizationMap(scores, size=(64, 64), upsampling=Upsampling("nearest"))
            >>> result.boxes("score:0.85"), result.boxes("score:0.5")  # components that touch at a corner are one
            ([(32, 32, 64, 64)], [(0, 0, 64, 64)])
        """
        upsampled = self.upsample().numpy()
        boxes = find_boxes(self.mask(threshold).numpy())
        return sorted(boxes, key=lambda box: -float(upsampled[box[1] : box[3], box[0] : box[2]].max()))

    def to_supervision(self, threshold: MaskThreshold = 0.5) -> Any:
        """Return the boxes of `boxes(threshold)` as Detections of supervision (extra `supervision`).

        Where there are contours, they are those of the contours: the box of each region, and the contour as its mask.

        Args:
            threshold: a number in [0, 1] of the range of this map, `half`, `share:0.1` or `score:0.3` (see `mask`);
                where there are contours, it must be 0.5.

        Returns:
            `supervision.Detections`: boxes in pixels, with the highest upsampled raw score of each as confidence; none
            where the source is absent by the model's threshold.

        Raises:
            InputError: `threshold` is none of these, or not that of contours; or supervision is not installed.
        """
        if self.contours and parse_mask_threshold(threshold) != parse_mask_threshold(0.5):
            raise InputError(
                f"found the mask threshold {threshold!r} beside contours, which outline the regions of 0.5. Use that"
            )
        boxes = [contour.region_box for contour in self.contours] or self.boxes(threshold)
        boxes = [] if self.present is False else boxes
        upsampled, masks = self.upsample().numpy(), [contour.mask for contour in self.contours]
        confidences = [float(upsampled[y0:y1, x0:x1].max()) for x0, y0, x1, y1 in boxes]
        return make_detections(boxes, confidences, masks=masks)

    def overlay(
        self,
        opacity: float = 0.6,
        outline: MaskThreshold | None = None,
        boxes: MaskThreshold | None = None,
    ) -> Image.Image:
        """Draw the map over the image as a heatmap, from its lowest score (clear) to its highest, with its contours.

        The heat of a constant map is not drawn, and nothing where the source is absent by the threshold, as in videos.

        Args:
            opacity: opacity of the heat at the highest scores, in [0, 1].
            outline: threshold of a mask whose outline is drawn (see `mask`); None: no outline.
            boxes: threshold of a mask whose boxes are drawn (see `mask`); None: no boxes.

        Returns:
            An RGB image of the size of the image.

        Raises:
            InputError: the map came without an image, or a mask threshold is not valid.
        """
        if self.image is None:
            raise InputError("this map came without an image to draw on; locate with an image, or save scores as .npz.")
        drawing = self.image.convert("RGB")
        if self.present is False:
            return drawing
        if not self.is_constant:
            drawing = render.overlay_heatmap(drawing, min_max_normalize(self.upsample()[None])[0].numpy(), opacity)
        if outline is not None:
            drawing = render.draw_outline(drawing, self.mask(outline).numpy(), render.WHITE)
        for contour in self.contours:
            drawing = render.draw_outline(drawing, contour.mask, render.WHITE)
        return drawing if boxes is None else render.draw_boxes(drawing, self.boxes(boxes))

    def __repr__(self) -> str:
        return f"<LocalizationMap: {self.describe()}>"

    def _repr_html_(self) -> str:
        overlay = "" if self.image is None else image_to_html(self.overlay())
        return overlay + lines_to_html([self.describe(), *self.all_notes])

    def describe(self) -> str:
        """Describe the result in a line.

        Returns:
            Category where there is one, whether the source is present, with its probability where one was fitted, its
            peak and where, and the confidence.
        """
        presence = {True: "present", False: "not in the image", None: "presence unknown"}[self.present]
        presence += format_probability(self.presence_probability)
        x, y = self.peak_at
        category = f"{self.category}: " if self.category else ""
        return f"{category}{presence}; peak {self.peak:.3f} at ({x}, {y}), confidence {self.confidence:.3f}"

    def to_dict(self, mask_threshold: MaskThreshold = 0.5) -> dict[str, Any]:
        """Return a summary of the map as plain values, which `save` writes as `.json`.

        Args:
            mask_threshold: threshold of the mask whose boxes are listed: a number in [0, 1] of the range of this map,
                `half`, `share:0.1` or `score:0.3` (see `mask`).

        Returns:
            `size` [height, width] in pixels; `peak` and `confidence`, raw scores; `peak_at` [x, y] in pixels;
            `threshold`; `silent`; `present` (True, False or None); `presence_probability` (None where none was fitted);
            `near_threshold`, whether codecs alone could turn that;
            `mask_threshold`; `boxes`, each [x0, y0, x1, y1] in pixels,
            the far edges exclusive; `notes`; `class` where the source has a category; and `contours`
            (`Contour.to_dict`) where there are any.

        Raises:
            InputError: `mask_threshold` is not valid.
        """
        return {
            **({} if self.category is None else {"class": self.category}),
            "size": list(self.size),
            "peak": self.peak,
            "peak_at": list(self.peak_at),
            "confidence": self.confidence,
            "threshold": self.threshold,
            "silent": self.is_silent,
            "present": self.present,
            "presence_probability": self.presence_probability,
            "mask_threshold": mask_threshold,
            "boxes": [list(box) for box in self.boxes(mask_threshold)],
            "near_threshold": self.is_near_threshold,
            "notes": list(self.all_notes),
            **({"contours": [contour.to_dict() for contour in self.contours]} if self.contours else {}),
        }

    def save(self, path: str | Path, overwrite: bool = True) -> None:
        """Write the overlay, the scores or the summary, by the suffix; the file appears complete or not at all.

        Args:
            path: path ending in `.png`, `.jpg`, `.jpeg` or `.webp`: the overlay; `.npz`: `scores` (h, w), `size`,
                `region`, and `contour` (H, W) where there are contours; `.json`: the summary of `to_dict`.
            overwrite: whether an existing file may be replaced.

        Raises:
            OutputError: another suffix, the file exists and `overwrite` is False, or it cannot be written.
            InputError: an overlay is requested of a map that came without an image.
        """
        path = Path(path)
        check_output(path, overwrite, RESULT_SUFFIXES)
        with atomic_write(path) as draft:
            if path.suffix.lower() in IMAGE_SUFFIXES:
                self.overlay().save(draft, quality=92)
            elif path.suffix.lower() in SCORE_SUFFIXES:
                arrays: dict[str, Any] = {"scores": self.scores.numpy(), "size": self.size, "region": self.region}
                arrays |= {"contour": self.contour_mask().numpy()} if self.contours else {}
                np.savez_compressed(draft, **arrays)
            else:
                draft.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")


def format_probability(probability: float | None) -> str:
    """Format a probability of presence for a sentence.

    Args:
        probability: probability in [0, 1]; None: not known.

    Returns:
        Text such as ` (probability of presence 0.93)`; empty where it is not known.
    """
    return "" if probability is None else f" (probability of presence {probability:.2f})"


def parse_mask_threshold(threshold: MaskThreshold) -> tuple[str, float]:
    """Parse a mask threshold into its kind and its number.

    Args:
        threshold: number in [0, 1], `half`, `share:NUMBER` in [0, 1], or `score:NUMBER` (see `LocalizationMap.mask`).

    Returns:
        Kind, `relative` (of the map's range), `share` (of the pixels) or `score` (raw), and number; `half` is a share
        of 0.5.

    Raises:
        InputError: the threshold has another form, or its number is not finite or out of range.

    Examples:
        >>> parse_mask_threshold("half"), parse_mask_threshold(0.5), parse_mask_threshold("score:-0.2")
        (('share', 0.5), ('relative', 0.5), ('score', -0.2))
    """
    kind, _, number = ("share:0.5" if threshold == "half" else str(threshold)).rpartition(":")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    is_known = kind == "score" or (kind in ("", "share") and 0 <= value <= 1)
    if not is_known or not math.isfinite(value):
        raise InputError(
            f"found the mask threshold {threshold!r}, expected a number in [0, 1], 'half', 'share:<number>' or "
            "'score:<number>'. Correct it."
        )
    return kind or "relative", value
