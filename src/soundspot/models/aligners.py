"""DenseAV's aligners: layers that bring the features of both encoders to one space, audio at a ninth of its rate.

Hamilton et al., "Separating the Chirp from the Chat", CVPR 2024; mhamilton723/DenseAV at 2221b8c, its aligners
`image_linear` and `audio_sa_3_3_pool_2`.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.models.dino import NORM_EPS, Block

ATTENTION_HEADS = 6
TIME_STRIDE = 3  # of each of the two convolutions over time


def norm_channels(norm: nn.LayerNorm, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Apply a LayerNorm over the channels of a feature map.

    Args:
        norm: norm of c channels.
        x: (b, c, h, w) features.

    Returns:
        (b, c, h, w) features.
    """
    return norm(x.movedim(1, -1)).movedim(-1, 1)


class ImageAligner(nn.Module):
    """LayerNorm and a linear layer for each location; another one for the class token, without the norm.

    Args:
        in_width: number of channels of the encoder.
        width: dimension of the joint space.
    """

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_width, NORM_EPS)
        self.layer = nn.Conv2d(in_width, width, 1)
        self.cls_layer = nn.Linear(in_width, width)

    def forward(
        self, features: Float[Tensor, "b c h w"], cls: Float[Tensor, "b c"]
    ) -> tuple[Float[Tensor, "b d h w"], Float[Tensor, "b d"]]:
        """Align the features of images.

        Args:
            features: (b, c, h, w) tokens of patches.
            cls: (b, c) class tokens.

        Returns:
            (b, d, h, w) features and (b, d) class tokens in the joint space.
        """
        return self.layer(norm_channels(self.norm, features)), self.cls_layer(cls)


class AudioAligner(nn.Module):
    """LayerNorm, two convolutions over time of stride 3, and one block of self-attention with the class token.

    Args:
        in_width: number of channels of the encoder.
        width: dimension of the joint space; for attention it is padded with zeros to a multiple of 6.
    """

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(in_width, NORM_EPS)
        kernel = 1, TIME_STRIDE
        self.pool1 = nn.Conv2d(in_width, width, kernel, kernel)
        self.cls_layer = nn.Linear(in_width, width)
        self.pool2 = nn.Conv2d(width, width, kernel, kernel)
        self.padding = -width % ATTENTION_HEADS
        self.block = Block(width + self.padding, ATTENTION_HEADS)

    def forward(
        self, features: Float[Tensor, "b c f t"], cls: Float[Tensor, "b c"]
    ) -> tuple[Float[Tensor, "b n d"], Float[Tensor, "b d"]]:
        """Align the features of audio.

        Args:
            features: (b, c, f, t) features; the mean over f is used.
            cls: (b, c) class tokens.

        Returns:
            (b, n, d) audio tokens and (b, d) class tokens in the joint space, with n = t // 3 // 3.
        """
        x = norm_channels(self.norm, features.mean(2, keepdim=True))
        tokens = self.pool2(self.pool1(x))[:, :, 0].mT
        tokens = torch.cat([self.cls_layer(self.norm(cls))[:, None], tokens], dim=1)
        tokens = self.block(F.pad(tokens, (self.padding, 0)))[..., self.padding :]
        return tokens[:, 1:], tokens[:, 0]
