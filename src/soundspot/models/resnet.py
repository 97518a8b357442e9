"""ResNets of basic blocks without a classifier, for images and for spectrograms.

He et al., "Deep Residual Learning for Image Recognition", CVPR 2016. Parameter names are those of the public ResNet-18
file, so released weights load by name. The field's encoders differ from the public one in two things only: spectrograms
have one channel, and several methods keep stride 1 in the last stage (14 x 14 features of a 224-pixel image instead of
7 x 7).
"""

import math
from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.errors import RecipeError
from soundspot.models.base import Encoder
from soundspot.models.weights import PublicWeights


class ThinConv2d(nn.Conv2d):
    """A 1 x 1 convolution that strides by subsampling its input.

    On a CPU the gradient of the weights of fewer than 16 channels, in single precision and with channels last, is
    written past its end where the convolution itself strides (torch 2.13, oneDNN): toy networks crashed, or worse.
    """

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Subsample the input by the strides and convolve it.

        Args:
            x: (b, c, h, w) features.

        Returns:
            (b, d, i, j) features; i and j are h and w divided by the strides, rounded up.
        """
        y_stride, x_stride = self.stride
        return F.conv2d(x[:, :, ::y_stride, ::x_stride], self.weight, self.bias)


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut.

    Args:
        in_channels: number of channels of the input.
        out_channels: number of channels of the output.
        stride: stride of the first convolution and of the shortcut.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            convolution = (ThinConv2d if in_channels < 16 else nn.Conv2d)(
                in_channels, out_channels, 1, stride, bias=False
            )
            self.downsample = nn.Sequential(convolution, nn.BatchNorm2d(out_channels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Apply the block to features.

        Args:
            x: (b, c, h, w) features, with c = `in_channels`.

        Returns:
            (b, d, i, j) non-negative features, with d = `out_channels`; i and j are h and w divided by the stride,
            rounded up.
        """
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.bn2(self.conv2(y)) + shortcut, inplace=True)


class ResNet(Encoder):
    """ResNet of a stem (7 x 7, stride 2; 3 x 3 max pool, stride 2) and stages, each twice as wide as the last.

    Args:
        in_channels: number of input channels: 3 for images, 1 for spectrograms, 2 for optical flow.
        blocks: number of basic blocks in each stage; (2, 2, 2, 2) is ResNet-18.
        strides: stride of each stage; (1, 2, 2, 1) keeps 14 x 14 features of 224 pixels, (1, 2, 2, 2) is the
            classifier's.
        width: number of channels of the first stage.

    Raises:
        RecipeError: `blocks` and `strides` have different lengths.
    """

    public = PublicWeights(
        keyword="imagenet",
        name="ResNet-18",
        url="https://download.pytorch.org/models/resnet18-f37072fd.pth",
        first_layer="conv1.weight",
        unused_prefix="fc.",
    )

    def __init__(
        self,
        in_channels: int = 3,
        blocks: Sequence[int] = (2, 2, 2, 2),
        strides: Sequence[int] = (1, 2, 2, 1),
        width: int = 64,
    ) -> None:
        super().__init__()
        if len(blocks) != len(strides):
            raise RecipeError(
                f"an encoder has {len(blocks)} stages by `blocks` ({list(blocks)}) and {len(strides)} by `strides` "
                f"({list(strides)}); give both the same length"
            )
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        channels = width
        for stage, (count, stride) in enumerate(zip(blocks, strides, strict=True)):
            out_channels = width * 2**stage
            blocks_of_stage = [BasicBlock(channels, out_channels, stride)]
            blocks_of_stage += [BasicBlock(out_channels, out_channels, 1) for _ in range(count - 1)]
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks_of_stage))
            channels = out_channels
        self.stages = len(blocks)
        self.stride = 4 * math.prod(strides)
        self.channels = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Float[Tensor, "b i H W"]) -> Float[Tensor, "b c h w"]:
        """Compute the feature map of images or spectrograms.

        Args:
            x: (b, in_channels, H, W) normalized images, or scaled spectrograms of H bins and W frames.

        Returns:
            (b, c, h, w) non-negative features, with c = `channels`; h and w are H and W divided by `stride`, rounded
            up.

        Raises:
            RecipeError: in training mode, the batch is a single sample of a single cell, from which batch norm cannot
                learn.
        """
        if self.training and len(x) == 1 and max(x.shape[-2:]) <= self.stride:
            raise RecipeError(
                f"train.batch_size: found a batch of one sample of {x.shape[-2]} x {x.shape[-1]}, which is one cell of "
                f"the encoder's {self.stride}, and batch norm needs two in training. Raise it, or the size"
            )
        x = self.maxpool(F.relu(self.bn1(self.conv1(x)), inplace=True))
        for stage in range(self.stages):
            x = self.get_submodule(f"layer{stage + 1}")(x)
        return x
