"""Vectors that were made elsewhere, in the place of an encoder."""

from jaxtyping import Float
from torch import Tensor, nn

from soundspot.errors import RecipeError


class PrecomputedEmbeddings(nn.Module):
    """Passes on one vector of each picture or sound: (b, 1, width, 1) in place of a spectrogram, (b, width, 1, 1) out.

    Args:
        width: of the vectors; 1000 is SoundNet's.
    """

    def __init__(self, in_channels: int = 1, width: int = 1000) -> None:
        super().__init__()
        if in_channels != 1:
            raise RecipeError(
                "encoder 'vectors' stands for a sound encoder and was named for pictures; a map needs a grid"
            )
        self.channels = width
        self.build_options = {"encoder": "vectors", "width": width}

    def forward(self, x: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c 1 1"]:
        if x.shape[-2:] != (self.channels, 1):
            raise RecipeError(
                f"encoder 'vectors': found sounds of {x.shape[-2]} x {x.shape[-1]}, expected vectors of "
                f"{self.channels} numbers that another network made, as (b, 1, {self.channels}, 1): the data set's "
                "option `vectors`. To hear recordings, train with another sound encoder (`audio: {encoder: resnet18}`)"
            )
        return x.transpose(1, 2)
