"""Released weights of DenseAV: LoRA is merged, sizes come from the weights, heads and the like from the configuration.

mhamilton723/DenseAV at 2221b8c: the hub's model.safetensors with its config.json, or a Lightning checkpoint, which
holds the same values under `state_dict` and `hyper_parameters`.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from soundspot.errors import CheckpointError
from soundspot.importers.release import Release

LORA_ALPHA = 32  # train.py; the rank is that of the matrices
HEAD_WIDTH = 64  # of every size of DINO and of HuBERT
_HUBERT = "audio_model.model."
_PEFT = "image_model.base_model.model."
_OLD_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
_NETWORK = {  # values by which a checkpoint of the same code would be another network
    "image_model_type": "dino8",
    "image_model_token_type": "token",
    "image_aligner_type": "image_linear",
    "audio_model_type": "hubert",
    "audio_aligner_type": "audio_sa_3_3_pool_2",
    "learn_audio_cls": True,
    "sim_agg_type": "misa",
    "head_agg": "max_elementwise",
    "audio_lora": False,
}
_OPTIONS = {
    "sim_agg_heads": ("heads", int),
    "sim_use_cls": ("class_token", bool),
    "nonneg_sim": ("non_negative", bool),
    "norm_vectors": ("normalize", bool),
}


def merge_lora(state: Mapping[str, Tensor], source: str) -> dict[str, Tensor]:
    """Merge the image encoder's LoRA into its weights, and bring names to those of a release without it.

    Args:
        state: released parameter name -> weight, with or without LoRA of any rank, by peft before or since 0.6, and
            HuBERT's weight norm by either of torch's names.
        source: name of the file for messages.

    Returns:
        Parameter name -> weight, where W of each layer with LoRA is W + (32 / rank) B A.

    Raises:
        CheckpointError: of a layer's LoRA one matrix is missing, or shapes do not fit.
    """
    merged: dict[str, Tensor] = {}
    for name, value in state.items():
        local = name.replace(_PEFT, "image_model.").replace(".base_layer.", ".")
        stem, _, leaf = local.rpartition(".")
        merged[f"{stem}.{_OLD_NORM[leaf]}" if leaf in _OLD_NORM else local] = value
    for stem in {name.partition(".lora_")[0] for name in merged if ".lora_" in name}:
        first, second = (merged.pop(f"{stem}.lora_{side}.default.weight", None) for side in "AB")
        weight = merged.get(f"{stem}.weight")
        if first is None or second is None or weight is None:
            raise CheckpointError(
                f"{source}: of the LoRA of {stem} a matrix is missing: it was cut short, fetch it again"
            )
        rank = len(first) if first.ndim == 2 else 0
        if not rank or second.shape[1:] != (rank,) or (*second.shape[:1], *first.shape[1:]) != weight.shape:
            shapes = f"{list(second.shape)} x {list(first.shape)}"
            raise CheckpointError(f"{source}: the LoRA of {stem} is {shapes}, expected to give {list(weight.shape)}")
        merged[f"{stem}.weight"] = weight + LORA_ALPHA / rank * second @ first
    return merged


def infer_options(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Infer the sizes of the networks from the shapes of their weights.

    Args:
        state: parameter name -> weight, as `merge_lora` returns them.

    Returns:
        Options of the method; those whose weights are missing, or have another number of axes, are left out.
    """

    def shape(name: str, num_axes: int) -> tuple[int, ...]:
        return tuple(state[name].shape) if name in state and state[name].ndim == num_axes else ()

    def count(pattern: str) -> int:
        return len({match[1] for name in state if (match := re.match(pattern, name))})

    options: dict[str, Any] = {}
    if layer := shape("image_aligner.layer.weight", 4):
        options["width"] = layer[0]
    patch = shape("image_model.model.patch_embed.proj.weight", 4)
    if patch and (grid := shape("image_model.model.pos_embed", 3)):
        depth = count(r"image_model\.model\.blocks\.(\d+)\.")
        sizes = {"width": patch[0], "depth": depth, "heads": max(1, patch[0] // HEAD_WIDTH), "patch_size": patch[-1]}
        options["image"] = {**sizes, "grid": math.isqrt(max(0, grid[1] - 1))}
    if feed_forward := shape(f"{_HUBERT}encoder.layers.0.feed_forward.intermediate_dense.weight", 2):
        wide, width = feed_forward
        layers = count(r"audio_model\.model\.encoder\.layers\.(\d+)\.")
        sizes = {"hidden_size": width, "num_hidden_layers": layers, "intermediate_size": wide}
        sizes["num_attention_heads"] = max(1, width // HEAD_WIDTH)
        convolutions = [shape(f"{_HUBERT}feature_extractor.conv_layers.{n}.conv.weight", 3) for n in range(7)]
        options["audio"] = {"config": {**sizes, "conv_dim": [dim[0] for dim in convolutions if dim]}}
    return options


def read_config(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Read the options that the weights do not tell from the released configuration.

    Args:
        config: name -> value.
        source: name of the file for messages.

    Returns:
        Options of the method.

    Raises:
        CheckpointError: a value is missing, of another type, or that of another network.
    """
    for name, expected in _NETWORK.items():
        if name in config and config[name] != expected:
            raise CheckpointError(
                f"{source}: its configuration has {name} {config[name]!r:.60}, expected {expected!r}: it is another "
                "network of the same code. Released are DenseAV-sound, -language and -sound-language"
            )
    for name, (_, type_) in _OPTIONS.items():
        if name not in config:
            raise CheckpointError(
                f"{source}: its weights do not tell {name}; put the config.json of its release beside it, or give the "
                "Lightning checkpoint with its `hyper_parameters`"
            )
        if type(config[name]) is not type_:
            raise CheckpointError(
                f"{source}: its configuration has {name} {config[name]!r:.60}, expected {type_.__name__}. Fetch it "
                "again"
            )
    return {option: config[name] for name, (option, _) in _OPTIONS.items()}


DENSEAV = Release(
    "denseav",
    (
        ("image_model.model.", "image_encoder."),
        ("audio_model.model.", "audio_encoder.network."),
        ("image_aligner.norm.norm.", "image_aligner.norm."),
        ("image_aligner.", "image_aligner."),
        ("audio_aligner.mod_list.1.norm.", "audio_aligner.norm."),
        ("audio_aligner.mod_list.2.layer.", "audio_aligner.pool1."),
        ("audio_aligner.mod_list.2.cls_layer.", "audio_aligner.cls_layer."),
        ("audio_aligner.mod_list.3.layer.", "audio_aligner.pool2."),
        ("audio_aligner.mod_list.4.block.", "audio_aligner.block."),
        ("audio_cls", "audio_cls"),
    ),
    unused_prefixes=("sim_cal.", "audio_model.model.masked_spec_embed"),
    infer_options=infer_options,
    read_config=read_config,
    prepare=merge_lora,
)
