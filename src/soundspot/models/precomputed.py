"""Precomputed audio embeddings in place of an encoder."""

from jaxtyping import Float
from torch import Tensor

from soundspot.errors import RecipeError
from soundspot.models.base import Encoder


class PrecomputedEmbeddings(Encoder):
    """Stand-in for an audio encoder that passes on precomputed embeddings, one per audio clip.

    Args:
        in_channels: number of input channels; must be 1.
        width: dimension of the embeddings; 1000 is SoundNet's.

    Raises:
        RecipeError: `in_channels` is not 1, as for images.
    """

    def __init__(self, in_channels: int = 1, width: int = 1000) -> None:
        super().__init__()
        if in_channels != 1:
            raise RecipeError(
                "encoder 'vectors' stands for an audio encoder and was given for images; a map needs features at "
                "locations"
            )
        self.channels = width
        self.build_options = {"encoder": "vectors", "width": width}

    def forward(self, x: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c 1 1"]:
        """Return the embeddings as a feature map of one location.

        Args:
            x: (b, 1, width, 1) embeddings, in place of spectrograms.

        Returns:
            (b, width, 1, 1) the same values.

        Raises:
            RecipeError: `x` holds spectrograms, or embeddings of another width.
        """
        if x.shape[-2:] != (self.channels, 1):
            raise RecipeError(
                f"encoder 'vectors': found audio of {x.shape[-2]} x {x.shape[-1]}, expected embeddings of "
                f"{self.channels} numbers from another network, as (b, 1, {self.channels}, 1): the data set's option "
                "`audio_embeddings`. To use recordings, train with another audio encoder (`audio: {encoder: resnet18}`)"
            )
        return x.transpose(1, 2)
