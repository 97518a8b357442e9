"""Where in a picture a sound comes from: the answer, and what people take from it."""

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

from soundspot.config.upsampling import Upsampling, min_max_normalize
from soundspot.errors import InputError
from soundspot.inference import render
from soundspot.inference.connected_components import BoxXYXY, find_boxes
from soundspot.utils.atomic_io import atomic_write, check_output

IMAGE_SUFFIXES, SCORE_SUFFIXES, SUMMARY_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp"), (".npz",), (".json",)
RESULT_SUFFIXES = IMAGE_SUFFIXES + SCORE_SUFFIXES + SUMMARY_SUFFIXES

FULL_REGION = (0.0, 0.0, 1.0, 1.0)  # the region of a map that covers all of its picture

MaskThreshold = str | float
RULES = "a number in [0, 1], 'half', 'share:<number>' or 'score:<number>'"


@dataclass(frozen=True, eq=False)
class LocalizationMap:
    """The map of one picture with one sound.

    Attributes:
        scores: (h, w) float32, raw signed similarity at the model's own resolution (a cosine for most methods).
        size: (height, width) of the picture in pixels.
        readout: how the scores are brought to the size of the picture.
        region: the part of the picture they cover, x0, y0, x1, y1 as fractions: all of it, or the square a front end
            with `crop` sees.
        picture: the picture itself, where there is one to draw on.
        threshold: the peak from which a source counts as present, as fitted on validation data; None: not known.
        silent: the sound was silence, so the map says what the model makes of the picture alone.
        notes: what a reader of the result should know, in sentences.
        category: the class of the source, of methods that tell the sources of a mixture by classes that have names.

    Examples:
        >>> found = SoundMap(torch.tensor([[0.1, 0.2], [0.3, 0.9]]), (64, 64), ReadOut("nearest"), threshold=0.5)
        >>> round(found.peak, 2), found.peak_at, found.present
        (0.9, (32, 32), True)
        >>> found.upsample().shape
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

    def __post_init__(self) -> None:
        if self.scores.ndim != 2 or not self.scores.numel():
            raise InputError(f"a map has shape {tuple(self.scores.shape)}; expected (h, w), at least one cell.")
        if broken := int((~self.scores.isfinite()).sum()):
            raise InputError(f"a map holds {broken} values that are not finite; check the model's weights.")

    def upsample(self, size: tuple[int, int] | None = None) -> Float[Tensor, "H W"]:
        """The scores at the size of the picture, or at `size` (height, width); the minimum outside of `region`."""
        return self.upsample_values(self.scores, size)

    def upsample_values(
        self, values: Float[Tensor, "h w"], size: tuple[int, int] | None = None
    ) -> Float[Tensor, "H W"]:
        """The same for other values of the places that the scores are of."""
        height, width = size or self.size
        x0, y0, x1, y1 = (round(at * side) for at, side in zip(self.region, (width, height) * 2, strict=True))
        seen = self.upsampling.upsample(values[None], max(1, y1 - y0), max(1, x1 - x0))[0]
        if seen.shape == (height, width):
            return seen
        whole = seen.new_full((height, width), float(seen.min()))
        whole[y0 : y0 + seen.shape[0], x0 : x0 + seen.shape[1]] = seen
        return whole

    @property
    def peak(self) -> float:
        """The highest raw score."""
        return float(self.scores.max())

    @property
    def peak_at(self) -> tuple[int, int]:
        """The pixel (x, y) of the picture with the highest score."""
        y, x = divmod(int(self.upsample().argmax()), self.size[1])
        return x, y

    @property
    def confidence(self) -> float:
        """Mean of the highest quarter of the raw scores: what extended benchmarks rank by, as SLAVC has it."""
        return float(self.scores.flatten().topk(max(1, self.scores.numel() // 4)).values.mean())

    @property
    def is_constant(self) -> bool:
        """The same score everywhere: there is no place to show (asked of the raw scores; upsampling may round)."""
        return bool(self.scores.min() == self.scores.max())

    @property
    def present(self) -> bool | None:
        """Whether a source of the sound is in the picture: never for silence; None where no threshold was fitted."""
        if self.is_silent:
            return False
        return None if self.threshold is None else self.peak >= self.threshold

    def mask(self, threshold: MaskThreshold = 0.5) -> Bool[Tensor, "H W"]:
        """The pixels the sound comes from, at the size of the picture.

        Args:
            rule: a number t in [0, 1]: at least t between the lowest (0) and the highest (1) score of this map, so
                that there is always something to see; `half`: the higher half of the pixels, as benchmarks score
                (cIoU); `share:0.1`: that share of the pixels, the highest; `score:0.3`: raw scores of at least that,
                which may be nowhere. A map that is the same everywhere has no place to show: a number gives an empty
                mask, a share the first pixels in reading order.

        Examples:
            >>> found = SoundMap(torch.tensor([[0.1, 0.2], [0.3, 0.9]]), size=(64, 64), readout=ReadOut("nearest"))
            >>> [found.mask(rule).double().mean().item() for rule in (0.5, "half", "score:0.25", "score:1.0")]
            [0.25, 0.5, 0.5, 0.0]
        """
        whole = self.upsample()
        kind, number = parse_mask_threshold(threshold)
        if kind == "score":
            return whole >= number
        if kind == "share":
            kept = torch.zeros(whole.numel(), dtype=torch.bool)
            kept[whole.flatten().argsort(descending=True, stable=True)[: round(number * whole.numel())]] = True
            return kept.view_as(whole)
        return (min_max_normalize(whole[None])[0] >= number) & (not self.is_constant)

    def boxes(self, threshold: MaskThreshold = 0.5) -> list[BoxXYXY]:
        """Rectangles (x0, y0, x1, y1) around the connected regions of `mask(rule)`, the one with the peak first.

        Pixels of the picture; the far edge is exclusive.

        Examples:
            >>> found = SoundMap(torch.tensor([[0.8, 0.2], [0.3, 0.9]]), size=(64, 64), readout=ReadOut("nearest"))
            >>> found.boxes("score:0.85"), found.boxes("score:0.5")  # regions that touch at a corner are one
            ([(32, 32, 64, 64)], [(0, 0, 64, 64)])
        """
        whole = self.upsample().numpy()
        found = find_boxes(self.mask(threshold).numpy())
        return sorted(found, key=lambda box: -float(whole[box[1] : box[3], box[0] : box[2]].max()))

    def overlay(
        self,
        opacity: float = 0.6,
        outline: MaskThreshold | None = None,
        boxes: MaskThreshold | None = None,
        heat: bool = True,
    ) -> Image.Image:
        """The picture under the heat of the map; optionally with the outline of a mask and with boxes, by their rules.

        Heat runs from this map's lowest score (clear) to its highest; a map that is the same everywhere draws none.
        """
        if self.image is None:
            raise InputError(
                "this map came without a picture to draw on; locate with an image, or save scores as .npz."
            )
        drawn = self.image.convert("RGB")
        if heat and not self.is_constant:
            drawn = render.overlay_heatmap(drawn, min_max_normalize(self.upsample()[None])[0].numpy(), opacity)
        if outline is not None:
            drawn = render.draw_outline(drawn, self.mask(outline).numpy(), render.WHITE)
        return drawn if boxes is None else render.draw_boxes(drawn, self.boxes(boxes))

    def to_dict(self, mask_threshold: MaskThreshold = 0.5) -> dict[str, Any]:
        """What `.json` holds: plain values, pixels of the picture, boxes by `rule`."""
        return {
            **({} if self.category is None else {"class": self.category}),
            "size": list(self.size),
            "peak": self.peak,
            "peak_at": list(self.peak_at),
            "confidence": self.confidence,
            "threshold": self.threshold,
            "present": self.present,
            "rule": mask_threshold,
            "boxes": [list(box) for box in self.boxes(mask_threshold)],
            "notes": list(self.notes),
        }

    def save(self, path: str | Path, overwrite: bool = True) -> None:
        """Write the overlay (`.png`, `.jpg`, `.webp`), the scores (`.npz`) or the summary (`.json`), by the suffix.

        The file appears whole or not at all. An `.npz` holds `scores` (h, w), `size` and `region`.
        """
        path = Path(path)
        check_output(path, overwrite, RESULT_SUFFIXES)
        with atomic_write(path) as draft:
            if path.suffix.lower() in IMAGE_SUFFIXES:
                self.overlay().save(draft, quality=92)
            elif path.suffix.lower() in SCORE_SUFFIXES:
                np.savez_compressed(draft, scores=self.scores.numpy(), size=self.size, region=self.region)
            else:
                draft.write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")


def parse_mask_threshold(threshold: MaskThreshold) -> tuple[str, float]:
    """A rule as its kind and number: `span`, `share` or `score`; InputError where it is none.

    Examples:
        >>> parse_rule("half"), parse_rule(0.5), parse_rule("score:-0.2")
        (('share', 0.5), ('span', 0.5), ('score', -0.2))
    """
    kind, _, number = ("share:0.5" if threshold == "half" else str(threshold)).rpartition(":")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    known = kind == "score" or (kind in ("", "share") and 0 <= value <= 1)
    if not known or not math.isfinite(value):
        raise InputError(f"rule {threshold!r} is not known; expected {RULES}.")
    return kind or "span", value
