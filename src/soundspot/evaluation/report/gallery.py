"""Samples that a report shows: maps over images with the ground truth outlined, as data URIs."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import isnan

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from soundspot.config.frontend import ImageSpec
from soundspot.config.upsampling import Upsampling
from soundspot.data.media.image import visible_region
from soundspot.evaluation.report.report import Report, SampleRow
from soundspot.inference import render
from soundspot.inference.result import LocalizationMap
from soundspot.types import AudioVisualDataset, GroundTruth
from soundspot.utils.hash_rng import make_generator

IOU_NAMES = {"iou_adaptive": "adaptive IoU", "iou": "IoU"}  # the first that a protocol has ranks the samples
FIGURE_SIZE = 360  # pixels of the longer side, of small images too: lines are as fine everywhere


@dataclass(frozen=True)
class Figure:
    """An image of the page.

    Attributes:
        uri: data URI of the image.
        width: width in pixels.
        height: height in pixels.
        alt: alternative text.
        caption: caption below the image.
        details: lines below the caption.
    """

    uri: str
    width: int
    height: int
    alt: str
    caption: str
    details: list[str]


@dataclass(frozen=True)
class FigureRow:
    """Figures under one heading.

    Attributes:
        title: the heading.
        note: text beside the heading; "" for none.
        figures: figures in order.
    """

    title: str
    note: str
    figures: list[Figure]


def build_galleries(report: Report, data: AudioVisualDataset, seed: int = 0, n: int = 8) -> list[FigureRow]:
    """Draw the best, random and the worst samples by adaptive IoU (IoU, where the protocol has none).

    Args:
        report: report with samples and maps.
        data: data set scored, for its images.
        seed: random seed of the choice of the random samples.
        n: number of samples in each row; at most a third of the samples with a map, but at least 1.

    Returns:
        Three rows: best, random, worst, samples of equal IoU by id, and the worst from the end of that order; empty
        where no sample has a map and an IoU.
    """
    key = _ranking_key(report)
    drawable = sorted((s for s in report.samples if _is_drawable(s, report, key)), key=lambda s: s.id)
    if not drawable:
        return []
    n = min(n, max(1, len(drawable) // 3))
    shuffled = [drawable[i] for i in make_generator("report", seed).permutation(len(drawable))]
    best = sorted(drawable, key=lambda s: -s[key])
    index = {data.id(i): i for i in range(len(data))}

    def draw(samples: Iterable[SampleRow]) -> list[Figure]:
        return [_draw_sample(report, data, index[s.id], s, s.category) for s in samples if s.id in index]

    return [
        FigureRow("Best", f"the highest {IOU_NAMES[key]}", draw(best[:n])),
        FigureRow("Drawn by chance", f"seed {seed}: what to expect", draw(shuffled[:n])),
        FigureRow("Worst", f"the lowest {IOU_NAMES[key]}", draw(best[::-1][:n])),
    ]


def build_strips(
    report: Report, data: AudioVisualDataset, seed: int = 0, n: int = 6, max_audio: int = 4
) -> list[FigureRow]:
    """Draw random images that have several sounds: the image, then its map for each sound.

    Args:
        report: report with samples and maps.
        data: data set scored, for its images.
        seed: random seed of the choice of images.
        n: largest number of images.
        max_audio: largest number of maps of an image.

    Returns:
        A row for each image; empty where no image has several sounds with a map.
    """
    index = {data.id(i): i for i in range(len(data))}
    groups: dict[str, list[SampleRow]] = {}
    key = _ranking_key(report)
    for sample in report.samples:
        if _is_drawable(sample, report, key):
            groups.setdefault(sample.group, []).append(sample)
    interactive = [members for members in groups.values() if len(members) > 1]
    rows = []
    for number in make_generator("strips", seed).permutation(len(interactive))[:n]:
        members = [s for s in interactive[number][:max_audio] if s.id in index]
        if members:
            group = members[0].group
            image = _resize(data.read_image(index[members[0].id]))
            maps = [_draw_sample(report, data, index[s.id], s, f"♪ {s.category}") for s in members]
            rows.append(FigureRow(group, "", [_figure(image, f"image {group} without a map", "image", [group]), *maps]))
    return rows


def _is_drawable(sample: SampleRow, report: Report, key: str) -> bool:
    return sample.present and not isnan(sample[key]) and sample.id in report.maps


def _ranking_key(report: Report) -> str:
    """Return the name of the adaptive IoU, or of the IoU under a protocol that has no adaptive one."""
    return next(key for key in IOU_NAMES if key == "iou" or any(not isnan(sample[key]) for sample in report.samples))


def _draw_sample(report: Report, data: AudioVisualDataset, index: int, sample: SampleRow, caption: str) -> Figure:
    scores = torch.as_tensor(report.maps[sample.id]).float()
    image = draw_map(data.read_image(index), scores, data.ground_truth(index), report)
    key = _ranking_key(report)
    details = [f"{name} {_percent(sample[iou])}" for iou, name in IOU_NAMES.items() if not isnan(sample[iou])]
    alt = (
        f"map of {sample.id} for the sound of {sample.category} over the image, ground truth outlined; "
        f"{IOU_NAMES[key]} {_percent(sample[key])}"
    )
    return _figure(image, alt, caption, details)


def draw_map(
    image: Image.Image, scores: Float[Tensor, "h w"], ground_truth: GroundTruth, report: Report
) -> Image.Image:
    """Draw a map, from its lowest to its highest score, over the image, with the ground truth outlined.

    The map covers the region that the report's front end crops, upsampled as by the report's protocol.

    Args:
        image: image of the sample, of any size.
        scores: (h, w) raw map.
        ground_truth: ground truth of the sample.
        report: report whose front end and protocol apply.

    Returns:
        RGB image with the longer side at `FIGURE_SIZE` pixels (Lanczos resampling).
    """
    spec = (report.front_end or {}).get("image", {})  # may be of other code: only these two matter here
    region = visible_region(image.size, ImageSpec(**{key: spec[key] for key in ("size", "resize") if key in spec}))
    image = _resize(image)
    upsampling = Upsampling(**report.protocol.get("upsampling", {}))
    overlay = LocalizationMap(scores, (image.height, image.width), upsampling, region, image).overlay()
    return render.draw_outline(overlay, (ground_truth.to_map(image.height, image.width) > 0).numpy(), width=3)


def _resize(image: Image.Image) -> Image.Image:
    scale = FIGURE_SIZE / max(image.size)
    width, height = (max(1, round(scale * side)) for side in image.size)
    return image.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def _figure(image: Image.Image, alt: str, caption: str, details: list[str]) -> Figure:
    return Figure(render.encode_data_uri(image), image.width, image.height, alt, caption, details)


def _percent(value: float) -> str:
    return "–" if isnan(value) else f"{100 * value:.0f}\N{NO-BREAK SPACE}%"
