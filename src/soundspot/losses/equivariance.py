"""Equivariance: the map of a transformed image is the transformed map of the image.

Liu et al., "Exploiting Transformation Invariance and Equivariance for Self-supervised Sound Localisation", ACM MM 2022.
A transformation rotates about the center, shrinks and mirrors, as SSL-TIE's released code does with kornia 0.5.6
(jinxiang-liu/SSL-TIE, commit c49e6a94). Its numbers are given, not drawn; gradients run through the transformed maps.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from soundspot.losses.contrastive import full_precision


@dataclass(frozen=True)
class GeometricTransform:
    """Rotation of each image, scale and mirroring of the batch.

    Attributes:
        angles: (n,) rotations in degrees, counter-clockwise, one for each image.
        scale: scale factor of the entire batch. As released it counts twice: the image shrinks on its canvas, which is
            padded with zeros, and the canvas shrinks too.
        flip: mirror all images left to right, after rotation and scaling.
    """

    angles: Float[Tensor, " n"]
    scale: float = 1.0
    flip: bool = False

    def matrices(self, height: int, width: int) -> Float[Tensor, "n 2 3"]:
        """Return the affine matrices that take a pixel (x, y, 1) to its new position.

        Args:
            height, width: size of the canvas in pixels; the center of rotation is (width / 2, height / 2).

        Returns:
            (n, 2, 3) matrices of rotation and scaling, without the mirroring.
        """
        radians = torch.deg2rad(self.angles)
        cosine, sine = self.scale * radians.cos(), self.scale * radians.sin()
        linear = torch.stack([cosine, sine, -sine, cosine], dim=-1).unflatten(-1, (2, 2))
        center = radians.new_tensor([width / 2, height / 2])
        return torch.cat([linear, (center - linear @ center)[..., None]], dim=-1)


@full_precision
def apply_transform(
    x: Float[Tensor, "n c h w"], transform: GeometricTransform, canvas: tuple[int, int]
) -> Float[Tensor, "n c i j"]:
    """Rotate, scale and mirror images or maps; pixels that come from outside of them are 0.

    Args:
        x: (n, c, h, w) images or maps.
        transform: transformation with n angles.
        canvas: height and width of the images in pixels. `x` is resized to it first, so that a map moves by the same
            pixels as its image, and to `scale` times its own size afterwards.

    Returns:
        (n, c, i, j) with i = scale h and j = scale w, rounded down, at least 1. All interpolation is bilinear.
    """
    size = tuple(max(1, int(transform.scale * side)) for side in x.shape[-2:])
    warped = resize_maps(_warp(resize_maps(x, canvas), transform), size)
    return warped.flip(-1) if transform.flip else warped


def _warp(x: Float[Tensor, "n c h w"], transform: GeometricTransform) -> Float[Tensor, "n c h w"]:
    height, width = x.shape[-2:]
    x_step, y_step = 2 / max(1, width - 1), 2 / max(1, height - 1)
    normalize = x.new_tensor([[x_step, 0, -1], [0, y_step, -1], [0, 0, 1]])  # pixels to grid_sample's coordinates
    last_row = x.new_tensor([0, 0, 1]).expand(len(x), 1, 3)
    forward = torch.cat([transform.matrices(height, width).to(x), last_row], dim=1)
    inverse = torch.linalg.inv(normalize @ (forward @ torch.linalg.inv(normalize)))
    grid = F.affine_grid(inverse[:, :2], list(x.shape), align_corners=True)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


def resize_maps(x: Float[Tensor, "n c h w"], size: tuple[int, ...]) -> Float[Tensor, "n c i j"]:
    """Resize images or maps bilinearly with half-pixel centers, without antialiasing.

    Args:
        x: (n, c, h, w) images or maps.
        size: height i and width j of the result, in pixels.

    Returns:
        (n, c, i, j) resized images or maps; `x` itself if it has that size.
    """
    return x if x.shape[-2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


@full_precision
def equivariance_loss(
    maps: Float[Tensor, "n u h w"],
    transformed_maps: Float[Tensor, "n u i j"],
    transform: GeometricTransform,
    canvas: tuple[int, int],
) -> Float[Tensor, ""]:
    """Compute the mean squared difference of transformed maps of images and maps of transformed images.

    Args:
        maps: (n, u, h, w) maps of the n images for u audio views each.
        transformed_maps: (n, u, i, j) maps of the transformed images; the transformed `maps` are resized to (i, j)
            bilinearly if their size differs.
        transform: transformation of the images, with n angles.
        canvas: height and width of the images in pixels.

    Returns:
        Scalar, mean over all entries, with gradient to both arguments.
    """
    expected = resize_maps(apply_transform(maps, transform, canvas), transformed_maps.shape[-2:])
    return F.mse_loss(transformed_maps, expected)
