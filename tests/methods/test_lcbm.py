"""LCBM: classes of both modalities draw their features together, and what it is told of labels."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from soundspot.config.load import read_recipe
from soundspot.errors import RecipeError
from soundspot.methods import Method, create
from soundspot.types import Batch

Toy, Clips = Callable[..., Method], Callable[..., Batch]


@torch.no_grad()
@pytest.mark.parametrize("joint", ["mean", "each"])
def test_two_views_written_out(joint: str, toy: Toy, clips: Clips) -> None:
    batch, method = clips(b=3, views=2), toy("lcbm", joint=joint).eval()
    grids, vectors = method.encode(batch)
    weights, bias = method.classifier.weight, method.classifier.bias

    def cost(vector: torch.Tensor, name: int) -> float:
        logits = [float(w @ vector / 0.1 + one) for w, one in zip(weights, bias, strict=True)]
        return math.log(sum(math.exp(x) for x in logits)) - logits[name]

    expected = 0.0
    for v in range(2):
        for u in range(2):
            for i in range(3):
                seen = torch.nn.functional.normalize(grids[v, i].mean(dim=(1, 2)), dim=0)
                both = [(seen + vectors[u, i]) / 2] if joint == "mean" else [seen, vectors[u, i]]
                expected += sum(cost(one, i % 2) for one in both) / len(both) / 3
    assert method.losses(batch)["classes"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("joint", ["mean", "each"])
def test_clips_of_which_nothing_is_known_teach_nothing(joint: str, toy: Toy, clips: Clips) -> None:
    batch, method = clips(b=4), toy("lcbm", joint=joint).eval()
    assert batch.labels is not None
    labels = batch.labels.clone()
    labels[:, 2:] = torch.nan
    half = Batch(batch.images[:, :2], batch.audio[:, :2], batch.index[:2], labels=batch.labels[:, :2])
    torch.testing.assert_close(method.losses(replace(batch, labels=labels)), method.losses(half))
    assert method.losses(replace(batch, labels=labels * torch.nan))["classes"].item() == 0


def test_a_modality_whose_label_is_not_known_takes_the_others(toy: Toy, clips: Clips) -> None:
    batch, method = clips(b=4), toy("lcbm").eval()
    assert batch.labels is not None
    labels = batch.labels.clone()
    labels[1] = torch.nan
    torch.testing.assert_close(method.losses(replace(batch, labels=labels)), method.losses(batch))


def test_without_labels_it_says_so(toy: Toy, clips: Clips) -> None:
    with pytest.raises(RecipeError, match=r"labels\.source: method 'lcbm' learns from class labels"):
        toy("lcbm").losses(replace(clips(), labels=None))


def test_every_recipe_says_that_it_learns_from_labels_and_gives_them() -> None:
    from soundspot.config.load import find_yaml

    for kind in ("debug", "scenes", "vggsound144k", "flickr144k"):
        assert read_recipe(f"lcbm/{kind}").labels.source != "none"
        header = find_yaml(f"lcbm/{kind}").read_text().partition("method:")[0]
        assert "learns from" in header.lower(), kind


def test_widths_must_agree() -> None:
    with pytest.raises(RecipeError, match="compares features without projecting them"):
        create("lcbm", image={"width": 8}, audio={"width": 16})
