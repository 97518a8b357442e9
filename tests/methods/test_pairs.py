"""Any method on any pair of public towers: losses, gradients, checkpoints without a network, and a training run."""

import csv
import json
import socket
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

import soundspot
from soundspot.config.checkpoint import load_checkpoint, read_header, save_checkpoint
from soundspot.config.schema import DataConfig, FrontEndConfig, Recipe, TrainConfig, ViewsConfig
from soundspot.errors import RecipeError
from soundspot.methods import METHODS, Method, create
from soundspot.types import Batch
from tiny import PICTURES, TINY, front_end, options

pytest.importorskip("transformers", reason="the extra `hub` is not installed")
pytestmark = pytest.mark.usefixtures("one_thread")

MORE = {
    "joint_slots": {"k": 2, "width": 16},
    "heartheflow": {"frozen": False},
    **{name: {"classes": 3} for name in ("coarsetofine", "dsol", "lcbm")},
}
PAIRS = [(name, "dinov2", "ast") for name in sorted(METHODS)]
PAIRS += [("ezvsl", picture, "whisper") for picture in PICTURES if picture != "dinov2"]
PAIRS += [("joint_slots", "dinov3", "whisper"), ("slavc", "clip", "clap"), ("alignment", "convnext", "clap")]


def pair(name: str, picture: str, sound: str, trained: int | str = 1) -> Method:
    torch.manual_seed(0)
    return create(
        name,
        image=options(picture, trained=trained),
        audio=options(sound, trained=trained),
        front_end=front_end(picture, sound, size=64),
        **MORE.get(name, {}),
    )


def batch(method: Method, b: int = 4) -> Batch:
    torch.manual_seed(1)
    side, planes, shape = (
        method.front_end.image.size,
        5 if method.front_end.image.flow else 3,
        method.front_end.audio.shape,
    )
    labels = torch.eye(3)[torch.arange(b) % 3].expand(2, -1, -1)
    images, sounds = torch.randn(1, b, planes, side, side), torch.randn(1, b, 1, *shape)
    return Batch(images, sounds, torch.arange(b), labels=labels)


@pytest.mark.parametrize(("name", "picture", "sound"), PAIRS)
def test_losses_gradients_and_a_checkpoint(
    name: str, picture: str, sound: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = pair(name, picture, sound).train()
    clips = batch(method)
    method.on_train_step_start(progress=0.5)
    torch.stack(list(method.losses(clips).values())).sum().backward()
    gradients = {n: one.grad for n, one in method.named_parameters() if one.grad is not None}
    assert all(bool(one.isfinite().all()) for one in gradients.values())
    for encoder in ("image_encoder.neck.weight", "audio_encoder.neck.weight", "image_encoder.network."):
        assert any(n.startswith(encoder) and bool(one.any()) for n, one in gradients.items()), encoder

    save_checkpoint(method.eval(), tmp_path / "one.safetensors")
    monkeypatch.setattr(socket, "socket", None)
    again, _ = load_checkpoint(tmp_path / "one.safetensors")
    assert again.config == method.config
    with torch.no_grad():
        maps = again.maps(clips.images[0], clips.audio[0])
        assert torch.equal(maps, method.maps(clips.images[0], clips.audio[0]))
    assert maps.shape[0] == 4
    assert bool(maps.isfinite().all())


@pytest.mark.parametrize("picture", ["dinov2", "resnet"])
def test_a_tower_goes_with_a_resnet(picture: str) -> None:
    small = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 12}  # 24 channels
    towers = picture == "dinov2"
    spec = front_end("dinov2", "ast")
    method = create(
        "lvs",
        image=options("dinov2", trained=0) if towers else small,
        audio=small if towers else options("ast", trained=0),
        front_end=spec,
    )
    clips = batch(method)
    assert method.maps(clips.images[0], clips.audio[0]).isfinite().all()


def test_public_weights_are_not_asked_for_again(tmp_path: Path) -> None:
    """A checkpoint of a tower that came from elsewhere opens where that is no longer there."""
    import transformers

    torch.manual_seed(0)
    home = tmp_path / "home"
    transformers.Dinov2Model(transformers.Dinov2Config(**TINY["dinov2"])).save_pretrained(home)
    image = {"encoder": "dinov2", "weights": str(home), "trained": 0, "width": 24}
    method = create("ezvsl", image=image, audio=options("ast"), front_end=front_end("dinov2", "ast")).eval()
    save_checkpoint(method, tmp_path / "one.safetensors")
    home.rename(tmp_path / "gone")
    again, header = load_checkpoint(tmp_path / "one.safetensors")
    assert header["config"]["image"]["weights"] == str(home)
    assert header["config"]["image"]["config"]["hidden_size"] == 32
    clips = batch(method)
    assert torch.equal(again.maps(clips.images[0], clips.audio[0]), method.maps(clips.images[0], clips.audio[0]))


def recipe(name: str = "alignment", **encoders: Any) -> Recipe:
    ast = {**TINY["ast"], "num_mel_bins": 128, "max_length": 1024, "frequency_stride": 16, "time_stride": 16}
    return Recipe(
        method={"name": name},
        image=options("dinov2", trained=1) | encoders,
        audio=options("ast", config=ast, trained=0) | encoders,
        front_end=FrontEndConfig("ast", size=42, seconds=0.5),
        data=DataConfig("scenes", options={"length": 16, "size": 48, "seconds": 0.6, "categories": 3}),
        views=ViewsConfig(semantic=False),
        train=TrainConfig(epochs=2.0, batch_size=8, lr=3e-3, workers=0, precision="fp32"),
    )


def test_a_pair_of_towers_is_trained_and_asked(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best = soundspot.train(recipe(), tmp_path / "run", progress=False)
    with (tmp_path / "run" / "logs" / "attempt-0" / "metrics.csv").open() as file:
        assert len([row for row in csv.DictReader(file) if row["train/loss"]]) == 2
    last, first = load_checkpoint(best)[0], create_untrained()
    ours, theirs = last.state_dict(), first.state_dict()
    moved = {name for name in ours if not torch.equal(ours[name], theirs[name])}
    assert "image_encoder.network.encoder.layer.1.mlp.fc1.weight" in moved
    assert not [n for n in moved if n.startswith(("audio_encoder.network", "image_encoder.network.encoder.layer.0"))]
    assert json.dumps(read_header(best)["config"])
    found = soundspot.load(best).locate(torch.rand(3, 40, 60), (torch.randn(16000), 16000))
    assert found.scores.shape == (3, 3)


def create_untrained() -> Method:
    plan = recipe()
    torch.manual_seed(plan.train.seed)
    return create("alignment", image=plan.image, audio=plan.audio, front_end=plan.front_end.build())


def test_nothing_to_learn_is_told(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RecipeError, match=r"nothing of this method learns.*raise `trained`"):
            soundspot.train(recipe("lvs", trained=0, width=None), tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()
