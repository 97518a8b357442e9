"""Latency of an exported model against torch's, part by part, and the size of its files; and what int8 loses on scenes.

python -m benchmarks export
python -m benchmarks.export loss CHECKPOINT [PICTURES]   # the scores of torch, ONNX and int8, and their files
"""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from benchmarks import Row, side_by_side
from soundspot.config.schema import FrontEndConfig
from soundspot.data.datasets.registry import open_dataset, scoring_options
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.export import OnnxLocalizer, export_model
from soundspot.export.graph import AudioGraph, ImageGraph, MapGraph, example_inputs, freeze_switches
from soundspot.export.quantize import calibration_scenes
from soundspot.inference.localizer import Localizer
from soundspot.methods import create

TEST = 7007  # the seed of the scenes that are scored; quantisation is calibrated on others
TINY = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 8}
GRAPHS = ("image", "audio", "map")


def run(quick: bool = False) -> list[Row]:
    """ResNet-18 of the alignment method at 224 pixels and 3 s, random weights; torch in float32 is the plain way."""
    torch.manual_seed(0)
    encoder = TINY if quick else {"encoder": "resnet18"}
    front_end = FrontEndConfig("alignment", size=64 if quick else 224).build()
    method = create("alignment", image=encoder, audio=encoder, front_end=front_end).eval()
    localizer = Localizer(method)
    with tempfile.TemporaryDirectory() as folder:
        calibration = calibration_scenes(method.front_end, length=2 if quick else 8)
        models, sizes = {}, []
        for name, options in (("float32", {}), ("int8", {"int8": True, "calibration": calibration})):
            path = Path(folder) / name
            export_model(localizer, path, **options)  # type: ignore[arg-type]
            models[name] = OnnxLocalizer.load(path, threads=torch.get_num_threads())
            sizes.append(sum(file.stat().st_size for file in path.iterdir()) / 1e6)
    rows = [row for b in (1, 16) for row in _rows(freeze_switches(method), models, b, quick)]
    return [*rows, Row("files: onnxruntime int8 against float32", *sizes, "MB")]


def _rows(method: torch.nn.Module, models: dict[str, OnnxLocalizer], b: int, quick: bool) -> Iterator[Row]:
    image, audio = example_inputs(method, b)  # type: ignore[arg-type]
    modules = dict(zip(GRAPHS, (ImageGraph(method), AudioGraph(method), MapGraph(method)), strict=True))  # type: ignore[arg-type]
    with torch.inference_mode():
        codes = modules["image"](image), modules["audio"](audio)
    given = {"image": (image,), "audio": (audio,), "map": codes}
    for part, module in modules.items():
        works: list[Callable[[], object]] = [
            partial(_torch, module, given[part]),
            partial(_torch, module, given[part], bf16=True),
            *(partial(model.run, part, *given[part]) for model in models.values()),
        ]
        plain, *others = (1e3 * taken for taken in side_by_side(works, 2 if quick else 5))
        for name, taken in zip(("torch bfloat16", "onnxruntime float32", "onnxruntime int8"), others, strict=True):
            yield Row(f"{part}, batch {b}: {name} against torch float32", plain, taken, "ms")


def _torch(module: torch.nn.Module, given: tuple[torch.Tensor, ...], bf16: bool = False) -> object:
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        return module(*given)


def loss(checkpoint: str, images: int = 100) -> None:
    """Prints a row for torch, ONNX in float32 and in int8: size of the files and scores on scenes."""
    localizer = Localizer.load(checkpoint)
    options = scoring_options("scenes-interactive", localizer.method.front_end) | {"length": images, "seed": TEST}
    data = open_dataset("scenes-interactive", **options)
    names = ("ciou_adaptive", "iiou_adaptive", "auc_adaptive")
    print("| model | MB |", " | ".join(names), "|")
    with tempfile.TemporaryDirectory() as folder:
        for name, int8 in (("torch float32", None), ("ONNX float32", False), ("ONNX int8", True)):
            path, asked = Path(checkpoint), localizer
            if int8 is not None:
                path = Path(folder) / "model.onnx"
                export_model(localizer, path, int8=int8, overwrite=True)
                asked = OnnxLocalizer.load(path)  # type: ignore[assignment]
            report = evaluate(asked, data, negatives=(), bootstraps=0)
            found = {key: one.value for key, one in report.rows[0].metrics.items()}
            told = [f"{100 * found[key]:.2f}" if key in found else "" for key in names]
            print(f"| {name} | {os.path.getsize(path) / 1e6:.2f} |", " | ".join(told), "|")


if __name__ == "__main__":
    assert sys.argv[1:2] == ["loss"], __doc__
    loss(sys.argv[2], *map(int, sys.argv[3:4]))
