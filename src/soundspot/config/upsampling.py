"""Upsampling of localization maps to the size of the image. Part of a protocol, since it moves numbers."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

UpsamplingMode = Literal["bilinear", "bilinear-aligned", "bicubic", "bicubic-aligned", "nearest"]


@dataclass(frozen=True)
class Upsampling:
    """Interpolation that resizes a map to the size of the ground truth.

    Attributes:
        mode: `bilinear` and `bicubic` sample at pixel centers (OpenCV's linear resize); `bilinear-aligned` and
            `bicubic-aligned` are torch's align_corners=True; `nearest` repeats pixels.

    Examples:
        >>> maps = torch.tensor([[[0.0, 1.0]]])
        >>> [Upsampling(mode).upsample(maps, 1, 4)[0, 0].tolist() for mode in ("bilinear", "nearest")]
        [[0.0, 0.25, 0.75, 1.0], [0.0, 0.0, 1.0, 1.0]]
    """

    mode: UpsamplingMode = "bilinear"

    def upsample(self, maps: Float[Tensor, "b h w"], height: int, width: int) -> Float[Tensor, "b H W"]:
        """Resize maps to height x width by `mode`, without antialiasing.

        Args:
            maps: (b, h, w) maps of any floating-point type.
            height, width: size of the result in pixels.

        Returns:
            (b, height, width) float32 maps; bicubic values may lie slightly outside the range of the input.
        """
        mode, _, aligned = self.mode.partition("-")
        align_corners = None if mode == "nearest" else bool(aligned)
        return F.interpolate(maps[:, None].float(), (height, width), mode=mode, align_corners=align_corners)[:, 0]


def min_max_normalize(maps: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Scale each map to [0, 1] by its own minimum and maximum; a constant map is returned unchanged.

    Args:
        maps: (b, h, w) maps.

    Returns:
        (b, h, w) maps, each from 0 to 1 unless it is constant.

    Examples:
        >>> min_max_normalize(torch.tensor([[[-1.0, 0.0, 1.0]], [[3.0, 3.0, 3.0]]]))
        tensor([[[0.0000, 0.5000, 1.0000]],
        <BLANKLINE>
                [[3.0000, 3.0000, 3.0000]]])
    """
    low, high = torch.aminmax(maps.flatten(1), dim=1)
    span = (high - low)[:, None, None]
    return torch.where(span > 0, (maps - low[:, None, None]) / torch.where(span > 0, span, 1), maps)
