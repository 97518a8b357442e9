"""Released weights of DenseAV: names of all kinds, values that the weights do not tell, files that are wrong or cut."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import soundspot
from conftest import ROOT
from released import Case, golden_case, shaped
from soundspot.errors import CheckpointError
from soundspot.importers import IMPORTERS, import_checkpoint
from soundspot.importers.denseav import merge_lora

pytest.importorskip("transformers", reason="the extra `hub` is not installed")
State = dict[str, Tensor]
CONFIG = {"sim_agg_heads": 1, "sim_use_cls": True, "nonneg_sim": False, "norm_vectors": False, "lr": 1e-4}


@pytest.fixture(scope="module")
def case() -> Case:
    return golden_case(ROOT / "tests" / "golden", "denseav", "denseav")


@pytest.fixture
def state(case: Case) -> State:
    """The names of the released file with LoRA, all zero."""
    return shaped(case.read("keys.json"))


def test_lora_is_merged_whatever_peft_called_it(case: Case) -> None:
    state = case.state()
    stem = "image_model.base_model.model.model.blocks.0.attn.qkv"
    merged = merge_lora(state, "a file")
    expected = (
        state[f"{stem}.weight"] + 4 * state[f"{stem}.lora_B.default.weight"] @ state[f"{stem}.lora_A.default.weight"]
    )
    torch.testing.assert_close(merged["image_model.model.blocks.0.attn.qkv.weight"], expected)
    assert not any("lora" in name or "base_model" in name for name in merged)
    newer = {
        name.replace("qkv.weight", "qkv.base_layer.weight").replace("qkv.bias", "qkv.base_layer.bias"): value
        for name, value in state.items()
    }
    norm = "audio_model.model.encoder.pos_conv_embed.conv."
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        newer[norm + old] = newer.pop(f"{norm}parametrizations.weight.{new}")
    again = merge_lora(newer, "a file")
    assert again.keys() == merged.keys()
    assert all(torch.equal(again[name], merged[name]) for name in merged)
    assert merge_lora(merged, "a file").keys() == merged.keys()


def test_sizes_are_those_of_the_weights(state: State) -> None:
    method = import_checkpoint({"state_dict": state, "hyper_parameters": CONFIG | {"sim_agg_heads": 2}}, "denseav")
    assert (method.config["width"], method.config["heads"], method.config["class_token"]) == (10, 2, True)
    sizes = {"width": 64, "depth": 2, "heads": 1, "patch_size": 8, "grid": 4}
    assert method.config["image"] == {"encoder": "dino", **sizes}
    assert method.config["audio"]["config"]["num_hidden_layers"] == 2


def test_the_hubs_file_has_its_configuration_beside_it(state: State, tmp_path: Path) -> None:
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "model.safetensors")
    with pytest.raises(
        CheckpointError, match=r"model.safetensors: its weights do not tell sim_agg_heads; put the config"
    ):
        import_checkpoint(tmp_path / "model.safetensors", "denseav")
    (tmp_path / "config.json").write_text("[1")
    with pytest.raises(CheckpointError, match=r"config.json: cannot be read"):
        import_checkpoint(tmp_path / "model.safetensors", "denseav")
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    assert import_checkpoint(tmp_path / "model.safetensors", "denseav").config["heads"] == 1
    assert soundspot.inspect_checkpoint(tmp_path / "model.safetensors").methods == ("denseav",)


def test_a_file_that_is_cut_short_is_named(state: State, tmp_path: Path) -> None:
    path = tmp_path / "denseav_sound.ckpt"
    torch.save({"state_dict": {name: value.clone() for name, value in state.items()}, "hyper_parameters": CONFIG}, path)
    assert import_checkpoint(path, "denseav").name == "denseav"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CheckpointError, match=r"denseav_sound.ckpt: cannot be opened .* fetch it again"):
        import_checkpoint(path, "denseav")


def without(text: str) -> Callable[[State, dict[str, Any]], None]:
    def change(state: State, config: dict[str, Any]) -> None:
        for name in [name for name in state if text in name]:
            del state[name]
        config.pop(text, None)

    return change


def setting(**values: Any) -> Callable[[State, dict[str, Any]], None]:
    return lambda state, config: config.update(values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            without("blocks.1.attn.qkv.lora_A"),
            r"of the LoRA of image_model.model.blocks.1.attn.qkv a matrix is missing",
        ),
        (without("audio_cls"), r"1 missing \(first: audio_cls\)"),
        (without("nonneg_sim"), r"do not tell nonneg_sim"),
        (setting(sim_agg_heads="2"), r"has sim_agg_heads '2', expected int"),
        (
            setting(audio_model_type="cavmae"),
            r"has audio_model_type 'cavmae', expected 'hubert': it is another network",
        ),
        (lambda state, config: state.update({"zebra": torch.zeros(1)}), r"1 unknown \(first: zebra\)"),
        (
            lambda state, config: state.update(
                {"image_model.base_model.model.model.blocks.0.attn.qkv.lora_A.default.weight": torch.zeros(8, 3)}
            ),
            r"blocks.0.attn.qkv is \[192, 8\] x \[8, 3\], expected to give \[192, 64\]",
        ),
        (
            lambda state, config: state.update(
                {"x.weight": torch.zeros(4, 3), "x.lora_A.default.weight": torch.zeros(0, 3)}
                | {"x.lora_B.default.weight": torch.zeros(4, 0)}
            ),
            r"the LoRA of x is \[4, 0\] x \[0, 3\], expected to give \[4, 3\]",
        ),
    ],
)
def test_what_is_wrong_is_told(change: Callable[[State, dict[str, Any]], None], words: str, state: State) -> None:
    config = dict(CONFIG)
    change(state, config)
    with pytest.raises(CheckpointError, match=words):
        import_checkpoint({"state_dict": state, "hyper_parameters": config}, "denseav")


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("image_model.model.pos_embed", (5,)),
        ("image_model.model.pos_embed", (1, 0, 64)),
        ("image_model.model.patch_embed.proj.weight", (193, 3, 8, 8)),
        ("audio_model.model.encoder.layers.0.feed_forward.intermediate_dense.weight", (64,)),
    ],
)
def test_shapes_that_no_network_has_are_compared_with_the_released_sizes(
    name: str, shape: tuple[int, ...], state: State
) -> None:
    match = IMPORTERS["denseav"].match({**merge_lora(state, "a file"), name: torch.zeros(shape)})
    assert (name, shape) in [(name, actual) for name, actual, _ in match.reshaped]


def test_other_files_build_no_denseav() -> None:
    assert not IMPORTERS["denseav"].may_match({"imgnet.conv1.weight": torch.zeros(1)})


@pytest.mark.slow
def test_a_file_of_the_released_sizes_loads() -> None:
    """341,199,361 weights are 1.36 GB: what DenseAV-sound has on the hub."""
    names = IMPORTERS["denseav"].expected_weights()
    assert sum(torch.Size(shape).numel() for shape in names.values()) + 1 + 1024 == 341_199_361
    state = {name: torch.zeros(()).expand(shape) for name, shape in names.items()}
    state |= {"sim_cal.w": torch.ones(1), "audio_model.model.masked_spec_embed": torch.zeros(1024)}
    method = import_checkpoint({"state_dict": state, "hyper_parameters": CONFIG}, "denseav")
    assert method.get_parameter("audio_encoder.network.encoder.layers.23.final_layer_norm.weight").shape == (1024,)
    assert not any(parameter.any() for parameter in method.parameters())
