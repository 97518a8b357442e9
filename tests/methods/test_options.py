"""Every option of every method is heard: another value of it moves the loss in training, the maps, or the sources."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from soundspot.methods import METHODS, Method, method_options
from soundspot.types import Batch

Toy, Clips = Callable[..., Method], Callable[..., Batch]

ENCODERS = {"image", "audio", "front_end"}
EZVSL_OPTIONS = {
    "tau": 0.2,
    "width": 24,
    "reducer": "mean",
    "sharpness": 1.0,
    "dropout": 0.5,
    "margin": 0.3,
    "audio_dropout": 0.5,
    "ground_truth_weight": 2.0,
    "false_negatives_as_positives": True,
}
LVS_OPTIONS = {
    "tau": 0.2,
    "foreground_threshold": 0.9,
    "background_threshold": 0.9,
    "sigmoid_width": 0.3,
    "hard_negatives": False,
}
ANOTHER: dict[str, dict[str, Any]] = {
    "alignment": {
        "tau": 0.2,
        "reducer": "max",
        "sharpness": 1.0,
        "localization": 2.0,
        "alignment": 2.0,
        "projection_width": 5,
        "projection_depth": 1,
        "intra_modal": 1.0,
        "symmetric": True,
        "false_negatives_as_positives": True,
    },
    "attention10k": {"sharpness": 2.0, "signed": True, "supervised": 2.0},
    "coarsetofine": {"classes": 4, "width": 24, "fine_stage_start": 0.9, "class_threshold": 0.6, "margin": 2.0},
    "dmc": {"image_clusters": 3, "audio_clusters": 2, "rounds": 1, "sharpness": 1.0, "margin": 2.0, "width": 24},
    "dsol": {
        "classes": 5,
        "width": 24,
        "sharpness": 2.0,
        "object_threshold": 0.9,
        "classification": 2.0,
        "second_stage_start": 0.2,
        "location": 2.0,
        "contrast": 1.0,
        "audible_threshold": 0.5,
    },
    "ezvsl": {**EZVSL_OPTIONS, "symmetric": False},
    "fnac": {
        **EZVSL_OPTIONS,
        "symmetric": False,
        "weights": [100.0, 100.0, 0.0],
        "foreground_threshold": 0.3,
        "warmup": 0.9,
    },
    "hardpos": {**LVS_OPTIONS, "combine": "odds"},
    "heartheflow": {**LVS_OPTIONS, "flow": {"encoder": "resnet", "width": 8}, "flow_form": "maxpool", "frozen": False},
    "joint_slots": {
        "slots": 3,
        "iterations": 1,
        "width": 24,
        "mask_ratio": 0.5,
        "tau": 0.2,
        "k": 3,
        "reconstruction": 1.0,
        "divergence": 1.0,
        "matching": 1.0,
        "logit_scale": 1.0,
    },
    "lcbm": {"classes": 5, "tau": 0.2, "joint": "each"},
    "lvs": {**LVS_OPTIONS, "symmetric": True, "false_negatives_as_positives": True},
    "marginnce": {**EZVSL_OPTIONS, "symmetric": True},
    "nowhere": {
        **EZVSL_OPTIONS,
        "symmetric": False,
        "reducer": "max",
        "weight": 0.5,
        "bandwidth": 0.0,
        "alignment": False,
    },
    "slavc": {"tau": 0.2, "width": 24, "dropout": 0.5, "momentum": 0.5, "momentum_maps": True},
    "sspl": {"width": 24},
    "sspl_pcm": {"width": 24, "cycles": 1},
    "ssltie": {**LVS_OPTIONS, "weights": [0.5, 0.5, 2.0], "max_angle": 3, "scales": [0.7], "flip_probability": 1.0},
}
BESIDE = {
    (name, "sharpness"): {"reducer": "softmax"} for name in ("alignment", "ezvsl", "fnac", "marginnce", "nowhere")
}
BESIDE["dsol", "location"] = {"second_stage_start": 0.2}
BESIDE["ssltie", "flip_probability"] = {"flip_probability": 0.0}


def told(toy: Toy, clips: Clips, name: str, **options: Any) -> dict[str, Tensor]:
    """Terms and maps of a method after its networks have moved on from their start."""
    method, batch = toy(name, **options), clips(views=1 if name == "joint_slots" else 2)
    alike = torch.eye(4, dtype=torch.bool)
    alike[0, 1] = alike[2, 0] = True
    torch.manual_seed(2)
    with torch.no_grad():
        width = method.eval().object_embedding(batch.images[0], batch.audio[0]).shape[1]
        method.set_cluster_centers(torch.rand(getattr(method, "classes", 3), width))
        for parameter in method.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
        method.train().on_train_step_start(progress=0.5)
        truths = torch.rand(len(batch.images), 4, 16, 16)
        labels = torch.rand(2, 4, getattr(method, "classes", 3))
        terms = method.losses(replace(batch, false_negatives=alike, ground_truth=truths, labels=labels))
        asked = (batch.images[0], batch.audio[0])
        sources, heard = method.eval().locate_sources(method.encode_images(asked[0]), method.encode_audio(asked[1]))
        answers = {"sources": sources, "audio_classes": heard.float(), "objects": method.object_embedding(*asked)}
        return {**terms, "maps": method.maps(*asked), **answers}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_table_names_every_option(name: str) -> None:
    assert set(ANOTHER[name]) == method_options(METHODS[name]) - ENCODERS


@pytest.mark.parametrize("name", sorted(METHODS))
def test_another_value_moves_the_loss_or_the_maps(name: str, toy: Toy, clips: Clips) -> None:
    plain, again = told(toy, clips, name), told(toy, clips, name)
    assert all(torch.equal(plain[key], again[key]) for key in plain), "the same options do not give the same numbers"
    unheard = []
    for option, value in ANOTHER[name].items():
        beside = BESIDE.get((name, option), {})
        one = told(toy, clips, name, **beside) if beside else plain
        other = told(toy, clips, name, **{**beside, option: value})
        if one.keys() == other.keys() and all(agree(one[key], other[key]) for key in one):
            unheard.append(option)
    assert not unheard


def agree(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and not bool(
        (one - other).abs().max() > 1e-4 * one.abs().max()
    )  # what is no number has not been moved
