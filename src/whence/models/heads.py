"""Projection heads and poolings on top of an encoder's grid."""

from jaxtyping import Float
from torch import Tensor, nn


def max_pool(grid: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
    """The largest value of each channel over all places: how this field makes one vector of a spectrogram."""
    return grid.amax(dim=(-2, -1))


def mean_pool(grid: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
    """The mean of each channel over all places."""
    return grid.mean(dim=(-2, -1))


def projection(channels: int, width: int, depth: int = 2) -> nn.Sequential:
    """`depth` linear layers to `width`, batch norm and relu between them (SimCLR's head)."""
    layers: list[nn.Module] = []
    for n in range(depth):
        last = n == depth - 1
        layers.append(nn.Linear(channels if n == 0 else width, width, bias=last))
        if not last:
            layers += [nn.BatchNorm1d(width), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


class CommonSpace(nn.Module):
    """Two linear maps into one space: a 1 x 1 convolution for the places of a picture, a layer for a sound's vector."""

    def __init__(self, seen: int, heard: int, width: int) -> None:
        super().__init__()
        self.picture = nn.Conv2d(seen, width, 1)
        self.sound = nn.Linear(heard, width)
