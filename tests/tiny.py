"""Small random towers and the front ends that fit them: two layers, 32 channels, nothing downloaded."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import save_file

from soundspot.config.frontend import PRESETS, ImageSpec, InputSpec
from soundspot.importers import IMPORTERS
from soundspot.methods import Method, create

_VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_CONVNEXT = {"hidden_sizes": [8, 12, 16, 32], "depths": [1, 1, 1, 2]}

TINY: dict[str, dict[str, Any]] = {
    "dinov2": {**_VIT, "mlp_ratio": 2, "image_size": 28, "patch_size": 14},
    "dinov2_registers": {**_VIT, "mlp_ratio": 2, "image_size": 28, "patch_size": 14, "num_register_tokens": 4},
    "dinov3": {**_VIT, "intermediate_size": 64, "num_register_tokens": 4},
    "dinov3_convnext": _CONVNEXT,
    "clip": {**_VIT, "intermediate_size": 64, "image_size": 32, "patch_size": 16},
    "convnext": _CONVNEXT,
    "convnextv2": _CONVNEXT,
    "ast": {**_VIT, "intermediate_size": 64, "num_mel_bins": 32, "max_length": 64},
    "clap": {
        "depths": [2, 2],
        "num_attention_heads": [2, 4],
        "patch_embeds_hidden_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "spec_size": 64,
        "num_mel_bins": 16,
        "window_size": 4,
    },
    "whisper": {
        "d_model": 32,
        "encoder_layers": 2,
        "encoder_attention_heads": 4,
        "encoder_ffn_dim": 64,
        "decoder_attention_heads": 4,
        "max_source_positions": 32,
        "num_mel_bins": 20,
        "vocab_size": 60,
        "pad_token_id": 1,
        "bos_token_id": 1,
        "eos_token_id": 1,
    },
}
SHAPES = {"ast": (32, 64), "clap": (16, 250), "whisper": (20, 64)}
"""Bands and frames of the towers that hear."""

PICTURES = sorted(set(TINY) - set(SHAPES))


def options(name: str, **more: Any) -> dict[str, Any]:
    """Encoder options of a small tower."""
    return {"encoder": name, "config": TINY[name], "width": 24, **more}


def front_end(picture: str, sound: str, size: int = 32) -> InputSpec:
    """What fits a small picture tower and a small sound tower."""
    mean_std = PRESETS["clip" if picture == "clip" else "alignment"].image
    bands, frames = SHAPES[sound]
    heard = replace(PRESETS[sound].audio, seconds=0.5, padded_seconds=0.0, n_mels=bands, num_frames=frames)
    if sound == "clap":
        heard = replace(heard, seconds=2.5, num_frames=0)
    return InputSpec(ImageSpec(size, "squash", mean_std.mean, mean_std.std), heard)


DENSEAV: dict[str, Any] = {
    "width": 12,
    "image": {"width": 64, "depth": 1, "heads": 1, "grid": 4},
    "audio": {
        "config": {
            "hidden_size": 64,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
            "intermediate_size": 64,
            "conv_dim": [8] * 7,
        }
    },
}
"""Options of a small DenseAV."""


def denseav_front_end(seconds: float = 1.0, preset: str = "denseav") -> InputSpec:
    """The preset for images of 32 pixels and a window of that length."""
    spec = PRESETS[preset]
    return InputSpec(replace(spec.image, size=32), replace(spec.audio, seconds=seconds))


def serve_denseav(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Method, list[tuple[str, str]]]:
    """A small DenseAV in the place of all that the hub has: the method, and the (repository, file) that are fetched."""
    import huggingface_hub

    method, release = create("denseav", **DENSEAV), IMPORTERS["denseav"]
    fetched: list[tuple[str, str]] = []
    folder.mkdir()
    weights = {release.to_released_name(name): x.contiguous() for name, x in method.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    config = {"sim_agg_heads": 1, "sim_use_cls": False, "nonneg_sim": False, "norm_vectors": False}
    (folder / "config.json").write_text(json.dumps(config))

    def download(repository: str, file: str) -> str:
        fetched.append((repository, file))
        return str(folder / file)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return method, fetched
