"""VGG-16 for images and VGGish for audio, with the parameter names of the public files.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR 2015; Hershey et
al., "CNN Architectures for Large-Scale Audio Classification", ICASSP 2017. Neither has batch norm or dropout here, so
frozen layers are the same in training and in evaluation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.config.frontend import AudioSpec, ImageSpec
from soundspot.errors import RecipeError
from soundspot.models.base import Encoder
from soundspot.models.pretrained import check_preset
from soundspot.models.weights import PublicWeights

PATCH_FRAMES = 96  # 0.96 s, the input of VGGish
MEL_BANDS = 64


class VGG16(Encoder):
    """VGG-16 up to conv5_3: 14 x 14 features of 512 channels of an image of 224 pixels, 20 x 20 of 320.

    Args:
        in_channels: number of input channels: 3 for images, 1 for spectrograms.
        relu: include the last relu; Attention10k and SSPL use the features before it.
        trained: `all`, or the number of last convolutions that learn, up to 13; 0: frozen.
        width: number of channels of the first stage; the last stage has eight times as many.

    Raises:
        RecipeError: `trained` is neither `all` nor a number from 0 to the number of convolutions.
    """

    public = PublicWeights(
        keyword="imagenet",
        name="VGG-16",
        url="https://download.pytorch.org/models/vgg16-397923af.pth",
        first_layer="features.0.weight",
        unused_prefix="classifier.",
    )

    def __init__(self, in_channels: int = 3, relu: bool = False, trained: int | str = "all", width: int = 64) -> None:
        super().__init__()
        stages = [(1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8)]
        layers = list(_convolutions(in_channels, [[width * n for n in stage] for stage in stages]))[:-1]
        self.features = nn.Sequential(*(layers if relu else layers[:-1]))
        self.channels = 8 * width
        self.build_options = {"encoder": "vgg16", "relu": relu, "trained": trained, "width": width}
        self.is_frozen = _freeze("vgg16", self, trained)

    def forward(self, x: Float[Tensor, "b i H W"]) -> Float[Tensor, "b c h w"]:
        """Compute the feature map of images.

        Args:
            x: (b, in_channels, H, W) normalized images of 16 x 16 pixels or more.

        Returns:
            (b, c, h, w) features, with c = `channels`, h = H // 16 and w = W // 16.

        Raises:
            RecipeError: the image is smaller than 16 x 16 pixels.
        """
        if min(x.shape[-2:]) < 16:
            raise RecipeError(
                f"encoder 'vgg16': found images of {x.shape[-2]} x {x.shape[-1]}, smaller than one of its cells (16)"
            )
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            return self.features(x)


class VGGish(Encoder):
    """VGGish: an embedding of 128 numbers of each patch of 0.96 s, as a feature map of one row.

    A spectrogram is cut into as many complete patches as it holds, from its beginning; the remainder is not used.

    Args:
        in_channels: number of input channels; must be 1.
        trained: `all`, or the number of last layers that learn, of its nine; 0: frozen.
        width: number of channels of the first stage.
        hidden: dimension of the two linear layers before the last.

    Raises:
        RecipeError: `in_channels` is not 1, as for images, or `trained` is neither `all` nor a number from 0 to 9.
    """

    public = PublicWeights(
        keyword="public",
        name="VGGish",
        url="https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
        first_layer="features.0.weight",
    )
    channels = 128

    def __init__(self, in_channels: int = 1, trained: int | str = "all", width: int = 64, hidden: int = 4096) -> None:
        super().__init__()
        if in_channels != 1:
            raise RecipeError("encoder 'vggish' takes audio and was given for images; name it for audio")
        stages = [(1,), (2,), (4, 4), (8, 8)]
        self.features = nn.Sequential(*_convolutions(1, [[width * n for n in stage] for stage in stages]))
        flat_width = 8 * width * (PATCH_FRAMES // 16) * (MEL_BANDS // 16)
        layers = [nn.Linear(flat_width, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, self.channels)]
        self.embeddings = nn.Sequential(*(x for layer in layers for x in (layer, nn.ReLU(inplace=True))))
        self.build_options = {"encoder": "vggish", "trained": trained, "width": width, "hidden": hidden}
        self.is_frozen = _freeze("vggish", self, trained)

    def forward(self, x: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c 1 p"]:
        """Compute the embedding of each patch.

        Args:
            x: (b, 1, 64, t) log-mel spectrograms of 64 bands and t frames of 10 ms, t of 96 or more.

        Returns:
            (b, 128, 1, p) non-negative embeddings of p = t // 96 patches of 96 frames, which do not overlap; the
            remaining frames at the end are dropped.

        Raises:
            RecipeError: there are not 64 bands, or fewer than 96 frames.
        """
        self.check_input_size(x.shape[-2], x.shape[-1])
        num_patches = x.shape[-1] // PATCH_FRAMES
        patches = x[:, 0, :, : num_patches * PATCH_FRAMES].unflatten(2, (num_patches, PATCH_FRAMES))
        patches = patches.permute(0, 2, 3, 1).flatten(0, 1)[:, None]  # time is the height, as in the public network
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            embeddings = self.embeddings(self.features(patches).permute(0, 2, 3, 1).flatten(1))
        return embeddings.unflatten(0, (x.shape[0], num_patches)).permute(0, 2, 1)[:, :, None]

    def check_input_size(self, bands: int, frames: int) -> None:
        """Raise RecipeError for spectrograms of a size that the network cannot take.

        Args:
            bands: number of mel bands.
            frames: number of frames.

        Raises:
            RecipeError: `bands` is not 64, or `frames` is below 96.
        """
        if bands != MEL_BANDS or frames < PATCH_FRAMES:
            raise RecipeError(
                f"encoder 'vggish': found spectrograms of {bands} x {frames}, expected {MEL_BANDS} bands and at least "
                f"the {PATCH_FRAMES} frames of a patch; its front end is the preset 'vggish', of a second or more"
            )

    def check_front_end(self, spec: ImageSpec | AudioSpec) -> None:
        """Raise RecipeError for a front end other than the one the network was trained with.

        Args:
            spec: preprocessing of audio.

        Raises:
            RecipeError: a field other than sizes, durations and `min_max_normalize` differs from the preset `vggish`,
                or the spectrogram does not have 64 bands and at least 96 frames.
        """
        assert isinstance(spec, AudioSpec)
        check_preset("vggish", replace(spec, min_max_normalize=False), "vggish")
        self.check_input_size(*spec.shape)


def _convolutions(in_channels: int, stages: Sequence[Sequence[int]]) -> Iterator[nn.Module]:
    """Yield stages of 3 x 3 convolutions of these widths, each followed by a relu, and a 2 x 2 maximum per stage."""
    for stage in stages:
        for width in stage:
            convolution = nn.Conv2d(in_channels, width, 3, 1, 1)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
            yield convolution
            yield nn.ReLU(inplace=True)
            in_channels = width
        yield nn.MaxPool2d(2)


def _freeze(name: str, network: nn.Module, trained: int | str) -> bool:
    """Freeze all but the last `trained` layers that have weights; return whether all are frozen."""
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    if trained != "all" and not (type(trained) is int and 0 <= trained <= len(layers)):
        raise RecipeError(
            f"encoder {name!r}: found `trained: {trained}`, expected `all`, or how many of its last layers learn: 0 "
            f"(frozen) to {len(layers)}"
        )
    if isinstance(trained, int):
        for layer in layers[: len(layers) - trained]:
            layer.requires_grad_(False)
    return trained == 0
