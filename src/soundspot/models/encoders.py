"""Encoders by name: each answers with a grid of features (b, c, h, w) and says in `channels` how many there are."""

import inspect
from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from soundspot.errors import RecipeError, did_you_mean
from soundspot.models.precomputed import PrecomputedEmbeddings
from soundspot.models.pretrained import build_pretrained
from soundspot.models.pretrained_specs import PRETRAINED_SPECS
from soundspot.models.resnet import ResNet
from soundspot.models.vgg import VGG16, VGGish
from soundspot.models.weights import PublicWeights, WeightMatch, load_strict, match_weights, weight_shapes
from soundspot.utils.registry import Registry


class Encoder(Protocol):
    """Pictures or spectrograms (b, i, H, W) in, a grid of `channels` features (b, c, h, w) out."""

    channels: int

    def __call__(self, x: Tensor) -> Tensor: ...


ENCODERS: Registry[Any] = Registry("encoder")


@ENCODERS.register("resnet18")
def resnet18(in_channels: int, last_stride: int = 1, width: int = 64) -> ResNet:
    """ResNet-18; `last_stride` 1 as the alignment method and LVS have it, 2 as EZ-VSL and its descendants."""
    return ResNet(in_channels, (2, 2, 2, 2), (1, 2, 2, last_stride), width)


ENCODERS.register("resnet")(ResNet)  # of your own measures: `blocks`, `strides`, `width`
ENCODERS.register("vgg16")(VGG16)
ENCODERS.register("vggish")(VGGish)
ENCODERS.register("vectors")(PrecomputedEmbeddings)

for _tower in PRETRAINED_SPECS:
    ENCODERS.register(_tower)(partial(build_pretrained, _tower))


def build_encoder(options: Mapping[str, Any], in_channels: int) -> nn.Module:
    """An encoder from `{"encoder": name, "weights": None | where they come from, ...measures}`.

    Weights are None for random ones; for ResNets and VGG-16 `imagenet`, for VGGish `public`, or the path of a file;
    for public towers what `soundspot.models.pretrained.build_tower` says.
    """
    rest = dict(options)
    name, weights = rest.pop("encoder", "resnet18"), rest.pop("weights", None)
    known = set(inspect.signature(ENCODERS[name]).parameters) - {"in_channels", "weights"}
    for option in rest:
        if option not in known:
            raise RecipeError(f"encoder {name!r} has no option {option!r}{did_you_mean(option, known)}")
    if name in PRETRAINED_SPECS:
        rest["weights"], weights = weights, None
    try:
        encoder: nn.Module = ENCODERS[name](in_channels, **rest)
    except TypeError as error:
        raise RecipeError(f"encoder {name!r} cannot be built from {rest}: {error}") from error
    if weights:
        load_public_weights(encoder, weights)
    return encoder


def with_stride32(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Encoder options with the classifier's last stride, 2 (7 x 7 cells of 224 pixels), where ResNet-18 is not told."""
    options = dict(options or {})
    return {"last_stride": 2, **options} if options.get("encoder", "resnet18") == "resnet18" else options


def freeze_by_default(encoders: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Options of both encoders, each of `names` (`image="vgg16"`) that and frozen where it is not told otherwise."""
    told = dict(encoders)
    for side, name in names.items():
        options = {"encoder": name, **(told.get(side) or {})}
        told[side] = {"trained": 0, **options} if options["encoder"] == name else options
    return told


def resolved_options(options: Mapping[str, Any] | None, encoder: nn.Module) -> dict[str, Any]:
    """Options that build `encoder` again without a network, where its weights come from elsewhere."""
    return {**(options or {}), **getattr(encoder, "settled", {})}


def output_channels(encoder: nn.Module) -> int:
    """How wide an encoder's features are."""
    channels = encoder.channels
    assert isinstance(channels, int)
    return channels


def output_grid(encoder: nn.Module, shape: tuple[int, ...]) -> tuple[int, int]:
    """(h, w) of what an encoder answers to inputs of `shape`, (channels, H, W); computes nothing."""
    mould = deepcopy(encoder).to("meta").eval()
    _, _, h, w = mould(torch.empty(1, *shape, device="meta")).shape
    return h, w


def load_public_weights(encoder: nn.Module, weights: str) -> None:
    """Fills `encoder` from its public file (`imagenet`, for VGGish `public`: fetched, hash checked) or one like it.

    The classifier is left out. A first layer of three channels is summed to one for spectrograms, and stays fresh for
    anything else, such as the two of optical flow.

    Raises:
        RecipeError: there is no such file for this encoder.
        CheckpointError: the file is missing, is no state dict, or does not fit.
    """
    public = getattr(encoder, "public", None)
    if not isinstance(public, PublicWeights):
        raise RecipeError(f"this encoder begins with no weights, and {weights!r} was given; leave `weights` out")
    state = public.select_used(public.read(weights))
    first = encoder.get_parameter(public.first_layer)
    if public.first_layer in state and first.shape[1] == 1 and state[public.first_layer].shape[1] == 3:
        state[public.first_layer] = state[public.first_layer].sum(1, keepdim=True)
    elif public.first_layer in state and first.shape[1] == 2:
        state[public.first_layer] = first.detach().clone()
    load_strict(encoder, state, source=f"weights {weights!r}")


PUBLIC_CHANNELS = {"resnet18": 3, "vgg16": 3, "vggish": 1}
"""Encoders whose public file is known, and how many channels it looks at."""


def match_public_weights(name: str, state: Mapping[str, Tensor]) -> WeightMatch:
    """How weights stand to the public file of an encoder, whose classifier may be there or not."""
    with torch.device("meta"):
        network = ENCODERS[name](PUBLIC_CHANNELS[name])
    return match_weights(weight_shapes(network.state_dict()), weight_shapes(network.public.used(state)))
