"""Refinement: a map mixed with one that heard nothing. Off unless asked for, and told in every report.

`iqr`, image-query refinement: with how the picture's own target slot attends (joint slot attention, Kim et al., CVPR
2025; weight of the sound's map 0.4 in its scripts, 0.6 in its paper). `ogl`, object-guided localisation: with the mean
of |layer4| of a ResNet-18 that learned to classify ImageNet (Mo and Morgado, "Localizing Visual Sounds the Easy Way",
ECCV 2022; 0.4 in every release that has it). Both at once share what the sound's map leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.config.frontend import IMAGENET_MEAN, IMAGENET_STD, ImageSpec
from soundspot.config.refinement import REFINEMENTS
from soundspot.config.upsampling import Upsampling
from soundspot.data.media.image import normalize
from soundspot.errors import InputError, did_you_mean
from soundspot.methods.base import Method
from soundspot.models.encoders import build_encoder
from soundspot.models.weights import weights_digest


@dataclass(frozen=True, eq=False)
class FeaturesWithPrior:
    """Encoded pictures with the prior of their objects; rows are pictures."""

    features: Tensor
    object_prior: Float[Tensor, "b h w"]

    def __getitem__(self, rows: Tensor) -> "FeaturesWithPrior":
        return FeaturesWithPrior(self.features[rows], self.object_prior[rows])


class ObjectPrior(nn.Module):
    """Where a classifier sees something: mean over channels of |layer4| of the public ResNet-18.

    Args:
        weights: `imagenet` (fetched, hash checked) or a file of the same names.
    """

    def __init__(self, weights: str = "imagenet") -> None:
        super().__init__()
        self.encoder = build_encoder({"encoder": "resnet18", "last_stride": 2, "weights": weights}, 3)
        self.requires_grad_(False).eval()

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b h w"]:
        return self.encoder(images).abs().mean(dim=1)

    @property
    def weights_hash(self) -> str:
        """16 hexadecimal digits that stand for the weights."""
        return weights_digest(self.encoder)


def renormalize_for_imagenet(pixels: Float[Tensor, "b i s s"], spec: ImageSpec) -> Float[Tensor, "b 3 s s"]:
    """Pictures that were normalised for a method, normalised as the classifier learned them; without their flow."""
    pixels = pixels[:, :3]
    if (spec.mean, spec.std) == (IMAGENET_MEAN, IMAGENET_STD):
        return pixels
    mean, std = (pixels.new_tensor(values)[:, None, None] for values in (spec.mean, spec.std))
    return normalize(pixels * std + mean, ImageSpec())


def mix_maps(
    maps: Float[Tensor, "b h w"],
    others: Sequence[Float[Tensor, "b _ _"]],
    alpha: float = 0.4,
    upsampling: Upsampling = Upsampling(),  # noqa: B008 (frozen)
    size: int = 224,
) -> Float[Tensor, "b i j"]:
    """alpha * mm(up(map)) + (1 - alpha) * mean of mm(up(other)), where mm is min-max and up the read-out.

    Upsampling is linear and its weights sum to 1, so where all have one grid the mixture is made on that grid, by the
    minima and maxima of the upsampled maps; upsampled in the same way it is the released one. Otherwise it comes back
    at `size`, where a protocol's own upsampling has no more say. A constant map counts as 0.
    """
    several = [maps.float(), *(other.float() for other in others)]
    large = [upsampling.upsample(one, size, size) for one in several]
    small = all(one.shape == maps.shape for one in several)
    weights = [alpha, *[(1 - alpha) / len(others)] * len(others)]
    parts = []
    for weight, up, one in zip(weights, large, several if small else large, strict=True):
        low, high = torch.aminmax(up.flatten(1), dim=1)
        span = (high - low)[:, None, None]
        share = (one - low[:, None, None]) / torch.where(span > 0, span, 1)
        parts.append(weight * torch.where(span > 0, share, 0.0))
    return torch.stack(parts).sum(dim=0)


def parse_refinements(refine: str | Sequence[str], method: Method) -> tuple[str, ...]:
    """The refinements asked for, each once, in the order of `REFINEMENTS`; in a string with commas between.

    Raises:
        InputError: an unknown one, or one that the method has no map for.
    """
    names = [name.strip() for name in (refine.split(",") if isinstance(refine, str) else refine)]
    for name in filter(None, names):
        if name not in REFINEMENTS:
            raise InputError(f"unknown refinement {name!r}{did_you_mean(name, REFINEMENTS)}")
    if "iqr" in names and not getattr(method, "has_image_query", False):
        raise InputError(f"{method.name} has no image query to refine maps with (`iqr`); `ogl` works with any method.")
    return tuple(name for name in REFINEMENTS if name in names)


def check_alpha(alpha: float) -> None:
    """Raise InputError where the weight of the sound's map is none."""
    if not 0 <= alpha <= 1:
        raise InputError(f"alpha: found {alpha}, expected the share of the sound's map, from 0 to 1. Correct it.")
