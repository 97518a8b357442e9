"""Public towers behind one adapter: where cells lie, what of a tower learns, what is told when it does not fit."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from soundspot.errors import CheckpointError, RecipeError
from soundspot.models.encoders import ENCODERS, build_encoder, output_grid
from soundspot.models.momentum import MomentumEncoder
from soundspot.models.pretrained import PretrainedEncoder
from soundspot.models.pretrained_specs import PRETRAINED_SPECS
from tiny import PICTURES, SHAPES, TINY, front_end, options

transformers = pytest.importorskip("transformers", reason="the extra `hub` is not installed")
pytestmark = pytest.mark.usefixtures("one_thread")


def build(name: str, seed: int = 0, **more: Any) -> PretrainedEncoder:
    torch.manual_seed(seed)
    tower = build_encoder(options(name, **more), 1 if name in SHAPES else 3)
    assert isinstance(tower, PretrainedEncoder)
    return tower


def noise(name: str, b: int = 2, side: int = 45) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(b, 1, *SHAPES[name]) if name in SHAPES else torch.randn(b, 3, side, side + 16)


def learned(module: nn.Module) -> set[str]:
    return {name for name, one in module.named_parameters() if one.grad is not None and bool(one.grad.any())}


@pytest.mark.parametrize(
    ("name", "shape", "cells"),
    [
        ("dinov2", (56, 56), (4, 4)),
        ("dinov2", (45, 61), (3, 4)),
        ("dinov2_registers", (45, 61), (3, 4)),
        ("dinov3", (45, 61), (2, 3)),
        ("dinov3_convnext", (64, 97), (2, 3)),
        ("clip", (32, 32), (2, 2)),
        ("clip", (45, 61), (2, 3)),
        ("convnext", (64, 97), (2, 3)),
        ("convnextv2", (64, 97), (2, 3)),
        ("ast", (32, 64), (2, 5)),
        ("clap", (16, 250), (2, 32)),
        ("clap", (16, 256), (2, 32)),
        ("whisper", (20, 64), (1, 32)),
    ],
)
@torch.no_grad()
def test_a_grid_of_the_width_asked_for(name: str, shape: tuple[int, int], cells: tuple[int, int]) -> None:
    x = torch.randn(2, 1 if name in SHAPES else 3, *shape)
    wide, own = build(name).eval(), build(name, width=None).eval()
    assert wide(x).shape == (2, wide.channels, *cells) == (2, 24, *cells)
    assert own(x).shape == (2, own.channels, *cells) == (2, 32, *cells)
    assert output_grid(wide, x.shape[1:]) == cells


SHALLOW = {"whisper": {"encoder_layers": 0}, "clap": {"depths": [0, 0]}} | {
    name: {"depths": [0, 0, 0, 0]} for name in PICTURES if "convnext" in name
}


@pytest.mark.parametrize("name", sorted(TINY))
@torch.no_grad()
def test_a_cell_is_where_its_pixels_are(name: str) -> None:
    """Without blocks a cell sees its own patch: what changes in one corner changes the cell in that corner."""
    config = TINY[name] | SHALLOW.get(name, {"num_hidden_layers": 0})
    tower = build(name, config=config, width=None).eval()
    x = noise(name, b=1, side=96)
    corners = [slice(0, size // 3) for size in x.shape[-2:]], [slice(size - size // 3, size) for size in x.shape[-2:]]
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        y = x.clone()
        rows = slice(None) if name == "whisper" else corners[down][0]
        y[..., rows, corners[right][1]] = 3.0
        change = (tower(y) - tower(x)).abs().sum(1)[0]
        at = divmod(int(change.argmax()), change.shape[1])
        middle = [(size - 1) / 2 for size in change.shape]
        assert name == "whisper" or (at[0] > middle[0]) == bool(down), (down, right, change)
        assert (at[1] > middle[1]) == bool(right), (down, right, change)


UNUSED = {"network.embeddings.mask_token"}  # of masked pretraining


@pytest.mark.parametrize("name", sorted(TINY))
def test_what_learns(name: str) -> None:
    """Nothing, the last block and what follows it, or everything; the layer that sets the width always."""
    neck = {"neck.weight", "neck.bias"}
    for trained in (0, 1, "all"):
        tower = build(name, trained=trained).train()
        (tower(noise(name)) ** 2).sum().backward()
        found = learned(tower)
        with_gradient = {n for n, one in tower.named_parameters() if one.requires_grad}
        blocks = [n for n, m in tower.named_modules() if type(m).__name__ == PRETRAINED_SPECS[name].class_names[2]]
        before = {n for n, _ in tower.named_parameters() if any(n.startswith(b + ".") for b in blocks[:-1])}
        last = {n for n, _ in tower.named_parameters() if n.startswith(blocks[-1] + ".")}
        if trained == 0:
            assert found == with_gradient == neck
        elif trained == 1:
            assert last <= with_gradient
            assert not before & with_gradient
            assert neck < found <= with_gradient
            assert not any("embed" in n or "batch_norm" in n for n in with_gradient)
        else:
            assert last | before <= with_gradient
            assert all(one.grad is not None for n, one in tower.named_parameters() if n in with_gradient - UNUSED)


@pytest.mark.parametrize("trained", [0, 1])
def test_what_is_frozen_stays_in_evaluation_mode(trained: int) -> None:
    clap = build("clap", trained=trained).train()
    assert clap.training
    assert not clap.network.audio_encoder.batch_norm.training
    before = clap.network.audio_encoder.batch_norm.running_mean.clone()
    clap(noise("clap"))
    assert torch.equal(clap.network.audio_encoder.batch_norm.running_mean, before)
    blocks = [m for m in clap.modules() if type(m).__name__ == "ClapAudioLayer"]
    assert [block.training for block in blocks] == [False] * (4 - trained) + [True] * trained
    assert not any(module.training for module in clap.eval().modules())


def test_dropout_of_frozen_blocks_is_off() -> None:
    config = TINY["dinov2"] | {"hidden_dropout_prob": 0.5, "attention_probs_dropout_prob": 0.5, "drop_path_rate": 0.5}
    frozen, whole = (build("dinov2", config=config, trained=trained).train() for trained in (0, "all"))
    x = noise("dinov2")
    assert torch.equal(frozen(x), frozen(x))
    assert not torch.equal(whole(x), whole(x))


def test_batch_norms_learn_with_the_whole_tower() -> None:
    clap = build("clap").train()
    before = clap.network.audio_encoder.batch_norm.running_mean.clone()
    clap(noise("clap"))
    assert not torch.equal(clap.network.audio_encoder.batch_norm.running_mean, before)


@pytest.mark.parametrize("name", sorted(TINY))
@torch.no_grad()
def test_settled_options_build_the_same_network(name: str) -> None:
    tower = build(name, trained=1).eval()
    again = build_encoder(
        json.loads(json.dumps(options(name, trained=1) | tower.build_options)), noise(name).shape[1]
    ).eval()
    again.load_state_dict(tower.state_dict())
    assert again.build_options == tower.build_options
    assert torch.equal(again(noise(name)), tower(noise(name)))


def test_a_slow_copy_follows() -> None:
    source = nn.Module()
    source.encoder = build("dinov2", trained=1)
    slow = MomentumEncoder(source, "encoder")
    with torch.no_grad():
        source.encoder.neck.weight.add_(1.0)
    before = slow.encoder.network.layernorm.weight.clone()
    slow.update(source, 0.5)
    torch.testing.assert_close(slow.encoder.neck.weight, source.encoder.neck.weight - 0.5)
    assert torch.equal(slow.encoder.network.layernorm.weight, before)
    assert not any(one.requires_grad for one in slow.parameters())


# Public weights, from folders as the library writes them: a tower is a part of a larger model there.


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text |= {"vocab_size": 20, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    t = transformers
    torch.manual_seed(3)
    models = {
        "dinov2": t.Dinov2ForImageClassification(t.Dinov2Config(**TINY["dinov2"])),
        "dinov2_registers": t.Dinov2WithRegistersModel(t.Dinov2WithRegistersConfig(**TINY["dinov2_registers"])),
        "dinov3": t.DINOv3ViTModel(t.DINOv3ViTConfig(**TINY["dinov3"])),
        "clip": t.CLIPModel(t.CLIPConfig(vision_config=TINY["clip"], text_config=text)),
        "convnext": t.ConvNextForImageClassification(t.ConvNextConfig(**TINY["convnext"])),
        "ast": t.ASTForAudioClassification(t.ASTConfig(**TINY["ast"])),
        "clap": t.ClapModel(t.ClapConfig(audio_config=TINY["clap"], text_config=text)),
        "whisper": t.WhisperForConditionalGeneration(
            t.WhisperConfig(**TINY["whisper"], decoder_start_token_id=2, decoder_ffn_dim=16, decoder_layers=1)
        ),
    }
    found = {}
    for name, model in models.items():
        found[name] = str(tmp_path_factory.mktemp(name))
        model.save_pretrained(found[name])
    return found


@pytest.mark.parametrize(
    ("name", "inside"),
    [
        ("dinov2", "dinov2"),
        ("dinov2_registers", ""),
        ("dinov3", ""),
        ("clip", "vision_model"),
        ("convnext", "convnext"),
        ("ast", "audio_spectrogram_transformer"),
        ("clap", "audio_model"),
        ("whisper", "model.encoder"),
    ],
)
def test_public_weights_are_those_of_the_file(name: str, inside: str, folders: dict[str, str]) -> None:
    from safetensors.torch import load_file

    tower = build_encoder({"encoder": name, "weights": folders[name], "width": None}, noise(name).shape[1])
    theirs = load_file(Path(folders[name]) / "model.safetensors")
    ours = {key: value for key, value in tower.network.state_dict().items() if "num_batches" not in key}
    values = [value for key, value in theirs.items() if key.startswith(inside)]
    assert ours
    for key, value in ours.items():
        assert any(value.shape == other.shape and torch.equal(value, other) for other in values), key
    assert {k: tower.build_options["config"][k] for k in TINY[name]} == TINY[name]
    with torch.no_grad():
        assert bool(tower.eval()(noise(name)).isfinite().all())


def test_another_models_weights_are_refused(folders: dict[str, str], tmp_path: Path) -> None:
    for name, other, said in (
        ("dinov2", "dinov2_registers", r"is of the kind 'dinov2_with_registers'; name a model like 'facebook/dinov2-s"),
        ("clip", "dinov2", r"is of the kind 'dinov2'; name a model like 'openai/clip"),
        ("dinov2_registers", "dinov2", r"lacks \d+ of the encoder's weights \(first: embeddings"),
    ):
        with pytest.raises(CheckpointError, match=said):
            build_encoder({"encoder": name, "weights": folders[other]}, 3)
    with pytest.raises(CheckpointError, match=r"none' cannot be loaded \(.*give that folder as `weights`"):
        build_encoder({"encoder": "dinov2", "weights": str(tmp_path / "none")}, 3)


def test_public_means_the_models_of_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, with an empty cache, the name, the reason and the remedy are told."""
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", "/nowhere")
    for name, facts in PRETRAINED_SPECS.items():
        with pytest.raises(CheckpointError) as error:
            build_encoder({"encoder": name, "weights": "public"}, noise(name).shape[1])
        assert f"encoder {name!r}: the model {facts.default_model!r} cannot be loaded" in str(error.value)
        assert f"hf download {facts.default_model} --local-dir FOLDER" in str(error.value)


