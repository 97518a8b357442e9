"""Scores of the starter on test splits, for its card: where, with another's sound, whether, and after codecs."""

import json
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

import soundspot
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.media.lossy import CODECS, Codec, pass_through_codec
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.evaluation.protocols.presets import PROTOCOLS
from soundspot.evaluation.report.compare import compute_scores_from_samples
from soundspot.evaluation.report.report import Report, SampleRow
from soundspot.types import Audio, AudioVisualDataset

NEGATIVES = ("offscreen", "silence", "noise")
CATALOGS = {"realset2": "SOUNDSPOT_REALSET2", "realset": "SOUNDSPOT_REALSET"}
CLIPS = (("dog", "airplane", "bell"), ("cat", "train", "violin"))  # two objects of a clip, and a sound of neither
SCENES = {"length": 300, "size": 320, "seconds": 5.0}


class ThroughCodec(AudioVisualDataset):
    """A data set whose sounds went through a lossy codec at 64 kbit/s."""

    def __init__(self, data: AudioVisualDataset, codec: Codec) -> None:
        self.data, self.codec, self.name, self.split = data, codec, f"{data.name} {codec.name}", data.split

    def __len__(self) -> int:
        return len(self.data)

    def __getattribute__(self, name: str) -> Any:
        if name in ("id", "group", "audio_id", "category", "ground_truth", "read_image"):
            return getattr(object.__getattribute__(self, "data"), name)
        return object.__getattribute__(self, name)

    def read_audio(self, index: int) -> Audio:
        return pass_through_codec(self.data.read_audio(index), self.codec)


def auroc(samples: Sequence[SampleRow]) -> dict[str, float]:
    """`presence_auroc` of the samples by kind of negative."""
    scores = compute_scores_from_samples(samples, PROTOCOLS["corrected"])
    return {kind: scores[key].value for kind in NEGATIVES if (key := f"presence_auroc_{kind}") in scores}


def peaks(localizer: Any, data: AudioVisualDataset) -> dict[str, list[float]]:
    """Peaks of the maps with the samples' own sounds, and with each kind of negative."""
    return collect(evaluate(localizer, data, bootstraps=0).samples)


def collect(samples: Sequence[SampleRow]) -> dict[str, list[float]]:
    """Peaks by kind of sound, without samples that have none."""
    values = {kind: [sample[f"peak_{kind}"] for sample in samples] for kind in ("own", *NEGATIVES)}
    return {kind: [value for value in row if value == value] for kind, row in values.items()}


@cache
def styles(root: str) -> dict[str, str]:
    """Style of each image of a catalog: photo or drawing."""
    document = json.loads((Path(root) / "annotations.json").read_text(encoding="utf-8"))
    return {image["file"]: image.get("style") or "photo" for image in document["images"]}


def where(report: Report) -> dict[str, Any]:
    """Scores of a report with their sound-blind rows and intervals."""
    keys = ("ciou_adaptive", "iiou_adaptive", "recall_a2i_category@1")
    rows = {
        row.name: {
            key: [row.metrics[key].value, row.metrics[key].low, row.metrics[key].high]
            for key in keys
            if key in row.metrics
        }
        for row in report.rows
    }
    return {"n": report.n, "rows": {name: row for name, row in rows.items() if row}}


def whether(samples: Sequence[SampleRow], threshold: float) -> dict[str, Any]:
    """Presence: AUROC of the own sounds' peaks against each negative's, and what the threshold tells."""
    values = collect(samples)
    absent = [value for kind in NEGATIVES for value in values[kind]]
    told = {kind: float((torch.tensor(row) >= threshold).float().mean()) for kind, row in values.items() if row}
    return {
        "auroc": auroc(samples),
        "told_present": told | {"absent": float((torch.tensor(absent) >= threshold).float().mean())},
    }


def by_style(report: Report, root: str, threshold: float) -> dict[str, Any]:
    """Scores of photographs and of drawings apart."""
    result = {}
    for style in ("photo", "drawing"):
        samples = [s for s in report.samples if styles(root).get(s.id.partition("#")[0]) == style]
        ious = [s["iou_adaptive"] for s in samples if s["iou_adaptive"] == s["iou_adaptive"]]
        if samples:
            hits = float((torch.tensor(ious) >= 0.5).float().mean())
            result[style] = {"n": len(samples), "ciou_adaptive": hits, **whether(samples, threshold)}
    return result


def score(path: str | Path) -> dict[str, Any]:
    """All scores of one model."""
    localizer = soundspot.load(path)
    assert localizer.threshold is not None
    result: dict[str, Any] = {"threshold": localizer.threshold}
    for name, variable in CATALOGS.items():
        root = os.environ[variable]
        data = Catalog(root, "test")
        scenes = open_dataset("cutouts-interactive", root, **SCENES)
        report, composed = evaluate(localizer, data), evaluate(localizer, scenes)
        result[name] = {
            "whole": where(report) | whether(report.samples, localizer.threshold),
            "styles": by_style(report, root, localizer.threshold),
            "interactive": where(composed) | whether(composed.samples, localizer.threshold),
        }
    return result


