"""Whoever reads a report learns whether labels were learned from."""

from pathlib import Path

import pytest

import soundspot
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.schema import FrontEndConfig, Recipe, ViewsConfig, describe_supervision
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.methods import create
from soundspot.scenes import open_scenes

TINY = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}
PLAIN = Recipe(views=ViewsConfig(semantic=False)).as_dict()


@pytest.mark.parametrize(
    ("part", "values", "told"),
    [
        ("labels", {"source": "category"}, "class labels (labels.source: category)"),
        ("labels", {"source": "vggsound.csv"}, "class labels (labels.source: vggsound.csv)"),
        ("train", {"false_negatives": "category"}, "likely false negatives"),
        ("data", {"options": {"train_ground_truth": "own"}}, "annotated images"),
    ],
)
def test_labels_are_told(part: str, values: dict, told: str) -> None:
    (sentence,) = describe_supervision({**PLAIN, part: {**PLAIN[part], **values}})
    assert told in sentence
    assert "self-supervised" in sentence


@pytest.mark.parametrize("recipe", [PLAIN, {}, {**PLAIN, "labels": {"source": "clusters"}}])
def test_self_supervision_is_not(recipe: dict) -> None:
    assert describe_supervision(recipe) == ()


def test_a_report_tells_it(tmp_path: Path) -> None:
    method = create("ezvsl", image=TINY, audio=TINY, front_end=FrontEndConfig(size=32, seconds=0.5).build())
    data = open_scenes("scenes-single", length=3, size=32, seconds=0.5)
    for recipe, expected in ((PLAIN, False), ({**PLAIN, "labels": {"source": "category"}}, True)):
        save_checkpoint(method, tmp_path / "one.safetensors", recipe=recipe)
        report = evaluate(soundspot.load(tmp_path / "one.safetensors"), data, negatives=(), bootstraps=0)
        assert any("learned from class labels" in note for note in report.notes) is expected