# What does not fit.


def test_every_tower_is_an_encoder() -> None:
    assert set(PRETRAINED_SPECS) == set(TINY) <= set(ENCODERS)


@pytest.mark.parametrize(
    ("given", "channels", "said"),
    [
        ({"trained": 3}, 3, r"found `trained: 3`, expected `all`, or .* 0 \(frozen\) to 2"),
        ({"trained": "last"}, 3, r"found `trained: last`, expected `all`"),
        ({"config": {"hiden_size": 32}}, 3, r"`config` has no 'hiden_size'. Did you mean 'hidden_size'"),
        ({"config": {"hidden_size": "wide"}}, 3, r"cannot be built from \{'hidden_size': 'wide'\}"),
        ({"model": "x"}, 3, r"encoder 'dinov2' has no option 'model'"),
        ({}, 1, r"'dinov2' takes images and was given for audio"),
    ],
)
def test_options_that_do_not_fit_are_told(given: dict[str, Any], channels: int, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        build_encoder(options("dinov2") | given, channels)


def test_fused_clap_is_refused() -> None:
    with pytest.raises(RecipeError, match="name an unfused one"):
        build("clap", config=TINY["clap"] | {"enable_fusion": True})


def test_a_missing_library_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(RecipeError, match=r'needs transformers; install it with `pip install "soundspot\[hub\]"`'):
        build_encoder({"encoder": "dinov2"}, 3)


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("ast", (32, 63), "found spectrograms of 32 x 63, expected 32 bands and 64 frames"),
        ("ast", (257, 64), "found spectrograms of 257 x 64, expected 32 bands"),
        ("whisper", (20, 200), "expected 20 bands and 64 frames; its front end is the preset 'whisper'"),
        ("clap", (16, 100), "expected 16 bands and 230 to 256 frames"),
        ("dinov2", (13, 40), "images of 13 x 40 pixels, smaller than one of its cells"),
    ],
)
def test_inputs_of_another_size_are_told(name: str, shape: tuple[int, int], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        build(name)(torch.zeros(1, 1 if name in SHAPES else 3, *shape))


def test_the_front_end_is_asked_when_a_method_is_built() -> None:
    from soundspot.methods import create

    image, audio = options("clip"), options("ast")
    create("alignment", image=image, audio=audio, front_end=front_end("clip", "ast"))
    for wrong, said in (
        (front_end("dinov2", "ast"), r"encoder 'clip': found images with mean \(0.485.*preset 'clip'"),
        (
            front_end("clip", "whisper"),
            r"encoder 'ast': found audio with window_function hann, expected kaldi.*preset 'ast'",
        ),
        (None, r"encoder 'clip': found images with mean"),
    ):
        with pytest.raises(RecipeError, match=said):
            create("alignment", image=image, audio=audio, front_end=wrong)
    with pytest.raises(RecipeError, match=r"found 24 image channels and 32 audio channels.*the same `width`"):
        create("lvs", image=image, audio=audio | {"width": None}, front_end=front_end("clip", "ast"))