def score_codecs(path: str | Path) -> dict[str, Any]:
    """What the threshold tells of test pairs of realset2 after each codec."""
    localizer = soundspot.load(path)
    assert localizer.threshold is not None
    data = Catalog(os.environ["SOUNDSPOT_REALSET2"], "test")
    return {
        codec.name: whether(evaluate(localizer, ThroughCodec(data, codec), bootstraps=0).samples, localizer.threshold)
        for codec in CODECS
    }


def score_video_size(path: str | Path, size: int) -> dict[str, Any]:
    """Scores of the model at another input size."""
    from dataclasses import replace

    localizer = soundspot.load(path)
    front_end = localizer.method.front_end
    localizer.method.front_end = replace(front_end, image=replace(front_end.image, size=size))
    assert localizer.threshold is not None
    result = {"size": size}
    for name, variable in CATALOGS.items():
        report = evaluate(localizer, Catalog(os.environ[variable], "test"))
        result[name] = where(report) | whether(report.samples, localizer.threshold)
    return result


def score_unknown(path: str | Path, categories: Sequence[str]) -> dict[str, Any]:
    """What a model says of things that it never learned: their own sounds, and others', at its threshold."""
    localizer = soundspot.load(path)
    assert localizer.threshold is not None
    result = {}
    for name, variable in CATALOGS.items():
        catalog = Catalog(os.environ[variable], "test")
        names = [category for category in categories if category in catalog.categories]
        if names:
            report = evaluate(localizer, catalog, bootstraps=0)
            samples = [sample for sample in report.samples if sample.category in names]
            result[name] = {"n": len(samples), **whether(samples, localizer.threshold)}
    return result


def score_clip(path: str | Path, folder: Path) -> dict[str, Any]:
    """Frames of a composed clip of 60 s of realset2's test objects and sounds: peak in the box, told absent."""
    from soundspot.scenes.cutouts import CutoutSource
    from soundspot.scenes.video_scene import VideoScene

    localizer = soundspot.load(path, precision="bfloat16")
    source = CutoutSource(Catalog(os.environ["SOUNDSPOT_REALSET2"], "test"))
    hits: dict[str, list[bool]] = {"peak": [], "centered box": [], "saliency": []}
    areas: list[float] = []
    absent: list[bool] = []
    for number, (first, second, foreign) in enumerate(CLIPS):
        schedule = ((0.0, 0), (15.0, foreign), (22.5, 1), (37.5, None), (42.0, 0), (50.0, 1))
        scene = VideoScene((first, second), schedule, 60.0, fps=10, seed=number, source=source)
        clip = scene.write(folder / f"clip-{number}.mp4")
        for frame in localizer.locate_video(clip):
            truth = scene.ground_truth(frame.time)
            if not truth.present:
                absent.append(not frame.map.present)
                continue
            (box,) = truth.boxes
            width, height = scene.size
            saliency = localizer.saliency(localizer.encode_images([scene.render(frame.time)]))[0]
            row, column = divmod(int(saliency.argmax()), saliency.shape[1])
            points = {
                "peak": frame.map.peak_at,
                "centered box": (width / 2, height / 2),
                "saliency": ((column + 0.5) * width / saliency.shape[1], (row + 0.5) * height / saliency.shape[0]),
            }
            for name, (x, y) in points.items():
                hits[name].append(box.x0 <= x < box.x1 and box.y0 <= y < box.y1)
            areas.append((box.x1 - box.x0) * (box.y1 - box.y0) / (width * height))
    return {
        "clips": len(CLIPS),
        "frames": len(areas) + len(absent),
        "in_box": {name: sum(row) / len(row) for name, row in hits.items()},
        "box_area": sum(areas) / len(areas),
        "told_absent": sum(absent) / len(absent),
    }


def score_all(runs: Path, facts: Path) -> dict[str, Any]:
    """Score the shipped model, the other trainings and the one without some categories; write and return the facts."""
    from soundspot.config.checkpoint import read_header
    from soundspot.config.named_models import NAMED_MODELS

    shipped = NAMED_MODELS["starter"]
    values: dict[str, Any] = {"shipped": score(shipped)}
    values["seeds"] = {path.stem: score(path) for path in sorted(runs.glob("starter-[0-9].safetensors"))}
    values["codecs"] = score_codecs(shipped)
    values["video"] = score_video_size(shipped, read_header(shipped)["video_size"])
    values["clip"] = score_clip(shipped, runs)
    partial = runs / "starter-without.safetensors"
    if partial.exists():
        names = sorted({*read_header(shipped)["retained"]} - {*read_header(partial)["retained"]})
        values["unknown"] = {"categories": names, **score_unknown(partial, names)}
    facts.parent.mkdir(parents=True, exist_ok=True)
    facts.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return values
