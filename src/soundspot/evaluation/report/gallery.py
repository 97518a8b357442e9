"""Which samples a report shows, and their pictures: maps over photographs with the truth outlined, as data URIs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
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

FIGURE_SIZE = 360  # pixels of the longer side, of small pictures too: lines are as fine everywhere


@dataclass(frozen=True)
class Figure:
    """One picture of the page: data URI, its size, what it shows in words, and the lines under it."""

    uri: str
    width: int
    height: int
    alt: str
    caption: str
    details: list[str]


@dataclass(frozen=True)
class FigureRow:
    """Figures that belong together, under a heading."""

    title: str
    note: str
    figures: list[Figure]


def build_galleries(report: Report, data: AudioVisualDataset, seed: int = 0, n: int = 8) -> list[FigureRow]:
    """The best, `n` random and the worst samples by (adaptive) IoU; `seed` decides chance, also among equals."""
    shown = [sample for sample in report.samples if _can_be_shown(sample, report)]
    if not shown:
        return []
    n = min(n, max(1, len(shown) // 3))
    draw = make_generator("report", seed)
    order = [shown[i] for i in draw.permutation(len(shown))]
    ranked = sorted(order, key=lambda sample: -_score(sample))
    index = {data.id(i): i for i in range(len(data))}

    def figures(samples: Sequence[SampleRow]) -> list[Figure]:
        return [_mapped(report, data, index[one.id], one) for one in samples if one.id in index]

    return [
        FigureRow("Best", "the highest IoU", figures(ranked[:n])),
        FigureRow("Drawn by chance", f"seed {seed}: what to expect", figures(order[:n])),
        FigureRow("Worst", "the lowest IoU", figures(ranked[-n:][::-1])),
    ]


def build_strips(
    report: Report, data: AudioVisualDataset, seed: int = 0, n: int = 6, max_audio: int = 4
) -> list[FigureRow]:
    """Pictures that were asked with several sounds, drawn by chance: the picture, then its map for each sound."""
    groups: dict[str, list[SampleRow]] = {}
    for sample in report.samples:
        if _can_be_shown(sample, report):
            groups.setdefault(sample.group, []).append(sample)
    several = [members for members in groups.values() if len(members) > 1]
    index = {data.id(i): i for i in range(len(data))}
    rows = []
    for at in make_generator("strips", seed).permutation(len(several))[:n]:
        members = [member for member in several[at][:max_audio] if member.id in index]
        if members:
            picture = _sized(data.read_image(index[members[0].id]))
            plain = _figure(picture, f"picture {members[0].group} as it is", "picture", [members[0].group])
            figures = [_mapped(report, data, index[member.id], member, heard=True) for member in members]
            rows.append(FigureRow(members[0].group, "", [plain, *figures]))
    return rows


def _can_be_shown(sample: SampleRow, report: Report) -> bool:
    return sample.present and not np.isnan(_score(sample)) and sample.id in report.maps


def _score(sample: SampleRow) -> float:
    """What samples are ranked by: adaptive IoU, or plain IoU under a protocol that has none."""
    return sample.iou if np.isnan(sample.iou_adaptive) else sample.iou_adaptive


def _mapped(report: Report, data: AudioVisualDataset, index: int, sample: SampleRow, heard: bool = False) -> Figure:
    picture = draw_map(
        data.read_image(index), torch.as_tensor(report.maps[sample.id]).float(), data.ground_truth(index), report
    )
    alt = (
        f"map of {sample.id} for the sound of {sample.category} over the picture, true place outlined; "
        f"adaptive IoU {_percent(sample.iou_adaptive)}"
    )
    caption = f"♪ {sample.category}" if heard else sample.category
    details = [f"IoU {_percent(sample.iou)}", f"adaptive\N{NO-BREAK SPACE}{_percent(sample.iou_adaptive)}"]
    return _figure(picture, alt, caption, details)


def draw_map(
    image: Image.Image, scores: Float[Tensor, "h w"], ground_truth: GroundTruth, report: Report
) -> Image.Image:
    """A map, from its lowest to its highest score, over the picture, with the true regions outlined.

    It lies where the report's front end saw the picture, brought to its size as the report's protocol has it.
    """
    spec = (report.front_end or {}).get("image", {})  # may be a stranger's: only these two matter here
    region = visible_region(image.size, ImageSpec(**{key: spec[key] for key in ("size", "resize") if key in spec}))
    image = _sized(image)
    width, height = image.size
    readout = Upsampling(**report.protocol.get("readout", {}))
    shown = LocalizationMap(scores, (height, width), readout, region, image).overlay()
    return render.draw_outline(shown, (ground_truth.to_map(height, width) > 0).numpy(), width=3)


def _sized(picture: Image.Image) -> Image.Image:
    scale = FIGURE_SIZE / max(picture.size)
    width, height = (max(1, round(scale * side)) for side in picture.size)
    return picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)


def _figure(picture: Image.Image, alt: str, caption: str, details: list[str]) -> Figure:
    return Figure(render.encode_data_uri(picture), picture.width, picture.height, alt, caption, details)


def _percent(value: float) -> str:
    return "–" if np.isnan(value) else f"{100 * value:.0f}\N{NO-BREAK SPACE}%"
