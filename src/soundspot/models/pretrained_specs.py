"""The public towers there are: what sets one apart from the other, in a row each.

Names of classes are those of the `transformers` library, names of models those of the Hugging Face hub.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class PretrainedSpec:
    """What sets one tower apart.

    Attributes:
        network, config, block: names of the library's classes.
        public: the model that `weights: public` means.
        cells: (config, H, W) of the input -> (h, w) of the tokens, which lie row by row behind all others.
        front_end: preset that feeds it as its release is fed.
        frames: config -> least and most frames of a spectrogram; None: the tower sees pictures.
        enter: our input -> the library's.
        options: further arguments of the network's call.
        part: what of the network is used. without: values of its config that leave out what is not.
        bare: the network leaves its last norm to a pooled vector.
    """

    network: str
    config: str
    block: str
    default_model: str
    grid_size: Callable[[Any, int, int], tuple[int, int]]
    front_end: str = "alignment"
    frame_range: Callable[[Any], tuple[int, int]] | None = None
    to_model_input: Callable[[Tensor], Tensor] = lambda x: x
    forward_options: tuple[tuple[str, Any], ...] = ()
    submodule: str = ""
    config_overrides: tuple[tuple[str, Any], ...] = ()
    needs_final_norm: bool = False


def _vit(config: Any, height: int, width: int) -> tuple[int, int]:
    return height // config.patch_size, width // config.patch_size


def _convnext(config: Any, height: int, width: int) -> tuple[int, int]:
    """A stem of stride 4, then half at each further stage."""
    step = 4 * 2 ** (len(config.hidden_sizes) - 1)
    return height // step, width // step


def _ast(config: Any, bands: int, frames: int) -> tuple[int, int]:
    """Patches overlap."""
    side = config.patch_size
    return (bands - side) // config.frequency_stride + 1, (frames - side) // config.time_stride + 1


def _clap(config: Any, bands: int, frames: int) -> tuple[int, int]:
    """HTS-AT folds time into a square of side `spec_size`, and unfolds its map again."""
    folds = config.spec_size // config.num_mel_bins
    side = config.spec_size // config.patch_stride[0] // 2 ** (len(config.depths) - 1)
    return side // folds, side * folds


def _clap_frames(config: Any) -> tuple[int, int]:
    """HTS-AT stretches what it gets: the 1001 frames of ten seconds to 1024. More than a tenth is another sound."""
    most = config.spec_size * (config.spec_size // config.num_mel_bins)
    return round(0.9 * most), most


PRETRAINED_SPECS: dict[str, PretrainedSpec] = {
    "dinov2": PretrainedSpec("Dinov2Model", "Dinov2Config", "Dinov2Layer", "facebook/dinov2-small", _vit),
    "dinov2_registers": PretrainedSpec(
        network="Dinov2WithRegistersModel",
        config="Dinov2WithRegistersConfig",
        block="Dinov2WithRegistersLayer",
        default_model="facebook/dinov2-with-registers-small",
        grid_size=_vit,
    ),
    "dinov3": PretrainedSpec(
        network="DINOv3ViTModel",
        config="DINOv3ViTConfig",
        block="DINOv3ViTLayer",
        default_model="facebook/dinov3-vits16-pretrain-lvd1689m",
        grid_size=_vit,
    ),
    "dinov3_convnext": PretrainedSpec(
        network="DINOv3ConvNextModel",
        config="DINOv3ConvNextConfig",
        block="DINOv3ConvNextLayer",
        default_model="facebook/dinov3-convnext-tiny-pretrain-lvd1689m",
        grid_size=_convnext,
    ),
    "clip": PretrainedSpec(
        network="CLIPVisionModel",
        config="CLIPVisionConfig",
        block="CLIPEncoderLayer",
        default_model="openai/clip-vit-base-patch16",
        front_end="clip",
        grid_size=_vit,
        forward_options=(("interpolate_pos_encoding", True),),
        needs_final_norm=True,
    ),
    "convnext": PretrainedSpec(
        network="ConvNextModel",
        config="ConvNextConfig",
        block="ConvNextLayer",
        default_model="facebook/convnext-tiny-224",
        grid_size=_convnext,
        needs_final_norm=True,
    ),
    "convnextv2": PretrainedSpec(
        network="ConvNextV2Model",
        config="ConvNextV2Config",
        block="ConvNextV2Layer",
        default_model="facebook/convnextv2-tiny-1k-224",
        grid_size=_convnext,
        needs_final_norm=True,
    ),
    "ast": PretrainedSpec(
        network="ASTModel",
        config="ASTConfig",
        block="ASTLayer",
        default_model="MIT/ast-finetuned-audioset-10-10-0.4593",
        front_end="ast",
        grid_size=_ast,
        frame_range=lambda config: (config.max_length, config.max_length),
        to_model_input=lambda x: x[:, 0].mT,
    ),
    "clap": PretrainedSpec(
        network="ClapAudioModelWithProjection",  # ClapAudioModel by itself finds none of its names in the public file
        config="ClapAudioConfig",
        block="ClapAudioLayer",
        default_model="laion/clap-htsat-unfused",
        front_end="clap",
        grid_size=_clap,
        frame_range=_clap_frames,
        to_model_input=lambda x: x.mT,
        submodule="audio_model",
    ),
    "whisper": PretrainedSpec(
        network="WhisperModel",
        config="WhisperConfig",
        block="WhisperEncoderLayer",
        default_model="openai/whisper-base",
        front_end="whisper",
        grid_size=lambda config, bands, frames: (1, config.max_source_positions),
        frame_range=lambda config: (2 * config.max_source_positions, 2 * config.max_source_positions),
        to_model_input=lambda x: x[:, 0],
        submodule="encoder",
        config_overrides=(("decoder_layers", 0),),
    ),
}
