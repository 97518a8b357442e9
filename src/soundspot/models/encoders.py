"""Encoders by name, and the options that build them."""

import inspect
from collections.abc import Mapping
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor

from soundspot.errors import RecipeError, did_you_mean
from soundspot.models.aisfx import AISFX
from soundspot.models.base import Encoder
from soundspot.models.dino import DINO
from soundspot.models.efficientnet import EfficientNetLite0
from soundspot.models.hubert import HuBERT
from soundspot.models.packaged_weights import PackagedWeights
from soundspot.models.precomputed import PrecomputedEmbeddings
from soundspot.models.pretrained import build_pretrained
from soundspot.models.pretrained_specs import PRETRAINED_SPECS
from soundspot.models.resnet import ResNet
from soundspot.models.staged import StagedEncoder
from soundspot.models.vgg import VGG16, VGGish
from soundspot.models.weights import WeightMatch, match_weights, weight_shapes
from soundspot.utils.registry import Registry

ENCODERS: Registry[Any] = Registry("encoder")


@ENCODERS.register("resnet18")
def resnet18(in_channels: int, last_stride: int = 1, width: int = 64) -> ResNet:
    """Build a ResNet-18.

    Args:
        in_channels: number of input channels: 3 for images, 1 for spectrograms, 2 for optical flow.
        last_stride: stride of the last stage: 1 (output stride 16) as in the alignment method and LVS, 2 (output stride
            32) as in EZ-VSL and its descendants.
        width: number of channels of the first stage; the last of four stages has eight times as many.

    Returns:
        The network, with random weights.
    """
    return ResNet(in_channels, (2, 2, 2, 2), (1, 2, 2, last_stride), width)


ENCODERS.register("resnet")(ResNet)  # of any size: `blocks`, `strides`, `width`
ENCODERS.register("vgg16")(VGG16)
ENCODERS.register("vggish")(VGGish)
ENCODERS.register("efficientnet_lite0")(EfficientNetLite0)
ENCODERS.register("aisfx")(AISFX)
ENCODERS.register("dino")(DINO)
ENCODERS.register("hubert")(HuBERT)
ENCODERS.register("vectors")(PrecomputedEmbeddings)

for _name in PRETRAINED_SPECS:
    ENCODERS.register(_name)(partial(build_pretrained, _name))


def build_encoder(options: Mapping[str, Any], in_channels: int) -> Encoder:
    """Build an encoder from `{"encoder": name, "weights": None or their source, ...sizes}`.

    Args:
        options: `encoder`, a name of `ENCODERS` (default `resnet18`); `weights`, None for random weights, `imagenet`
            for ResNet-18 and VGG-16, `bundled` or `pretrained` for EfficientNet-Lite0 and aiSFX, `public` for VGGish
            and encoders of the Hugging Face hub, the path of a file of weights, or for encoders of the hub a model
            there or its folder; and keyword arguments of the encoder.
        in_channels: number of input channels: 3 for images, 1 for spectrograms, 2 for optical flow.

    Returns:
        The encoder in training mode, on the CPU.

    Raises:
        RecipeError: an encoder or option is unknown, or sizes do not fit together.
        CheckpointError: the weights cannot be loaded or do not fit.
    """
    sizes = dict(options)
    name, weights = sizes.pop("encoder", "resnet18"), sizes.pop("weights", None)
    known = set(inspect.signature(ENCODERS[name]).parameters) - {"in_channels", "weights"}
    for option in sizes:
        if option not in known:
            raise RecipeError(f"encoder {name!r} has no option {option!r}{did_you_mean(option, known)}")
    if name in PRETRAINED_SPECS:
        sizes["weights"], weights = weights, None
    try:
        encoder: Encoder = ENCODERS[name](in_channels, **sizes)
    except TypeError as error:
        raise RecipeError(f"encoder {name!r} cannot be built from {sizes}: {error}") from error
    if weights:
        load_public_weights(encoder, weights)
    return encoder


def with_stride32(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return encoder options in which ResNet-18 has its classifier's last stride, 2, unless they say otherwise.

    Args:
        options: options of an encoder; None: the default encoder, ResNet-18.

    Returns:
        Copy of the options; for ResNet-18 with `last_stride` 2 (output stride 32: 7 x 7 features of 224 x 224 pixels),
        unless they set it; for other encoders unchanged.
    """
    options = dict(options or {})
    return {"last_stride": 2, **options} if options.get("encoder", "resnet18") == "resnet18" else options


def freeze_by_default(encoders: Mapping[str, Any], **names: str) -> dict[str, Any]:
    """Return keyword arguments of a method in which some modalities have another, frozen default encoder.

    Args:
        encoders: keyword arguments of a method, with the encoder options under `image` and `audio`; either may be None.
        names: modality -> default encoder (`image="vgg16"`). It gets `trained: 0` unless the options set `trained`;
            another encoder named in the options does not.

    Returns:
        Copy of `encoders` with complete options of the modalities in `names`; the rest is unchanged.
    """
    result = dict(encoders)
    for modality, name in names.items():
        options = {"encoder": name, **(result.get(modality) or {})}
        result[modality] = {"trained": 0, **options} if options["encoder"] == name else options
    return result


def output_grid(encoder: Encoder, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the (h, w) of an encoder's feature map without computing it.

    Args:
        encoder: image or audio encoder; it is copied to the meta device and not changed.
        shape: shape (channels, H, W) of one input: pixels, or bands and frames.

    Returns:
        Height h and width w of the feature map in cells.
    """
    meta_encoder = deepcopy(encoder).to("meta").eval()
    _, _, h, w = meta_encoder(torch.empty(1, *shape, device="meta")).shape
    return h, w


def load_public_weights(encoder: Encoder, weights: str) -> None:
    """Load the public weights of an encoder, without its classifier: a file whose hash is checked, or one of yours.

    Args:
        encoder: a ResNet-18, VGG-16, VGGish, EfficientNet-Lite0 or aiSFX.
        weights: `imagenet` (ResNet-18, VGG-16) or `public` (VGGish) to fetch the file, `bundled`
            (EfficientNet-Lite0, aiSFX) for those that come with the library, `pretrained` for the file that `soundspot
            models fetch` put into the cache, or the path of a file of the same names.

    Raises:
        RecipeError: this kind of encoder has no public file.
        CheckpointError: the file cannot be fetched, is missing, is no state dict, or does not fit.
    """
    public = encoder.public
    if public is None:
        raise RecipeError(f"this encoder begins with no weights, and {weights!r} was given; leave `weights` out")
    encoder.load_public(public.select_used(public.read(weights)), source=f"weights {weights!r}")
    if isinstance(encoder, StagedEncoder) and isinstance(public, PackagedWeights):
        encoder.bundled_as = public.encoder if weights == public.bundled_keyword else ""


PUBLIC_CHANNELS = {"resnet18": 3, "vgg16": 3, "vggish": 1, "efficientnet_lite0": 3, "aisfx": 1}
"""Input channels of the encoders that have a public file of weights."""


def match_public_weights(name: str, state: Mapping[str, Tensor]) -> WeightMatch:
    """Compare weights with those of an encoder's public file, with or without its classifier.

    Args:
        name: name of the encoder, a key of `PUBLIC_CHANNELS`.
        state: parameter name -> weight.

    Returns:
        Number of weights that match by name and shape, and the names that do not.
    """
    with torch.device("meta"):
        network = ENCODERS[name](PUBLIC_CHANNELS[name])
    expected = network.stages if isinstance(network, StagedEncoder) else network
    return match_weights(weight_shapes(expected.state_dict()), weight_shapes(network.public.select_used(state)))
