"""One adapter for all public towers: their tokens become a grid (b, c, h, w).

Networks and weights are those of the `transformers` library (extra `hub`). A tower answers with its last features,
behind its last norm and without class, register and distillation tokens; a linear layer brings them to the width that
pictures and sounds share.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.config.frontend import PRESETS, AudioSpec, ImageSpec
from soundspot.errors import CheckpointError, RecipeError, did_you_mean
from soundspot.models.pretrained_specs import PRETRAINED_SPECS, PretrainedSpec

# What a front end may choose freely; all else of it belongs to the tower.
_FREE = {"size", "flow", "resize", "seconds", "clip_seconds", "window", "padded", "n_mels", "frames", "shift", "scale"}


class PretrainedEncoder(nn.Module):
    """A public network that answers with a grid.

    Args:
        name: of its row in `TOWERS`.
        network: the library's, with its weights.
        config: the values that rebuild it.
        trained: `all`, or how many of the last blocks learn, with what lies behind them; 0: frozen. What is frozen
            has no gradients and stays in evaluation mode (dropout, batch norms).
        width: of the features, by a linear layer that always learns; None: the network's own, without that layer.

    Attributes:
        channels: how wide the features are.
        settled: options that build the same network again without asking the hub.

    Raises:
        RecipeError: there are not that many blocks.
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
        own = self._last_norm().normalized_shape[0]
        self.neck = nn.Conv2d(own, width, 1) if width else None
        self.channels = width or own

    @property
    def spec(self) -> PretrainedSpec:
        return PRETRAINED_SPECS[self.name]

    def forward(self, x: Float[Tensor, "b i H W"]) -> Float[Tensor, "b c h w"]:
        self.check_input_size(x.shape[-2], x.shape[-1])
        h, w = self.spec.grid_size(self.network.config, x.shape[-2], x.shape[-1])
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.trained != 0):
            tokens = self.network(self.spec.to_model_input(x), **dict(self.spec.forward_options)).last_hidden_state
            tokens = tokens.flatten(2).mT if tokens.ndim == 4 else tokens[:, -h * w :]
            if self.spec.needs_final_norm:
                tokens = self._last_norm()(tokens)
        grid = tokens.mT.unflatten(2, (h, w))
        return grid if self.neck is None else self.neck(grid)

    def train(self, mode: bool = True) -> "PretrainedEncoder":
        """As every module's, but what is frozen stays in evaluation mode."""
        super().train(mode)
        if self.trained != "all":
            self.network.eval()
            for block in self._learning():
                block.train(mode)
        return self

    def check_input_size(self, height: int, width: int) -> None:
        """Raise RecipeError for an input of a size that this tower cannot take: H x W, or bands x frames."""
        config, facts = self.network.config, self.spec
        if facts.frame_range is None:
            if 0 in facts.grid_size(config, height, width):
                raise RecipeError(
                    f"encoder {self.name!r}: found pictures of {height} x {width} pixels, smaller than one of its cells"
                )
            return
        bands, (least, most) = config.num_mel_bins, facts.frame_range(config)
        if height != bands or not least <= width <= most:
            frames = f"{most}" if least == most else f"{least} to {most}"
            raise RecipeError(
                f"encoder {self.name!r}: found spectrograms of {height} x {width}, expected {bands} bands and {frames} "
                f"frames; its front end is the preset {facts.front_end!r}"
            )

    def check_front_end(self, spec: ImageSpec | AudioSpec) -> None:
        """Raise RecipeError for a front end that is not of the kind this tower was made for."""
        check_preset(self.name, spec, self.spec.front_end)
        self.check_input_size(*(spec.shape if isinstance(spec, AudioSpec) else (spec.size, spec.size)))

    def _blocks(self) -> list[nn.Module]:
        return [module for module in self.network.modules() if type(module).__name__ == self.spec.block]

    def _learning(self) -> list[nn.Module]:
        assert isinstance(self.trained, int)
        blocks = self._blocks()
        return blocks[len(blocks) - self.trained :]

    def _last_norm(self) -> nn.LayerNorm:
        return [module for module in self.network.modules() if isinstance(module, nn.LayerNorm)][-1]

    def _freeze(self) -> None:
        """Parameters are in the order of use; batch norms, which HTS-AT has at its entrance, are the exception."""
        if self.trained == "all":
            return
        frozen = list(self.network.parameters())
        if self.trained:
            first = next(self._learning()[0].parameters())
            frozen = frozen[: next(n for n, one in enumerate(frozen) if one is first)]
        norms = [module for module in self.network.modules() if isinstance(module, nn.BatchNorm2d)]
        for parameter in (*frozen, *(p for norm in norms for p in norm.parameters())):
            parameter.requires_grad_(False)


