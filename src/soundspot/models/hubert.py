"""HuBERT for audio: a transformer over waveforms, by the `transformers` library (extra `hub`), from a configuration.

Hsu et al., "HuBERT: Self-Supervised Speech Representation Learning by Masked Prediction of Hidden Units", 2021. The
weights are those of the checkpoint that uses it (DenseAV's): nothing is fetched.
"""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Float
from torch import Tensor

from soundspot.config.frontend import AudioSpec, ImageSpec
from soundspot.errors import RecipeError, did_you_mean
from soundspot.models.base import Encoder
from soundspot.models.pretrained import check_preset

NAME = "hubert"
LARGE: dict[str, Any] = {  # facebook/hubert-large-ls960-ft, but for the epsilon, which is DenseAV's
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "do_stable_layer_norm": True,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "layer_norm_eps": 1e-4,
    "mask_time_prob": 0.0,  # nothing of its own training
}


class HuBERT(Encoder):
    """HuBERT, by default the large one: a feature every 20 ms of a waveform of 16 kHz, with random weights.

    Args:
        in_channels: number of input channels; must be 1.
        config: fields of `transformers.HubertConfig` that replace those of the large network.

    Raises:
        RecipeError: `in_channels` is not 1, as for images, the extra `hub` is not installed, or `config` has unknown
            fields or sizes that do not fit together.
    """

    network: Any

    def __init__(self, in_channels: int = 1, config: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        if in_channels != 1:
            raise RecipeError(f"encoder {NAME!r} takes audio and was given for images; name it for audio")
        try:
            from transformers import HubertConfig, HubertModel
        except ImportError as error:
            raise RecipeError(
                f'encoder {NAME!r} needs transformers; install it with `pip install "soundspot[hub]"`'
            ) from error
        settings = HubertConfig()
        for key in config or {}:
            if not hasattr(settings, key):
                raise RecipeError(f"encoder {NAME!r}: `config` has no {key!r}{did_you_mean(key, settings.to_dict())}")
        try:
            self.network = HubertModel(HubertConfig(**(LARGE | dict(config or {}))))
        except Exception as error:  # the library checks types and sizes in several ways
            raise RecipeError(f"encoder {NAME!r} cannot be built from {dict(config or {})}: {error}") from error
        self.channels = self.network.config.hidden_size
        self.build_options = {"encoder": NAME}

    def forward(self, x: Float[Tensor, "b 1 2 s"]) -> Float[Tensor, "b c 1 t"]:
        """Compute the features of waveforms; nothing is masked, padding counts as sound.

        Args:
            x: (b, 1, 2, s) inputs of the preset `hubert`, of which the first row, the samples, is used.

        Returns:
            (b, c, 1, t) features of t frames of 20 ms, with t = `count_frames(s)`.
        """
        return self.network(x[:, 0, 0]).last_hidden_state.mT[:, :, None]

    def count_frames(self, samples: int) -> int:
        """Return the number of frames of a waveform.

        Args:
            samples: number of samples.

        Returns:
            Number of frames; 0 or less for a waveform that is too short.
        """
        config = self.network.config
        for kernel, stride in zip(config.conv_kernel, config.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples

    def check_front_end(self, spec: ImageSpec | AudioSpec) -> None:
        """Raise RecipeError for a front end other than waveforms of 16 kHz.

        Args:
            spec: preprocessing of audio.

        Raises:
            RecipeError: the audio is no `waveform` of 16 kHz, or shorter than a frame.
        """
        assert isinstance(spec, AudioSpec)
        check_preset(NAME, spec, NAME)
        if self.count_frames(spec.shape[1]) < 1:
            raise RecipeError(f"encoder {NAME!r}: found windows of {spec.seconds:g} s, shorter than one of its frames")
