"""Refinement: mix the map of a sound with a map that does not depend on the sound. Off by default.

`iqr`, image-query refinement: the attention of the image's own target slot (joint slot attention, Kim et al., CVPR
2025; weight of the sound's map 0.4 in its scripts, 0.6 in its paper). `ogl`, object-guided localization: the mean of
|layer4| of a ResNet-18 that learned to classify ImageNet (Mo and Morgado, "Localizing Visual Sounds the Easy Way",
ECCV 2022; 0.4 in every release that has it). With both, the two share what the sound's map leaves.
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
    """Encoded images with the object prior of each; `value[rows]` selects rows of both.

    Attributes:
        features: (b, ...) image features of the method.
        object_prior: (b, h, w) non-negative objectness by `ObjectPrior`.
    """

    features: Tensor
    object_prior: Float[Tensor, "b h w"]

    def __getitem__(self, rows: Tensor) -> "FeaturesWithPrior":
        return FeaturesWithPrior(self.features[rows], self.object_prior[rows])


class ObjectPrior(nn.Module):
    """Objectness by an image classifier: mean over channels of |layer4| of the public ResNet-18. It is frozen.

    Args:
        weights: `imagenet` (downloaded, hash checked), or the path of a file with the same names of weights.
    """

    def __init__(self, weights: str = "imagenet") -> None:
        super().__init__()
        self.encoder = build_encoder({"encoder": "resnet18", "last_stride": 2, "weights": weights}, 3)
        self.requires_grad_(False).eval()

    def forward(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b h w"]:
        """Compute the objectness of each location.

        Args:
            images: (b, 3, H, W) RGB images, normalized by ImageNet's mean and standard deviation.

        Returns:
            (b, h, w), not negative; h and w are H / 32 and W / 32, rounded up.
        """
        return self.encoder(images).abs().mean(dim=1)

    @property
    def weights_hash(self) -> str:
        """Hash of the weights, 16 hexadecimal digits."""
        return weights_digest(self.encoder)


def renormalize_for_imagenet(pixels: Float[Tensor, "b i s s"], spec: ImageSpec) -> Float[Tensor, "b 3 s s"]:
    """Convert images from the normalization of a method to that of the ImageNet classifier.

    Args:
        pixels: (b, i, s, s) normalized images, the three color planes first; further planes (optical flow) are dropped.
        spec: image front end with the mean and standard deviation that `pixels` were normalized by.

    Returns:
        (b, 3, s, s); a view of `pixels` where both normalizations are the same.
    """
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
    """Compute alpha * mm(up(map)) + (1 - alpha) * mean of mm(up(other)), with min-max `mm` and upsampling `up`.

    Upsampling is linear and its weights sum to 1, so where all maps have one grid the mixture is made on that grid, by
    the minima and maxima of the upsampled maps; upsampled in the same way it is the released mixture. Otherwise it
    comes back at `size`, where a protocol's own upsampling has no more say. A constant map counts as 0.

    Args:
        maps: (b, h, w) maps of the sound.
        others: one or more maps that do not depend on the sound, each (b, h', w') of any grid.
        alpha: weight of `maps`, in [0, 1]; the others share the rest evenly.
        upsampling: interpolation of the method.
        size: side in pixels of the square to which maps are upsampled.

    Returns:
        (b, h, w) float32, or (b, size, size) where the grids differ.
    """
    terms = [maps.float(), *(other.float() for other in others)]
    upsampled = [upsampling.upsample(term, size, size) for term in terms]
    on_grid = all(term.shape == maps.shape for term in terms)
    weights = [alpha, *[(1 - alpha) / len(others)] * len(others)]
    weighted = []
    for weight, large, term in zip(weights, upsampled, terms if on_grid else upsampled, strict=True):
        low, high = torch.aminmax(large.flatten(1), dim=1)
        span = (high - low)[:, None, None]
        scaled = (term - low[:, None, None]) / torch.where(span > 0, span, 1)
        weighted.append(weight * torch.where(span > 0, scaled, 0.0))
    return torch.stack(weighted).sum(dim=0)


def parse_refinements(refine: str | Sequence[str], method: Method) -> tuple[str, ...]:
    """Return the names of the requested refinements, each once, in the order of `REFINEMENTS`.

    Args:
        refine: names `iqr` and `ogl`, as a sequence or one string with commas between; empty: none.
        method: method whose maps are refined; `iqr` needs a method with an image query.

    Returns:
        Names of `REFINEMENTS`; empty where none is requested.

    Raises:
        InputError: an unknown name, or `iqr` for a method without an image query.
    """
    names = [name.strip() for name in (refine.split(",") if isinstance(refine, str) else refine)]
    for name in filter(None, names):
        if name not in REFINEMENTS:
            raise InputError(f"unknown refinement {name!r}{did_you_mean(name, REFINEMENTS)}")
    if "iqr" in names and not getattr(method, "has_image_query", False):
        raise InputError(f"{method.name} has no image query to refine maps with (`iqr`); `ogl` works with any method.")
    return tuple(name for name in REFINEMENTS if name in names)
