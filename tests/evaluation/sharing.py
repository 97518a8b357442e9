"""Evaluations that processes may share: `python sharing.py FOLDER`, alone or under torchrun; a module of its own."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fake import Squares, listener
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.data.datasets.registry import open_dataset
from soundspot.evaluation.engine.evaluate import evaluate, evaluate_maps
from soundspot.evaluation.engine.predictions import MapWriter
from soundspot.evaluation.protocols.presets import PROTOCOLS
from soundspot.inference.localizer import Localizer
from soundspot.methods import create
from soundspot.utils.distributed import process_group

TINY = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}
RULES = tuple(replace(PROTOCOLS[name], size=56) for name in ("corrected", "acl", "alignment"))


def tiny(name: str) -> Localizer:
    torch.manual_seed(0)
    method = create(name, image=TINY, audio=TINY, front_end=InputSpec(ImageSpec(64), AudioSpec(16000, 0.5)))
    return Localizer(method.eval())


def work(folder: Path) -> None:
    """Reports of a method, of one that tells sources apart, of a plain function, and of a folder with a map missing."""
    scenes = open_dataset("scenes-interactive", length=15, size=64, seconds=0.5, categories=4)
    more: dict[str, Any] = {"bootstraps": 50, "threshold": 0.1, "distributed": True, "protocol": RULES}
    for name in ("alignment", "dmc"):
        evaluate(tiny(name), scenes, batch_size=4, output=folder / name, **more)
    told = evaluate(listener, Squares(5, silence=True), batch_size=3, output=folder / "plain", **more)
    assert len(told.samples) == 15
    again = evaluate_maps(folder / "some", Squares(5), batch_size=2, allow_missing=True, **more)
    if told.maps:  # the first process has them
        again.save(folder / "again")


def incomplete(folder: Path) -> None:
    """Maps of all but two items."""
    data = Squares(5)
    folder.mkdir()
    writer = MapWriter(folder)
    for i in (*range(4), *range(6, len(data))):
        writer.add(data.id(i), listener(data.read_image(i), data.read_audio(i)).numpy())
    writer.close({"model": "mine"})


if __name__ == "__main__":
    torch.set_num_threads(1)
    with process_group():
        work(Path(sys.argv[1]))
