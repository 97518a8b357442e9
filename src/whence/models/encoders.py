"""Encoders by name: each answers with a grid of features (b, c, h, w) and says in `channels` how many there are."""

import inspect
from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from whence.errors import RecipeError, did_you_mean
from whence.models.adapter import build_tower
from whence.models.resnet import ResNet
from whence.models.towers import TOWERS
from whence.models.vectors import Vectors
from whence.models.vgg import VGG16, VGGish
from whence.models.weights import Fit, PublicFile, fit_of, load_exactly, shapes
from whence.registry import Registry


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
ENCODERS.register("vectors")(Vectors)

for _tower in TOWERS:
    ENCODERS.register(_tower)(partial(build_tower, _tower))


def build_encoder(options: Mapping[str, Any], in_channels: int) -> nn.Module:
    """An encoder from `{"encoder": name, "weights": None | where they come from, ...measures}`.

    Weights are None for random ones; for ResNets and VGG-16 `imagenet`, for VGGish `public`, or the path of a file;
    for public towers what `whence.models.adapter.build_tower` says.
    """
    rest = dict(options)
    name, weights = rest.pop("encoder", "resnet18"), rest.pop("weights", None)
    known = set(inspect.signature(ENCODERS[name]).parameters) - {"in_channels", "weights"}
    for option in rest:
        if option not in known:
            raise RecipeError(f"encoder {name!r} has no option {option!r}{did_you_mean(option, known)}")
    if name in TOWERS:
        rest["weights"], weights = weights, None
    try:
        encoder: nn.Module = ENCODERS[name](in_channels, **rest)
    except TypeError as error:
        raise RecipeError(f"encoder {name!r} cannot be built from {rest}: {error}") from error
    if weights:
        load_public_weights(encoder, weights)
    return encoder


def coarse(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Encoder options with the classifier's last stride, 2 (7 x 7 cells of 224 pixels), where ResNet-18 is not told."""
    options = dict(options or {})
    return {"last_stride": 2, **options} if options.get("encoder", "resnet18") == "resnet18" else options


def frozen(encoders: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Options of both encoders, each of `names` (`image="vgg16"`) that and frozen where it is not told otherwise."""
    told = dict(encoders)
    for side, name in names.items():
        options = {"encoder": name, **(told.get(side) or {})}
        told[side] = {"trained": 0, **options} if options["encoder"] == name else options
    return told


def settled(options: Mapping[str, Any] | None, encoder: nn.Module) -> dict[str, Any]:
    """Options that build `encoder` again without a network, where its weights come from elsewhere."""
    return {**(options or {}), **getattr(encoder, "settled", {})}


def channels_of(encoder: nn.Module) -> int:
    """How wide an encoder's features are."""
    channels = encoder.channels
    assert isinstance(channels, int)
    return channels


def grid_of(encoder: nn.Module, shape: tuple[int, ...]) -> tuple[int, int]:
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
    if not isinstance(public, PublicFile):
        raise RecipeError(f"this encoder begins with no weights, and {weights!r} was given; leave `weights` out")
    state = public.used(public.read(weights))
    first = encoder.get_parameter(public.first)
    if public.first in state and first.shape[1] == 1 and state[public.first].shape[1] == 3:
        state[public.first] = state[public.first].sum(1, keepdim=True)
    elif public.first in state and first.shape[1] == 2:
        state[public.first] = first.detach().clone()
    load_exactly(encoder, state, what=f"weights {weights!r}")


PUBLIC = {"resnet18": 3, "vgg16": 3, "vggish": 1}
"""Encoders whose public file is known, and how many channels it looks at."""


def fit_public(name: str, state: Mapping[str, Tensor]) -> Fit:
    """How weights stand to the public file of an encoder, whose classifier may be there or not."""
    with torch.device("meta"):
        network = ENCODERS[name](PUBLIC[name])
    return fit_of(shapes(network.state_dict()), shapes(network.public.used(state)))
