"""Equivariance: the map of a moved picture is the moved map of the picture.

A move turns about the centre, shrinks and mirrors, as SSL-TIE's released code does with kornia 0.5.6
(jinxiang-liu/SSL-TIE, commit c49e6a94). Its numbers are given, not drawn; gradients run through what is moved.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from soundspot.losses.contrastive import full_precision


@dataclass(frozen=True)
class GeometricTransform:
    """One draw for a batch.

    Attributes:
        angles: degrees, counter-clockwise, one for each picture.
        scale: for the whole batch. As released it counts twice: the picture shrinks on its canvas, around which there
            is nothing, and the canvas shrinks too.
        flip: mirrored left to right, last of all.
    """

    angles: Float[Tensor, " n"]
    scale: float = 1.0
    flip: bool = False

    def matrices(self, height: int, width: int) -> Float[Tensor, "n 2 3"]:
        """From a pixel (x, y, 1) of a canvas to where it goes; the centre is half of the sides, between four pixels."""
        turn = torch.deg2rad(self.angles)
        cosine, sine = self.scale * turn.cos(), self.scale * turn.sin()
        linear = torch.stack([cosine, sine, -sine, cosine], dim=-1).unflatten(-1, (2, 2))
        centre = turn.new_tensor([width / 2, height / 2])
        return torch.cat([linear, (centre - linear @ centre)[..., None]], dim=-1)


@full_precision
def apply_transform(
    x: Float[Tensor, "n c h w"], transform: GeometricTransform, canvas: tuple[int, int]
) -> Float[Tensor, "n c i j"]:
    """Pictures or maps after a move; places that come from outside are 0.

    Args:
        canvas: height and width of the pictures. Whatever is moved is brought to it first, so that a map moves by the
            same pixels as its picture, and to `scale` times its own size afterwards.
    """
    smaller = tuple(max(1, int(transform.scale * side)) for side in x.shape[-2:])
    turned = resize_maps(_warped(resize_maps(x, canvas), transform), smaller)
    return turned.flip(-1) if transform.flip else turned


def _warped(x: Float[Tensor, "n c h w"], move: GeometricTransform) -> Float[Tensor, "n c h w"]:
    height, width = x.shape[-2:]
    across, down = 2 / max(1, width - 1), 2 / max(1, height - 1)
    scaled = x.new_tensor([[across, 0, -1], [0, down, -1], [0, 0, 1]])  # pixels to what grid_sample counts in
    there = x.new_tensor([0, 0, 1]).expand(len(x), 1, 3)
    there = torch.cat([move.matrices(height, width).to(x), there], dim=1)
    back = torch.linalg.inv(scaled @ (there @ torch.linalg.inv(scaled)))
    grid = F.affine_grid(back[:, :2], list(x.shape), align_corners=True)
    return F.grid_sample(x, grid, mode="bilinear", padding_mode="zeros", align_corners=True)


def resize_maps(x: Float[Tensor, "n c h w"], size: tuple[int, ...]) -> Float[Tensor, "n c i j"]:
    """Bilinear, pixel centres at half, without antialiasing; untouched where the size is right."""
    return x if x.shape[-2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=False)


@full_precision
def equivariance_loss(
    maps: Float[Tensor, "n u h w"],
    transformed_maps: Float[Tensor, "n u i j"],
    transform: GeometricTransform,
    canvas: tuple[int, int],
) -> Float[Tensor, ""]:
    """Mean squared difference of the moved maps of pictures and the maps of moved pictures, with gradient to both.

    Args:
        maps: of the pictures, for u sounds each.
        of_moved: of the moved pictures; where its size is not that of the moved maps, they are brought to it.
    """
    return F.mse_loss(
        transformed_maps, resize_maps(apply_transform(maps, transform, canvas), transformed_maps.shape[-2:])
    )
