"""aiSFX for audio: the embedding network of a classifier of sound effects.

Ma and Lerch, "Representation Learning for the Automatic Indexing of Sound Effects Libraries", ISMIR 2022.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.config.frontend import AudioSpec, ImageSpec
from soundspot.errors import RecipeError
from soundspot.models.packaged_weights import PackagedWeights
from soundspot.models.pretrained import check_preset
from soundspot.models.staged import StagedEncoder

NAME = "aisfx"
BLOCK_FRAMES = 100  # 2.3 s
BLOCK_HOP = 50
MEL_BANDS = 96
_WIDTHS = (64, 128, 256, 512)
_POOLED = 8  # frames, and bands, of one cell of the last block


class DoubleConv(nn.Module):
    """Two 3 x 3 convolutions, each with batch norm and ReLU, and a 2 x 2 maximum.

    Args:
        in_channels: number of channels of the input.
        out_channels: number of channels of the output.
        pool: whether the maximum is taken.
    """

    def __init__(self, in_channels: int, out_channels: int, pool: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.pool = pool
        for convolution in (self.conv1, self.conv2):
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Float[Tensor, "b c t f"]) -> Float[Tensor, "b d s g"]:
        """Apply the block to features.

        Args:
            x: (b, c, t, f) features; time is the height, as in the released network.

        Returns:
            (b, d, s, g) non-negative features; s and g are t and f, halved and rounded down with `pool`.
        """
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        y = F.relu(self.bn2(self.conv2(y)), inplace=True)
        return F.max_pool2d(y, 2) if self.pool else y


class Pool(nn.Module):
    """Mean over frequency and, unless `over_time` is False, maximum over time.

    Args:
        over_time: whether the maximum is taken.
    """

    def __init__(self, over_time: bool) -> None:
        super().__init__()
        self.over_time = over_time

    def forward(self, x: Float[Tensor, "b c t f"]) -> Float[Tensor, "b c 1 p"]:
        """Pool features.

        Args:
            x: (b, c, t, f) features.

        Returns:
            (b, c, 1, p) features, with p = 1 where the maximum over time is taken, else t.
        """
        mean = x.mean(dim=3)[:, :, None]
        return mean.amax(dim=3, keepdim=True) if self.over_time else mean


class AISFX(StagedEncoder):
    """aiSFX: 512 features of each block of 100 frames (2.3 s), or of every eight frames (0.19 s), in one row.

    Args:
        in_channels: number of input channels; must be 1.
        pooling: `block`, as released: blocks of 100 frames, 50 apart, each with the maximum over its time; what is left
            over at the end is not used. `none`: the entire spectrogram at once, with a feature every eight frames and
            no maximum over time.
        trained: `all`, or the number of last convolution blocks that learn, up to 4; 0: frozen, batch norms included.
        width: number of channels of the features, by a 1 x 1 convolution that always learns; None: 512, without that
            convolution.
        neck_depth: number of nonlinear layers of the neck, which always learn; 0: that convolution is linear. The first
            is it, followed by relu; each further one adds the relu of a convolution (1 x 1, as sounds are vectors) to
            its input.

    Raises:
        RecipeError: `in_channels` is not 1, as for images, `pooling` is unknown, or `trained` is out of range.
    """

    public = PackagedWeights(
        encoder=NAME,
        package="aisfx",
        version="0.1.2",
        wheel_sha256="bfe219950715af179e9a1653e7117cc1852baef267cd6596c42cad74afe1d194",
        member="aisfx/models/checkpoint.pth",
        sha256="499ea75909c932a2f94c35fa722fa4fabc5bcb7e84917209cc5f7402627b7eb5",
        license="CC BY 4.0",
        attribution='A. B. Ma and A. Lerch, "Representation Learning for the Automatic Indexing of Sound Effects '
        'Libraries", ISMIR 2022',
        renames=((r"^embedding_net\.conv_block(\d)\.", r"block\1."),),
        unused_prefix="fc.",
    )

    def __init__(
        self,
        in_channels: int = 1,
        pooling: str = "block",
        trained: int | str = "all",
        width: int | None = 512,
        neck_depth: int = 0,
    ) -> None:
        if in_channels != 1:
            raise RecipeError(f"encoder {NAME!r} takes audio and was given for images; name it for audio")
        if pooling not in ("block", "none"):
            raise RecipeError(f"encoder {NAME!r}: found `pooling: {pooling}`, expected block or none")
        inputs = (1, *_WIDTHS[:-1])
        stages: dict[str, nn.Module] = {
            f"block{n}": DoubleConv(inputs[n - 1], _WIDTHS[n - 1], pool=n < len(_WIDTHS))
            for n in range(1, len(_WIDTHS) + 1)
        }
        stages["pool"] = Pool(over_time=pooling == "block")
        super().__init__(NAME, stages, {"pool": _WIDTHS[-1]}, ["pool"], trained, width, neck_depth, neck_kernel=1)
        self.pooling = pooling
        self.build_options = {
            "encoder": NAME,
            "pooling": pooling,
            "trained": trained,
            "width": width,
            "neck_depth": neck_depth,
        }

    def forward_frozen(self, x: Float[Tensor, "b 1 f t"]) -> tuple[Float[Tensor, "b p c s g"], ...]:
        """Compute what lies before the blocks that learn, without gradients.

        Args:
            x: (b, 1, 96, t) spectrograms of the preset `aisfx`; fewer frames than a block are padded with zeros.

        Returns:
            One tensor (b, p, c, s, g) of p blocks of frames (1 with `pooling: none`) that `forward_trained` continues
            from. With `trained: 0` it is pooled: (b, p, 512, 1, s).

        Raises:
            RecipeError: there are not 96 bands, or fewer than eight frames of a spectrogram that is not cut in blocks.
        """
        self.check_input_size(x.shape[-2], x.shape[-1])
        if self.pooling == "block":
            x = F.pad(x, (0, max(0, BLOCK_FRAMES - x.shape[-1]))).unfold(-1, BLOCK_FRAMES, BLOCK_HOP)
            x = x.permute(0, 3, 1, 4, 2)  # (b, p, 1, t, f)
        else:
            x = x.mT[:, None]
        (features,) = super().forward_frozen(x.flatten(0, 1))
        return (features.unflatten(0, x.shape[:2]),)

    def forward_trained(self, features: tuple[Float[Tensor, "b p c s g"], ...]) -> Float[Tensor, "b d 1 w"]:
        """Compute the feature map from the output of `forward_frozen`.

        Args:
            features: the tensor that `forward_frozen` returned, in the type of the weights (float32, or any under
                autocast).

        Returns:
            (b, d, 1, w) features, with d = `channels`; w is the number of blocks, or t // 8 with `pooling: none`.
        """
        (x,) = features
        y = super().forward_trained((x.flatten(0, 1),))
        return y.unflatten(0, x.shape[:2]).movedim(1, 3).flatten(3)

    def check_input_size(self, bands: int, frames: int) -> None:
        """Raise RecipeError for spectrograms of a size that the network cannot take.

        Args:
            bands: number of mel bands.
            frames: number of frames.

        Raises:
            RecipeError: `bands` is not 96, or `frames` is below 8 with `pooling: none`.
        """
        minimum = 1 if self.pooling == "block" else _POOLED
        if bands != MEL_BANDS or frames < minimum:
            raise RecipeError(
                f"encoder {NAME!r}: found spectrograms of {bands} x {frames}, expected {MEL_BANDS} bands and at least "
                f"{minimum} frames; its front end is the preset {NAME!r}"
            )

    def check_front_end(self, spec: ImageSpec | AudioSpec) -> None:
        """Raise RecipeError for a front end other than the one the network was trained with.

        Args:
            spec: preprocessing of audio.

        Raises:
            RecipeError: a field other than sizes and durations differs from the preset `aisfx`, or the spectrogram has
                a size that the network cannot take.
        """
        assert isinstance(spec, AudioSpec)
        check_preset(NAME, spec, NAME)
        self.check_input_size(*spec.shape)
