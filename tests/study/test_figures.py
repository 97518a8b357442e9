"""Figures of a study: what they are drawn of, and that nothing is drawn of nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from soundspot.study.figures import draw_correlations, draw_ranks, draw_scores, make_examples, spread_labels
from soundspot.study.results import Column, summarize


def column(key: str, num_arms: int = 2, is_known: bool = True) -> Column:
    rng = np.random.default_rng(0)
    values = np.linspace(0.2, 0.8, num_arms)[:, None] + rng.normal(0, 0.02, (num_arms, 3))
    values = values if is_known else np.full_like(values, np.nan)
    return Column(f"single/{key}", values, values[:, :, None] + rng.normal(0, 0.02, (num_arms, 3, 50)))


def test_scores_and_ranks_are_drawn(tmp_path: Path) -> None:
    summaries = {"one": summarize(column("ciou"))}
    assert draw_scores(summaries, ("a", "b"), tmp_path / "scores.png") == "scores.png"
    assert draw_ranks(summaries, ("a", "b"), tmp_path / "ranks.png") == "ranks.png"
    images = [Image.open(tmp_path / name) for name in ("scores.png", "ranks.png")]
    assert all(len(image.convert("L").getcolors() or ()) > 10 for image in images)


def test_one_arm_has_no_rank_and_what_failed_no_point(tmp_path: Path) -> None:
    assert not draw_ranks({"one": summarize(column("ciou", 1))}, ("a",), tmp_path / "ranks.png")
    nothing = column("ciou", is_known=False)
    assert not draw_correlations([(nothing, nothing)], ("a", "b"), tmp_path / "correlations.png")
    assert not [*tmp_path.iterdir()]


def test_pairs_of_scores_are_drawn(tmp_path: Path) -> None:
    pair = column("ciou"), column("auc")
    assert draw_correlations([pair], ("a", "b"), tmp_path / "correlations.png") == "correlations.png"


def test_names_of_points_lie_apart() -> None:
    labels = spread_labels({"a": (0.5, 0.5), "b": (0.5, 0.5), "c": (0.9, 0.1)}, (0.0, 1.0), (0.0, 1.0))
    assert abs(labels["a"][1] - labels["b"][1]) >= 0.03
    assert labels["c"] == pytest.approx((0.92, 0.1))


def test_maps_lie_below_their_images_once(tmp_path: Path) -> None:
    for name in ("k1-single", "k2-single", "images-single"):
        Image.new("RGB", (40, 20)).save(tmp_path / f"{name}.jpg")
    scores: dict[tuple[str, int, str], dict[str, Any]] = {
        (arm, 0, "single"): {"training": key} for arm, key in (("a", "k1"), ("b", "k2"), ("c", "k3"))
    }
    assert make_examples(scores, tmp_path, tmp_path / "maps.jpg") == "maps.jpg"
    with Image.open(tmp_path / "maps.jpg") as sheet:  # three rows, two of them side by side
        assert sheet.width > 2 * 240
    assert not make_examples({}, tmp_path, tmp_path / "none.jpg")
