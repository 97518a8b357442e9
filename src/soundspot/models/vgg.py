"""VGG-16 for pictures and VGGish for sounds, with the names of the public files.

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
from soundspot.models.pretrained import check_preset
from soundspot.models.weights import PublicWeights

PATCH = 96  # frames that VGGish hears at once: 0.96 s
BANDS = 64


class VGG16(nn.Module):
    """VGG-16 up to conv5_3: 14 x 14 cells of 512 channels of a picture of 224 pixels, 20 x 20 of 320.

    Args:
        in_channels: 3 for pictures, 1 for spectrograms.
        relu: whether the last relu is in; Attention10k and SSPL read the features before it.
        trained: `all`, or how many of the last convolutions learn; 0: frozen.
        width: channels of the first stage, an eighth of the last one's.
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
        self.frozen = _freeze("vgg16", self, trained)

    def forward(self, x: Float[Tensor, "b i H W"]) -> Float[Tensor, "b c h w"]:
        """Features of each cell."""
        if min(x.shape[-2:]) < 16:
            raise RecipeError(
                f"encoder 'vgg16': found pictures of {x.shape[-2]} x {x.shape[-1]}, smaller than one of its cells (16)"
            )
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            return self.features(x)


class VGGish(nn.Module):
    """VGGish: 128 numbers of each patch of 0.96 s, side by side as a grid of one row.

    A spectrogram is cut into as many whole patches as it holds, from its beginning, and what is left over is not heard.

    Args:
        in_channels: 1; it hears.
        trained: `all`, or how many of its nine layers learn, the last ones; 0: frozen.
        width: channels of the first stage. hidden: of the two layers before the last.
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
            raise RecipeError("encoder 'vggish' takes sounds and was named for pictures; name it for sounds")
        stages = [(1,), (2,), (4, 4), (8, 8)]
        self.features = nn.Sequential(*_convolutions(1, [[width * n for n in stage] for stage in stages]))
        inside = 8 * width * (PATCH // 16) * (BANDS // 16)
        layers = [nn.Linear(inside, hidden), nn.Linear(hidden, hidden), nn.Linear(hidden, self.channels)]
        self.embeddings = nn.Sequential(*(one for layer in layers for one in (layer, nn.ReLU(inplace=True))))
        self.build_options = {"encoder": "vggish", "trained": trained, "width": width, "hidden": hidden}
        self.frozen = _freeze("vggish", self, trained)

    def forward(self, x: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c 1 p"]:
        """What each patch holds, not negative."""
        self.check_input_size(x.shape[-2], x.shape[-1])
        patches = x.shape[-1] // PATCH
        cut = x[:, 0, :, : patches * PATCH].unflatten(2, (patches, PATCH)).permute(0, 2, 3, 1)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            heard = self.features(cut.flatten(0, 1)[:, None])  # time is the height, as in the public network
            vectors = self.embeddings(heard.permute(0, 2, 3, 1).flatten(1))
        return vectors.unflatten(0, (x.shape[0], patches)).permute(0, 2, 1)[:, :, None]

    def check_input_size(self, bands: int, frames: int) -> None:
        """Raise RecipeError for spectrograms of a size that it cannot take."""
        if bands != BANDS or frames < PATCH:
            raise RecipeError(
                f"encoder 'vggish': found spectrograms of {bands} x {frames}, expected {BANDS} bands and at least the "
                f"{PATCH} frames of a patch; its front end is the preset 'vggish', of a second or more"
            )

    def check_front_end(self, spec: ImageSpec | AudioSpec) -> None:
        """Raise RecipeError for a front end that is not of the kind this network was made for."""
        assert isinstance(spec, AudioSpec)
        check_preset("vggish", replace(spec, min_max_normalize=False), "vggish")
        self.check_input_size(*spec.shape)


def _convolutions(inside: int, stages: Sequence[Sequence[int]]) -> Iterator[nn.Module]:
    """Stages of 3 x 3 convolutions of these widths, each followed by a relu, and a 2 x 2 maximum after each stage."""
    for stage in stages:
        for outside in stage:
            convolution = nn.Conv2d(inside, outside, 3, 1, 1)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
            yield convolution
            yield nn.ReLU(inplace=True)
            inside = outside
        yield nn.MaxPool2d(2)


def _freeze(name: str, network: nn.Module, trained: int | str) -> bool:
    """Freezes all but the last `trained` layers that have weights; whether all of them are."""
    layers = [one for one in network.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    if trained != "all" and not (type(trained) is int and 0 <= trained <= len(layers)):
        raise RecipeError(
            f"encoder {name!r}: found `trained: {trained}`, expected `all`, or how many of its last layers learn: 0 "
            f"(frozen) to {len(layers)}"
        )
    if isinstance(trained, int):
        for layer in layers[: len(layers) - trained]:
            layer.requires_grad_(False)
    return trained == 0
