"""Specifications of the public pretrained encoders, one entry each.

Names of classes are those of the `transformers` library, names of models those of the Hugging Face hub.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class PretrainedSpec:
    """Specification of a pretrained encoder.

    Attributes:
        family: common prefix of the names of the `transformers` classes: `family` + `Model`, `Config` and `Layer`.
        default_model: hub name of the model that `weights: public` loads.
        grid_size: function of (config, H, W) of an input that returns the grid (h, w) of its tokens; they are the last
            h * w tokens, row by row.
        front_end: name in `PRESETS` of the preprocessing of its release.
        frame_range: function of the config that returns the minimum and maximum number of spectrogram frames; None: the
            encoder takes images.
        to_model_input: function from our input (b, i, H, W) to the layout that the network takes.
        forward_options: (name, value) of further keyword arguments of the network's forward.
        submodule: name of the submodule that is used; empty: the entire network.
        config_overrides: (name, value) of config fields that leave out unused layers.
        needs_final_norm: apply the network's last norm to the tokens, as the network itself applies it to a pooled
            embedding only.
        network: class name of the network; empty: `family` + `Model`.
        block: class name of its blocks; empty: `family` + `Layer`.
    """

    family: str
    default_model: str
    grid_size: Callable[[Any, int, int], tuple[int, int]]
    front_end: str = "alignment"
    frame_range: Callable[[Any], tuple[int, int]] | None = None
    to_model_input: Callable[[Tensor], Tensor] = lambda x: x
    forward_options: tuple[tuple[str, Any], ...] = ()
    submodule: str = ""
    config_overrides: tuple[tuple[str, Any], ...] = ()
    needs_final_norm: bool = False
    network: str = ""
    block: str = ""

    @property
    def class_names(self) -> tuple[str, str, str]:
        """Names of the `transformers` classes of the network, its configuration and its blocks, in this order."""
        return self.network or f"{self.family}Model", f"{self.family}Config", self.block or f"{self.family}Layer"


def _vit(config: Any, height: int, width: int) -> tuple[int, int]:
    return height // config.patch_size, width // config.patch_size


def _convnext(config: Any, height: int, width: int) -> tuple[int, int]:
    """Divide by the stem's stride of 4, and by 2 for each further stage."""
    stride = 4 * 2 ** (len(config.hidden_sizes) - 1)
    return height // stride, width // stride


def _ast(config: Any, bands: int, frames: int) -> tuple[int, int]:
    """Count overlapping patches."""
    side = config.patch_size
    return (bands - side) // config.frequency_stride + 1, (frames - side) // config.time_stride + 1


def _clap(config: Any, bands: int, frames: int) -> tuple[int, int]:
    """Unfold HTS-AT's square of side `spec_size`, into which it folds time."""
    folds = config.spec_size // config.num_mel_bins
    side = config.spec_size // config.patch_stride[0] // 2 ** (len(config.depths) - 1)
    return side // folds, side * folds


def _clap_frames(config: Any) -> tuple[int, int]:
    """Allow HTS-AT to stretch frames by a tenth at most: the 1001 of ten seconds become 1024."""
    maximum = config.spec_size * (config.spec_size // config.num_mel_bins)
    return round(0.9 * maximum), maximum


PRETRAINED_SPECS: dict[str, PretrainedSpec] = {
    "dinov2": PretrainedSpec("Dinov2", "facebook/dinov2-small", _vit),
    "dinov2_registers": PretrainedSpec("Dinov2WithRegisters", "facebook/dinov2-with-registers-small", _vit),
    "dinov3": PretrainedSpec("DINOv3ViT", "facebook/dinov3-vits16-pretrain-lvd1689m", _vit),
    "dinov3_convnext": PretrainedSpec("DINOv3ConvNext", "facebook/dinov3-convnext-tiny-pretrain-lvd1689m", _convnext),
    "clip": PretrainedSpec(
        "CLIPVision",
        "openai/clip-vit-base-patch16",
        _vit,
        front_end="clip",
        forward_options=(("interpolate_pos_encoding", True),),
        needs_final_norm=True,
        block="CLIPEncoderLayer",
    ),
    "convnext": PretrainedSpec("ConvNext", "facebook/convnext-tiny-224", _convnext, needs_final_norm=True),
    "convnextv2": PretrainedSpec("ConvNextV2", "facebook/convnextv2-tiny-1k-224", _convnext, needs_final_norm=True),
    "ast": PretrainedSpec(
        "AST",
        "MIT/ast-finetuned-audioset-10-10-0.4593",
        _ast,
        front_end="ast",
        frame_range=lambda config: (config.max_length, config.max_length),
        to_model_input=lambda x: x[:, 0].mT,
    ),
    "clap": PretrainedSpec(
        "ClapAudio",
        "laion/clap-htsat-unfused",
        _clap,
        front_end="clap",
        frame_range=_clap_frames,
        to_model_input=lambda x: x.mT,
        submodule="audio_model",
        network="ClapAudioModelWithProjection",  # the public file has no names of ClapAudioModel by itself
    ),
    "whisper": PretrainedSpec(
        "Whisper",
        "openai/whisper-base",
        lambda config, bands, frames: (1, config.max_source_positions),
        front_end="whisper",
        frame_range=lambda config: (2 * config.max_source_positions, 2 * config.max_source_positions),
        to_model_input=lambda x: x[:, 0],
        submodule="encoder",
        config_overrides=(("decoder_layers", 0),),
        block="WhisperEncoderLayer",
    ),
}
