"""The checklists of CONTRIBUTING are true: nothing in the tree must know a new method, data set or metric."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

SOURCE = ROOT / "src" / "soundspot"

PLUGIN = '''
"""A method, a data set and a metric of somebody else, in a file outside the tree."""

from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from soundspot.data.datasets.base import ClipDataset, SampleEntry
from soundspot.data.datasets.registry import register_dataset
from soundspot.evaluation.metrics import register_metric
from soundspot.losses.contrastive import all_pair_maps, info_nce
from soundspot.methods.base import Method, register
from soundspot.types import Box, GroundTruth


@register("mine")
class Mine(Method):
    """Mine: an image scores as its median location."""

    def losses(self, batch):
        maps = all_pair_maps(*self.encode(batch))
        return {"nce": info_nce(maps.median(dim=-1).values, 0.07, batch.false_negatives, symmetric=True)}


@register_dataset("mine", summary="squares: a square per image, a tone per row")
def open_mine(root, split="train"):
    samples = []
    for i in range(16):
        image, audio = Path(root) / f"{i}.png", Path(root) / f"{i}.wav"
        if not image.exists():
            pixels = np.zeros((64, 64, 3), np.uint8)
            pixels[16:32, 4 * (i % 8) : 4 * (i % 8) + 16] = 255
            Image.fromarray(pixels).save(image)
            soundfile.write(audio, np.sin(np.arange(8000) / 16000 * (200 + 50 * i) * 6.28), 16000)
        box = Box(4 * (i % 8), 16, 4 * (i % 8) + 16, 32)
        samples.append(SampleEntry(f"{i}", f"{i}", "tone", str(image), str(audio), GroundTruth(64, 64, (box,))))
    return ClipDataset("mine", samples, split)


@register_metric("mine", "Where", "my metric", "highest pixel on the object")
def mine(maps, target):
    best = maps.flatten(1).argmax(dim=1, keepdim=True)
    return (target.flatten(1).gather(1, best)[:, 0] > 0).double()
'''

RECIPE = """
method: {name: mine}
image: {encoder: resnet, blocks: [1, 1], strides: [1, 2], width: 8}
audio: {encoder: resnet, blocks: [1, 1], strides: [1, 2], width: 8}
front_end: {preset: alignment, size: 64, seconds: 0.5}
data: {name: mine, root: DATA}
views: {multi_view: false, semantic: false, base_view: unaugmented}
train: {epochs: 1, batch_size: 8, lr: 3.0e-3, workers: 0}
"""

USE = """
import sys
import plugin
import soundspot

checkpoint = soundspot.train(soundspot.read_recipe("mine.yaml"), "run", progress=False)
data = soundspot.open_dataset("mine", "data", split="val")
report = soundspot.evaluate(soundspot.load(checkpoint), data, metrics=["mine", "ciou"], bootstraps=20)
report.save("report")
assert "my metric" in report.table()
assert "mine" in soundspot.list_methods() and "mine" in soundspot.list_datasets() and "mine" in soundspot.list_metrics()
"""


def test_one_of_each_from_a_file_outside_the_tree(tmp_path: Path) -> None:
    """A method is trained on a data set and scored by a metric that no file of the tree names."""
    (tmp_path / "plugin.py").write_text(PLUGIN)
    (tmp_path / "mine.yaml").write_text(RECIPE.replace("DATA", str(tmp_path / "data")))
    (tmp_path / "data").mkdir()
    done = subprocess.run([sys.executable, "-c", USE], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))
    rows = {row["name"]: row["metrics"] for row in report["rows"]}
    assert rows["ceiling"]["mine"]["value"] == 1
    assert all("mine" in metrics for name, metrics in rows.items() if name != "whole image")


# A name stands in its own file, and where this one says why.
HOMES = {
    "marginnce": {"methods/marginnce.py", "methods/ezvsl_base.py"},  # the base says in prose whom it serves
    "vpo_ss": {
        "data/datasets/is3_vpo_avsbench.py",
        "data/datasets/registry.py",  # one line
        "evaluation/report/published.py",  # published rows name the data set they were measured on
    },
    "iiou": {"evaluation/metrics/localization.py"},
}


@pytest.mark.parametrize("name", HOMES)
def test_a_name_stands_in_few_files(name: str) -> None:
    """The files of the library in which a method, a data set and a metric stand by name are those of the checklist."""
    files = {
        str(file.relative_to(SOURCE))
        for file in SOURCE.rglob("*.py")
        if re.search(rf"\b{name}\b", file.read_text(encoding="utf-8"))
    }
    assert files == HOMES[name]
