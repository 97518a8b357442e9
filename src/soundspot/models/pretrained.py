"""Adapter of all public pretrained encoders: their tokens become a feature map (b, c, h, w).

Networks and weights are those of the `transformers` library (extra `hub`). The feature map holds the last tokens, after
the last norm and without class, register and distillation tokens; a linear layer projects them to the width that images
and audio share.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.config.frontend import PRESETS, AudioSpec, ImageSpec
from soundspot.errors import CheckpointError, RecipeError, did_you_mean
from soundspot.models.base import Encoder
from soundspot.models.pretrained_specs import PRETRAINED_SPECS, PretrainedSpec

# Fields of a front end that may be chosen freely; all others belong to the encoder.
_FREE = {"size", "flow", "resize", "seconds", "clip_seconds", "window", "padded_seconds", "n_mels", "num_frames"}
_FREE |= {"shift", "scale", "fill", "standardize"}


class PretrainedEncoder(Encoder):
    """Public network as an encoder.

    Args:
        name: name of the entry in `PRETRAINED_SPECS`.
        network: network of the `transformers` library, with its weights.
        config: configuration values that rebuild the network.
        trained: `all`, or the number of last blocks that learn, with the layers that follow them; 0: frozen. Frozen
            layers have no gradients and stay in evaluation mode (dropout, batch norms).
        width: number of channels of the features, by a 1 x 1 convolution that always learns; None: the network's own
            width, without that layer.

    Raises:
        RecipeError: `trained` is neither `all` nor a number from 0 to the number of blocks.
    """

    network: Any

    def __init__(
        self, name: str, network: nn.Module, config: dict[str, Any], trained: int | str, width: int | None
    ) -> None:
        super().__init__()
        self.name, self.network, self.trained = name, network, trained
        self.build_options = {"config": config}
        blocks = self._blocks()
        if trained != "all" and not (type(trained) is int and 0 <= trained <= len(blocks)):
            raise RecipeError(
                f"encoder {name!r}: found `trained: {trained}`, expected `all`, or how many of its last blocks learn: "
                f"0 (frozen) to {len(blocks)}"
            )
        self._freeze()
        network_width = self._last_norm().normalized_shape[0]
        self.neck = nn.Conv2d(network_width, width, 1) if width else None
        self.channels = width or network_width

    @property
    def spec(self) -> PretrainedSpec:
        """Entry of `PRETRAINED_SPECS` that describes the network."""
        return PRETRAINED_SPECS[self.name]

    def forward(self, x: Float[Tensor, "b i H W"]) -> Float[Tensor, "b c h w"]:
        """Compute the feature map of images or spectrograms.

        Args:
            x: (b, 3, H, W) normalized images, or (b, 1, bands, frames) scaled spectrograms.

        Returns:
            (b, c, h, w) features, with c = `channels`; `spec.grid_size` gives h and w.

        Raises:
            RecipeError: the network cannot take inputs of this size.
        """
        self.check_input_size(x.shape[-2], x.shape[-1])
        h, w = self.spec.grid_size(self.network.config, x.shape[-2], x.shape[-1])
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trained != 0):
            tokens = self.network(self.spec.to_model_input(x), **dict(self.spec.forward_options)).last_hidden_state
            tokens = tokens.flatten(2).mT if tokens.ndim == 4 else tokens[:, -h * w :]
            if self.spec.needs_final_norm:
                tokens = self._last_norm()(tokens)
        features = tokens.mT.unflatten(2, (h, w))
        return features if self.neck is None else self.neck(features)

    def train(self, mode: bool = True) -> "PretrainedEncoder":
        """Set training or evaluation mode; frozen layers stay in evaluation mode.

        Args:
            mode: True for training, False for evaluation.

        Returns:
            The encoder itself.
        """
        super().train(mode)
        if self.trained != "all":
            self.network.eval()
            for block in self._trained_blocks():
                block.train(mode)
        return self

    def check_input_size(self, height: int, width: int) -> None:
        """Raise RecipeError for an input of a size that the network cannot take.

        Args:
            height: height of the image in pixels, or number of mel bands.
            width: width of the image in pixels, or number of frames.

        Raises:
            RecipeError: the image is smaller than one patch, or the spectrogram has another number of bands or frames
                than the network takes.
        """
        config, spec = self.network.config, self.spec
        if spec.frame_range is None:
            if 0 in spec.grid_size(config, height, width):
                raise RecipeError(
                    f"encoder {self.name!r}: found images of {height} x {width} pixels, smaller than one of its cells"
                )
            return
        bands, (minimum, maximum) = config.num_mel_bins, spec.frame_range(config)
        if height != bands or not minimum <= width <= maximum:
            frames = f"{maximum}" if minimum == maximum else f"{minimum} to {maximum}"
            raise RecipeError(
                f"encoder {self.name!r}: found spectrograms of {height} x {width}, expected {bands} bands and {frames} "
                f"frames; its front end is the preset {spec.front_end!r}"
            )

    def check_front_end(self, spec: ImageSpec | AudioSpec) -> None:
        """Raise RecipeError for a front end other than the one the network was trained with.

        Args:
            spec: preprocessing of the encoder's modality.

        Raises:
            RecipeError: a fixed field, such as mean, std or rate, differs from the preset; an image is smaller than
                one patch, or a spectrogram has another number of bands or frames than the network takes.
        """
        check_preset(self.name, spec, self.spec.front_end)
        self.check_input_size(*(spec.shape if isinstance(spec, AudioSpec) else (spec.size, spec.size)))

    def _blocks(self) -> list[nn.Module]:
        block_class = self.spec.class_names[2]
        return [module for module in self.network.modules() if type(module).__name__ == block_class]

    def _trained_blocks(self) -> list[nn.Module]:
        assert isinstance(self.trained, int)
        blocks = self._blocks()
        return blocks[len(blocks) - self.trained :]

    def _last_norm(self) -> nn.LayerNorm:
        return [module for module in self.network.modules() if isinstance(module, nn.LayerNorm)][-1]

    def _freeze(self) -> None:
        """Freeze parameters, which are in the order of use but for the batch norms at the entrance of HTS-AT."""
        if self.trained == "all":
            return
        frozen = list(self.network.parameters())
        if self.trained:
            first = next(self._trained_blocks()[0].parameters())
            frozen = frozen[: next(n for n, parameter in enumerate(frozen) if parameter is first)]
        norms = [module for module in self.network.modules() if isinstance(module, nn.BatchNorm2d)]
        for parameter in (*frozen, *(p for norm in norms for p in norm.parameters())):
            parameter.requires_grad_(False)


def check_preset(name: str, spec: ImageSpec | AudioSpec, preset: str) -> None:
    """Raise RecipeError for a front end that differs from an encoder's preset in more than the free fields.

    Args:
        name: name of the encoder, for the message.
        spec: preprocessing of images or audio to check.
        preset: name in `PRESETS` of the preprocessing that the encoder was trained with.

    Raises:
        RecipeError: a field differs, other than sizes, durations, mel bands, frames, `window`, `resize`, `shift`,
            `scale`, `fill`, `standardize` and `flow`.
    """
    is_image = isinstance(spec, ImageSpec)
    required, actual = asdict(PRESETS[preset].image if is_image else PRESETS[preset].audio), asdict(spec)
    for key, expected in required.items():
        if key not in _FREE and actual[key] != expected:
            modality = "images" if is_image else "audio"
            raise RecipeError(
                f"encoder {name!r}: found {modality} with {key} {actual[key]}, expected {expected}; "
                f"its front end is the preset {preset!r} (`front_end: {{preset: clip+ast}}` takes the image part "
                "of one and the audio part of another)"
            )


def build_pretrained(
    name: str,
    in_channels: int,
    weights: str | None = None,
    config: Mapping[str, Any] | None = None,
    trained: int | str = "all",
    width: int | None = 512,
) -> PretrainedEncoder:
    """Build a pretrained encoder by its name in `PRETRAINED_SPECS`.

    Args:
        name: name of the encoder, a key of `PRETRAINED_SPECS`.
        in_channels: number of input channels: 3 for images, 1 for spectrograms.
        weights: `public` for the default model of the encoder, the name of a model on the Hugging Face hub, or the path
            of a folder that holds a model; None: random weights.
        config: configuration values that replace those of the model, or the library's defaults for random weights.
        trained: `all`, or the number of last blocks that learn; 0: frozen.
        width: number of channels of the features, by a 1 x 1 convolution that learns; None: the network's own width.

    Returns:
        The encoder.

    Raises:
        RecipeError: the extra `hub` is not installed, the encoder is of the other modality, or it cannot be built from
            these options.
        CheckpointError: the model cannot be loaded, or lacks weights of this encoder.
    """
    spec = PRETRAINED_SPECS[name]
    expected = 3 if spec.frame_range is None else 1
    if in_channels != expected:
        modality, other = ("images", "audio") if expected == 3 else ("audio", "images")
        raise RecipeError(f"encoder {name!r} takes {modality} and was given for {other}; name it for {modality}")
    try:
        import transformers
    except ImportError as error:
        raise RecipeError(
            f'encoder {name!r} needs transformers; install it with `pip install "soundspot[hub]"`'
        ) from error
    network_class, config_class = (getattr(transformers, name) for name in spec.class_names[:2])
    common = {field.name for field in fields(transformers.PreTrainedConfig)}
    known = {f.name for f in fields(config_class) if f.name not in common and not f.name.startswith("_")}
    for key in config or {}:
        if key not in known:
            raise RecipeError(f"encoder {name!r}: `config` has no {key!r}{did_you_mean(key, known)}")
    values = dict(config or {}) | dict(spec.config_overrides)
    source = spec.default_model if weights == "public" else weights
    with _quiet(transformers):
        if source is None:
            try:
                settings = config_class(**values)
                network = network_class(settings)
            except Exception as error:  # the library checks types and sizes in several ways
                raise RecipeError(f"encoder {name!r} cannot be built from {dict(config or {})}: {error}") from error
        else:
            settings, network = _from_pretrained(name, config_class, network_class, source, values)
    if getattr(settings, "enable_fusion", False):
        raise RecipeError("encoder 'clap': fused models take four spectrograms; name an unfused one")
    values = {key: _to_json(value) for key, value in settings.to_dict().items() if key in known}
    return PretrainedEncoder(name, network.get_submodule(spec.submodule), values, trained, width)


def _from_pretrained(
    name: str, config_class: Any, network_class: Any, source: str, values: dict[str, Any]
) -> tuple[Any, Any]:
    """Return the configuration and the network of a public model, with all of its weights."""
    default_model = PRETRAINED_SPECS[name].default_model
    remedy = f"name a model like {default_model!r}"
    try:
        model_type = config_class.get_config_dict(source)[0].get("model_type", "")
        if not config_class.model_type.startswith(model_type):  # clap_audio_model is a part of clap
            raise CheckpointError(f"encoder {name!r}: the model {source!r} is of the kind {model_type!r}; {remedy}")
        settings = config_class.from_pretrained(source, **values)
        network, info = network_class.from_pretrained(
            source, config=settings, dtype=torch.float32, output_loading_info=True
        )
    except CheckpointError:
        raise
    except Exception as error:  # the hub's client and the library raise a dozen kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"encoder {name!r}: the model {source!r} cannot be loaded ({reason}); check the name and the network, "
            f"accept its license on the hub where it requires that, or fetch a copy where there is a network (`hf "
            f"download {default_model} --local-dir FOLDER`) and give that folder as `weights`"
        ) from error
    if missing := sorted(info["missing_keys"]):
        raise CheckpointError(
            f"encoder {name!r}: the model {source!r} lacks {len(missing)} of the encoder's weights (first: "
            f"{missing[0]}); {remedy}"
        )
    return settings, network


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Suppress the library's tables of weights that an encoder does not use."""
    logging = transformers.utils.logging
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _to_json(value: Any) -> Any:
    """Convert tuples to lists, which JSON has."""
    return [_to_json(item) for item in value] if isinstance(value, list | tuple) else value
