"""Encoders of stages, in every method: what is frozen stays as it is, and can be computed once."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import soundspot
from soundspot.config.checkpoint import load_checkpoint, save_checkpoint
from soundspot.config.schema import DataConfig, FrontEndConfig, Recipe, TrainConfig, ViewsConfig
from soundspot.errors import CheckpointError, RecipeError
from soundspot.methods import METHODS, Method, create
from soundspot.models.encoders import build_encoder
from soundspot.models.staged import NUM_STATISTICS_BATCHES, StagedEncoder, Standardization
from soundspot.types import Batch

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = {"efficientnet_lite0": (3, 64, 64), "aisfx": (1, 96, 150)}
FRONT_END = FrontEndConfig("efficientnet_lite0+aisfx", size=64, seconds=2.4).build()
OPTIONS: dict[str, dict[str, Any]] = {
    "joint_slots": {"k": 2, "width": 16},
    "heartheflow": {"frozen": False},
    **{name: {"classes": 3} for name in ("coarsetofine", "dsol", "lcbm")},
}


def build(name: str, **options: Any) -> StagedEncoder:
    torch.manual_seed(0)
    encoder = build_encoder({"encoder": name, "width": 8, **options}, SHAPES[name][0])
    assert isinstance(encoder, StagedEncoder)
    for module in encoder.modules():  # statistics that a batch would move
        if isinstance(module, torch.nn.BatchNorm2d):
            module.get_buffer("running_mean").normal_(0, 0.1)
    return encoder


FIRST = ("alignment", "dmc", "ezvsl", "heartheflow")  # methods of different kinds; the others are slow tests


def noise(name: str, b: int = 2) -> Tensor:
    torch.manual_seed(1)
    return torch.rand(b, *SHAPES[name])


def frozen_state(encoder: StagedEncoder) -> dict[str, Tensor]:
    learned = {name for name, parameter in encoder.named_parameters() if parameter.requires_grad}
    stages = {name.rpartition(".")[0] for name in learned}
    state = encoder.state_dict()
    return {name: value.clone() for name, value in state.items() if name.rpartition(".")[0] not in stages}


def build_method(name: str, trained: int | str) -> Method:
    torch.manual_seed(0)
    image: dict[str, Any] = {
        "encoder": "efficientnet_lite0",
        "layers": ["block10", "head"],
        "trained": trained,
        "width": 16,
    }
    audio: dict[str, Any] = {"encoder": "aisfx", "trained": trained, "width": 16}
    return create(name, image=image, audio=audio, front_end=FRONT_END, **OPTIONS.get(name, {}))


@pytest.mark.parametrize(
    "name", [*FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in sorted({*METHODS} - {*FIRST}))]
)
def test_every_method_learns_on_frozen_encoders(name: str) -> None:
    method = build_method(name, trained=0).train()
    before = {key: value.clone() for key, value in method.state_dict().items() if "_encoder.stages." in key}
    labels = torch.eye(3)[torch.arange(3)].expand(2, -1, -1)
    channels = method.front_end.image.num_channels
    batch = Batch(torch.randn(1, 3, channels, 64, 64), torch.rand(1, 3, 1, 96, 104), torch.arange(3), labels=labels)
    method.on_train_step_start(progress=0.5)
    torch.stack(list(method.losses(batch).values())).sum().backward()
    after = method.state_dict()
    assert before
    assert all(torch.equal(after[key], value) for key, value in before.items())
    parameters = dict(method.named_parameters())
    assert not any(p.requires_grad for key, p in parameters.items() if "_encoder.stages." in key)
    learned = {key for key, p in parameters.items() if p.grad is not None and bool(p.grad.any())}
    assert {"image_encoder.neck.weight", "audio_encoder.neck.weight"} <= learned


def test_training_leaves_what_is_frozen_as_it_is(tmp_path: Path) -> None:
    recipe = Recipe(
        method={"name": "ezvsl", "width": 16},
        image={"encoder": "efficientnet_lite0", "weights": "bundled", "trained": 1, "width": 16},
        audio={"encoder": "aisfx", "weights": "bundled", "trained": 0, "width": 16},
        front_end=FrontEndConfig("efficientnet_lite0+aisfx", size=64, seconds=1.0),
        data=DataConfig("scenes", options={"length": 8, "size": 64, "seconds": 1.0}),
        views=ViewsConfig(multi_view=False, semantic=False, base_view="unaugmented"),
        train=TrainConfig(epochs=1.0, batch_size=4, workers=0, seed=3),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        best = soundspot.train(recipe, tmp_path / "run", progress=False)
    torch.manual_seed(3)
    front_end = recipe.front_end.build()
    before = create("ezvsl", image=recipe.image, audio=recipe.audio, front_end=front_end, width=16).state_dict()
    after = load_checkpoint(best)[0].state_dict()
    moved = {key.rpartition(".")[0] for key, value in before.items() if not torch.equal(after[key], value)}
    assert {"image_encoder.neck", "audio_encoder.neck", "image_encoder.stages.head.norm"} <= moved
    stages = {key for key in moved if "_encoder.stages." in key}
    assert {name.split(".")[2] for name in load_file(best) if "_encoder.stages." in name} == {"head"}
    assert stages == {"image_encoder.stages.head.conv", "image_encoder.stages.head.norm"}


@pytest.mark.parametrize("trained", [0, 1, 2, "all"])
@pytest.mark.parametrize("name", sorted(SHAPES))
def test_the_last_stages_learn_and_the_others_stay(name: str, trained: int | str) -> None:
    encoder = build(name, trained=trained).train()
    stages = [stage for stage in encoder.stages.values() if [*stage.parameters()]]
    count = len(stages) if trained == "all" else int(trained)
    before = frozen_state(encoder)
    encoder(noise(name)).square().sum().backward()
    after = encoder.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())
    learns = [all(p.grad is not None for p in stage.parameters()) for stage in stages]
    assert learns == [False] * (len(stages) - count) + [True] * count
    assert [stage.training for stage in stages] == learns
    assert not any(module.training for module in encoder.eval().modules())


@pytest.mark.parametrize("trained", [0, 1, 2, 3, "all"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("efficientnet_lite0", {"layers": ["head"]}),
        ("efficientnet_lite0", {"layers": ["block10", "head"]}),
        ("efficientnet_lite0", {"layers": ["block10", "block15", "head"]}),
        ("aisfx", {"pooling": "block"}),
        ("aisfx", {"pooling": "none"}),
    ],
)
@torch.no_grad()
def test_what_is_frozen_can_be_computed_once(name: str, options: dict[str, Any], trained: int | str) -> None:
    encoder = build(name, trained=trained, **options).eval()
    x = noise(name)
    stored = encoder.forward_frozen(x)
    assert all(len(features) == len(x) for features in stored)
    torch.testing.assert_close(encoder.forward_trained(stored), encoder(x), rtol=0, atol=0)
    one = encoder.forward_trained(tuple(features[1:] for features in stored))
    torch.testing.assert_close(one, encoder(x[1:]), rtol=1e-4, atol=1e-4)


def test_frozen_features_are_small() -> None:
    image, audio = build("efficientnet_lite0", trained=0, layers=["block10", "head"]), build("aisfx", trained=0)
    assert [x.shape for x in image.forward_frozen(noise("efficientnet_lite0"))] == [(2, 112, 4, 4), (2, 1280, 2, 2)]
    assert [x.shape for x in audio.forward_frozen(noise("aisfx"))] == [(2, 2, 512, 1, 1)]
    assert [x.shape for x in build("aisfx", trained=1).forward_frozen(noise("aisfx"))] == [(2, 2, 256, 12, 12)]


@pytest.mark.parametrize("name", sorted(SHAPES))
@torch.no_grad()
def test_a_checkpoint_builds_the_same_encoder(name: str) -> None:
    encoder = build(name, trained=1).eval()
    options = json.loads(json.dumps({"encoder": name, **encoder.build_options}))
    again = build_encoder(options, SHAPES[name][0]).eval()
    again.load_state_dict(encoder.state_dict())
    assert again.build_options == encoder.build_options
    assert torch.equal(again(noise(name)), encoder(noise(name)))


def test_a_method_is_saved_and_loaded_without_the_public_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSPOT_CACHE", str(tmp_path / "empty"))
    method = build_method("ezvsl", trained=0).eval()
    save_checkpoint(method, tmp_path / "ezvsl.safetensors")
    again, _ = load_checkpoint(tmp_path / "ezvsl.safetensors")
    assert again.config == method.config
    x, y = torch.randn(2, 3, 64, 64), torch.rand(2, 1, 96, 104)
    assert torch.equal(again.maps(x, y), method.maps(x, y))


def test_weights_that_are_not_there_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOUNDSPOT_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=r"'aisfx': its weights are not on this machine \(no file .*models.aisfx"):
        build("aisfx", weights="pretrained")
    with pytest.raises(CheckpointError, match="`soundspot models fetch efficientnet_lite0` once, or give `bundled` or"):
        build("efficientnet_lite0", weights="pretrained")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("efficientnet_lite0", {"trained": 19}, r"found `trained: 19`, expected `all`, or .* 0 \(frozen\) to 18"),
        ("efficientnet_lite0", {"trained": 13, "layers": ["block10"]}, r"0 \(frozen\) to 12"),
        ("efficientnet_lite0", {"layers": ["blok10"]}, "has no layer 'blok10'. Did you mean 'block10'?"),
        ("efficientnet_lite0", {"layers": []}, "found no `layers`, expected one or more of block10, block15, head"),
        ("aisfx", {"trained": 5}, r"found `trained: 5`, expected `all`, or .* 0 \(frozen\) to 4"),
        ("aisfx", {"pooling": "max"}, "found `pooling: max`, expected block or none"),
    ],
)
def test_options_that_do_not_fit(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build(name, **options)


@pytest.mark.parametrize(("name", "kernel"), [("efficientnet_lite0", 3), ("aisfx", 1)])
def test_layers_of_the_neck_are_nonlinear_and_learn(name: str, kernel: int) -> None:
    linear, hidden, deep = (build(name, trained=0, neck_depth=depth).eval() for depth in (0, 1, 3))
    assert linear.state_dict().keys() == build(name, trained=0).state_dict().keys()
    x = noise(name)
    for encoder in (hidden, deep):
        encoder.load_state_dict(linear.state_dict(), strict=False)
    for encoder in (hidden, deep):
        for norm in encoder.neck_norms:
            norm.statistics.reset_running_stats()
            norm.statistics.eps = 0.0  # of mean 0 and variance 1: no change
    expected = linear(x).relu()
    torch.testing.assert_close(hidden(x), expected)
    for convolution in deep.neck_convolutions:
        assert isinstance(convolution, torch.nn.Conv2d)
        assert convolution.kernel_size == (kernel, kernel)
        expected = expected + convolution(expected).relu()
    torch.testing.assert_close(deep(x), expected)
    deep(x).sum().backward()
    learned = {key for key, p in deep.named_parameters() if p.grad is not None}
    assert learned == {f"neck{n}.{p}" for n in ("", "_convolutions.0", "_convolutions.1") for p in ("weight", "bias")}


def test_a_checkpoint_has_the_layers_of_its_neck(tmp_path: Path) -> None:
    encoders = {"image": {"encoder": "efficientnet_lite0", "width": 8, "neck_depth": 2, "trained": 0}}
    method = create("ezvsl", **encoders, audio={"encoder": "aisfx", "width": 8, "neck_depth": 1}, front_end=FRONT_END)
    save_checkpoint(method, tmp_path / "m.safetensors")
    again = load_checkpoint(tmp_path / "m.safetensors")[0]
    assert (again.image_encoder.neck_depth, again.audio_encoder.neck_depth) == (2, 1)
    with pytest.raises(RecipeError, match="neck_depth: 1` and `width: None"):
        build("aisfx", neck_depth=1, width=None)


def test_standardization_learns_from_its_first_batches_alone() -> None:
    norm, x = Standardization(3).train(), 5 * torch.randn(64, 3, 4, 4) + 2
    for _ in range(NUM_STATISTICS_BATCHES):
        y = norm(x)
    assert y.mean(dim=(0, 2, 3)).abs().max() < 0.1
    assert (y.std(dim=(0, 2, 3)) - 1).abs().max() < 0.1
    torch.testing.assert_close(norm(x * 3), (x * 3 - mean(norm)) / deviation(norm))
    torch.testing.assert_close(norm.eval()(x), y)


def mean(norm: Standardization) -> torch.Tensor:
    return norm.statistics.get_buffer("running_mean")[:, None, None]


def deviation(norm: Standardization) -> torch.Tensor:
    return (norm.statistics.get_buffer("running_var") + norm.statistics.eps).sqrt()[:, None, None]
