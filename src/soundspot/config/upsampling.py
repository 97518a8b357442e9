"""Read-outs: how a raw map becomes one the size of a picture. Part of a protocol, since it moves numbers."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

UpsamplingMode = Literal["bilinear", "bilinear-aligned", "bicubic", "bicubic-aligned", "nearest"]


@dataclass(frozen=True)
class Upsampling:
    """How maps are brought to the size of the truth.

    Attributes:
        upsampling: `bilinear` has half-pixel centres (what OpenCV's linear resize computes); `-aligned` is torch's
            align_corners=True; `nearest` repeats pixels.

    Examples:
        >>> raw = torch.tensor([[[0.0, 1.0]]])
        >>> [ReadOut(how).upsample(raw, 1, 4)[0, 0].tolist() for how in ("bilinear", "nearest")]
        [[0.0, 0.25, 0.75, 1.0], [0.0, 0.0, 1.0, 1.0]]
    """

    mode: UpsamplingMode = "bilinear"

    def upsample(self, maps: Float[Tensor, "b h w"], height: int, width: int) -> Float[Tensor, "b H W"]:
        mode, _, aligned = self.mode.partition("-")
        corners = None if mode == "nearest" else bool(aligned)
        return F.interpolate(maps[:, None].float(), (height, width), mode=mode, align_corners=corners)[:, 0]


def min_max_normalize(maps: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
    """Each map scaled to [0, 1] by its own minimum and maximum; a constant map comes back unchanged.

    Examples:
        >>> min_max(torch.tensor([[[-1.0, 0.0, 1.0]], [[3.0, 3.0, 3.0]]]))
        tensor([[[0.0000, 0.5000, 1.0000]],
        <BLANKLINE>
                [[3.0000, 3.0000, 3.0000]]])
    """
    low, high = torch.aminmax(maps.flatten(1), dim=1)
    span = (high - low)[:, None, None]
    return torch.where(span > 0, (maps - low[:, None, None]) / torch.where(span > 0, span, 1), maps)
