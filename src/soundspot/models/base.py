"""The interface of encoders."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from soundspot.config.frontend import AudioSpec, ImageSpec
from soundspot.models.packaged_weights import PackagedWeights
from soundspot.models.weights import PublicWeights, load_strict


class Encoder(nn.Module):
    """Network from images or spectrograms (b, i, H, W) to a feature map (b, c, h, w).

    Attributes:
        channels: number of channels c of the feature map.
        public: public file of pretrained weights of this network; None: there is none.
        frozen_channels: number of channels of the outputs of `StagedEncoder.read_frozen`, where nothing before the neck
            learns; else 0.
        build_options: encoder options that build the same network again without downloads; its weights are then loaded
            from a checkpoint.
    """

    channels: int
    frozen_channels: int = 0
    public: ClassVar[PublicWeights | PackagedWeights | None] = None
    build_options: Mapping[str, Any] = {}

    def check_front_end(self, spec: ImageSpec | AudioSpec) -> None:
        """Raise RecipeError for a front end that the network does not accept; by default it accepts all.

        Args:
            spec: preprocessing of images for an image encoder, of audio for an audio encoder.

        Raises:
            RecipeError: an override does not accept `spec`.
        """

    def load_public(self, state: Mapping[str, Tensor], source: str) -> None:
        """Load weights of the network's public file.

        A first layer of three channels is summed to one for spectrograms, and stays random for other inputs, such as
        the two channels of optical flow.

        Args:
            state: parameter name -> weight, without the parts that the encoder does not have.
            source: name of the file for messages.

        Raises:
            CheckpointError: names or shapes do not match.
        """
        assert isinstance(self.public, PublicWeights)
        name, weights = self.public.first_layer, dict(state)
        layer = self.get_parameter(name)
        if name in weights and layer.shape[1] == 1 and weights[name].shape[1] == 3:
            weights[name] = weights[name].sum(1, keepdim=True)
        elif name in weights and layer.shape[1] == 2:
            weights[name] = layer.detach().clone()
        load_strict(self, weights, source)