def check_preset(name: str, spec: ImageSpec | AudioSpec, preset: str) -> None:
    """Raise RecipeError where encoder `name` would be fed otherwise than `preset` has it, but for what is free."""
    sees = isinstance(spec, ImageSpec)
    own = PRESETS[preset].image if sees else PRESETS[preset].audio
    for key in (one.name for one in fields(own) if one.name not in _FREE):
        found, expected = getattr(spec, key), getattr(own, key)
        if found != expected:
            raise RecipeError(
                f"encoder {name!r}: {'pictures' if sees else 'sounds'} come with {key} {found}, expected {expected}; "
                f"its front end is the preset {preset!r} (`front_end: {{preset: clip+ast}}` takes the picture's part "
                "of one and the sound's of another)"
            )


def build_pretrained(
    name: str,
    in_channels: int,
    weights: str | None = None,
    config: Mapping[str, Any] | None = None,
    trained: int | str = "all",
    width: int | None = 512,
) -> PretrainedEncoder:
    """A tower by its name in `TOWERS`.

    Args:
        in_channels: 3 where it is asked to see, 1 to hear.
        weights: `public`, the name of a model on the Hugging Face hub, or a folder that holds one; None: random.
        config: what differs from that model's configuration, or from the library's own default where there is none.
        trained, width: see `Tower`.

    Raises:
        RecipeError: the extra `hub` is not installed, the tower does not see (or hear), or it cannot be built so.
        CheckpointError: the model cannot be loaded, or does not hold all weights of this tower.
    """
    facts = PRETRAINED_SPECS[name]
    expected = 3 if facts.frame_range is None else 1
    if in_channels != expected:
        sense, other = ("pictures", "sounds") if expected == 3 else ("sounds", "pictures")
        raise RecipeError(f"encoder {name!r} takes {sense} and was named for {other}; name it for {sense}")
    try:
        import transformers
    except ImportError as error:
        raise RecipeError(
            f'encoder {name!r} needs transformers; install it with `pip install "soundspot[hub]"`'
        ) from error
    kind, network = getattr(transformers, facts.config), getattr(transformers, facts.network)
    common = {one.name for one in fields(transformers.PreTrainedConfig)}
    own = {one.name for one in fields(kind) if one.name not in common and not one.name.startswith("_")}
    given = dict(config or {})
    for key in given:
        if key not in own:
            raise RecipeError(f"encoder {name!r}: `config` has no {key!r}{did_you_mean(key, own)}")
    source = facts.default_model if weights == "public" else weights
    with _quiet(transformers):
        if source is None:
            try:
                settings = kind(**given | dict(facts.config_overrides))
                built = network(settings)
            except Exception as error:  # the library checks types and sizes in several ways
                raise RecipeError(f"encoder {name!r} cannot be built from {given}: {error}") from error
        else:
            settings, built = _fetched(name, kind, network, source, given | dict(facts.config_overrides))
    if getattr(settings, "enable_fusion", False):
        raise RecipeError("encoder 'clap': fused models listen to four spectrograms; name an unfused one")
    values = {key: _plain(value) for key, value in settings.to_dict().items() if key in own}
    return PretrainedEncoder(name, built.get_submodule(facts.submodule), values, trained, width)


def _fetched(name: str, kind: Any, network: Any, source: str, given: dict[str, Any]) -> tuple[Any, Any]:
    """The configuration and the network of a public model, with all of its weights."""
    alike = f"name a model like {PRETRAINED_SPECS[name].default_model!r}"
    try:
        found = kind.get_config_dict(source)[0].get("model_type", "")
        if not kind.model_type.startswith(found):  # clap_audio_model is a part of clap
            raise CheckpointError(f"encoder {name!r}: the model {source!r} is of the kind {found!r}; {alike}")
        settings = kind.from_pretrained(source, **given)
        built, told = network.from_pretrained(source, config=settings, dtype=torch.float32, output_loading_info=True)
    except CheckpointError:
        raise
    except Exception as error:  # the hub's client and the library raise a dozen kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(
            f"encoder {name!r}: the model {source!r} cannot be loaded ({reason}); check the name and the network, "
            f"accept its licence on the hub where it asks for that, or fetch a copy where there is a network (`hf "
            f"download {PRETRAINED_SPECS[name].default_model} --local-dir FOLDER`) and give that folder as `weights`"
        ) from error
    missing = sorted(told["missing_keys"])
    if missing:
        raise CheckpointError(
            f"encoder {name!r}: the model {source!r} lacks {len(missing)} of the tower's weights (first: "
            f"{missing[0]}); {alike}"
        )
    return settings, built


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without the library's tables of weights that a tower has no use for."""
    logging = transformers.utils.logging
    before = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _plain(value: Any) -> Any:
    """Tuples as lists, which is what JSON has."""
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
