"""The interface of encoders."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import nn

from soundspot.config.frontend import AudioSpec, ImageSpec
from soundspot.models.weights import PublicWeights


class Encoder(nn.Module):
    """Network from images or spectrograms (b, i, H, W) to a feature map (b, c, h, w).

    Attributes:
        channels: number of channels c of the feature map.
        public: public file of pretrained weights of this network; None: there is none.
        build_options: encoder options that build the same network again without downloads; its weights are then loaded
            from a checkpoint.
    """

    channels: int
    public: ClassVar[PublicWeights | None] = None
    build_options: Mapping[str, Any] = {}

    def check_front_end(self, spec: ImageSpec | AudioSpec) -> None:
        """Raise RecipeError for a front end that the network does not accept; by default it accepts all.

        Args:
            spec: preprocessing of images for an image encoder, of audio for an audio encoder.

        Raises:
            RecipeError: an override does not accept `spec`.
        """
