"""The exported graphs: a method from the pixels of an image and the samples of audio to the map."""

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.config.frontend import AudioSpec
from soundspot.data.media.image import normalize
from soundspot.data.transforms.spectrogram import scaled_power
from soundspot.errors import InputError
from soundspot.inference.localizer import Localizer
from soundspot.methods.base import Method
from soundspot.utils.atomic_io import format_bytes

IMAGE, AUDIO, MAP = "image", "audio", "map"
ENCODED_IMAGE, ENCODED_AUDIO = ENCODINGS = ("encoded_image", "encoded_audio")
MAX_BYTES = 1_900_000_000  # protobuf, the format of ONNX files, ends at 2 GiB


class _Graph(nn.Module):
    """Subgraph of a method in evaluation mode."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method


class ImageGraph(_Graph):
    """Graph of the image encoder, with normalization inside."""

    def forward(self, image: Float[Tensor, "b i s s"]) -> Float[Tensor, "b ..."]:
        """Encode images.

        Args:
            image: (b, 3, s, s) RGB images in [0, 1], not normalized, with s the `size` of the front end; for methods
                with optical flow (b, 5, s, s), with flow to the right and down, in pixels per frame divided by 255.

        Returns:
            (b, ...) output of the method's `encode_images`, for most methods (b, c, h, w) features.
        """
        return self.method.encode_images(normalize(image, self.method.front_end.image))


class AudioGraph(_Graph):
    """Graph of the audio encoder, with the spectrogram inside."""

    def forward(self, audio: Float[Tensor, "b t"]) -> Float[Tensor, "b ..."]:
        """Encode audio.

        Args:
            audio: (b, t) waveforms of one window at the sample rate of the front end, t of `input_length`; for methods
                with precomputed audio embeddings (b, t) embeddings.

        Returns:
            (b, ...) output of the method's `encode_audio`, for most methods (b, c) embeddings.
        """
        spec = self.method.front_end.audio
        is_embedding = spec.embedding_dim > 0
        x = audio[:, :, None] if is_embedding else scaled_power(audio, spec, spec.rate or 0)
        return self.method.encode_audio(x[:, None])


class MapGraph(_Graph):
    """Graph of the similarity map of encoded images and encoded audio."""

    def forward(
        self, encoded_image: Float[Tensor, "b ..."], encoded_audio: Float[Tensor, "b ..."]
    ) -> Float[Tensor, "b h w"]:
        """Compute raw maps.

        Args:
            encoded_image: (b, ...) output of `ImageGraph`.
            encoded_audio: (b, ...) output of `AudioGraph`; row i belongs to image i.

        Returns:
            (b, h, w) float32 raw maps at the resolution of the image features.
        """
        return self.method.similarity_map(encoded_image, encoded_audio).float()


def freeze_switches(method: Method) -> Method:
    """Copy a method for export: a graph has no branches, so switches (integer buffers) become constants.

    Args:
        method: method in any mode, on any device; it is not changed.

    Returns:
        Copy in evaluation mode, in float32 on the CPU, without gradients; scalar integer buffers are plain ints in it.
    """
    copy = deepcopy(method).cpu().float().eval().requires_grad_(False)
    for module in copy.modules():
        for name, buffer in dict(module.named_buffers(recurse=False)).items():
            if buffer.ndim == 0 and not buffer.is_floating_point():
                delattr(module, name)
                setattr(module, name, int(buffer))
    return copy


def input_length(spec: AudioSpec) -> int:
    """Return the length of the input `audio`: the number of waveform samples, or the dimension of embeddings.

    Args:
        spec: audio preprocessing of the method.

    Returns:
        Length t of the (b, t) input: `seconds` times `rate`, rounded, or `embedding_dim` for methods with embeddings.
    """
    return spec.embedding_dim or max(1, round(spec.seconds * (spec.rate or 0)))


def example_inputs(method: Method, b: int = 3) -> tuple[Float[Tensor, "b i s s"], Float[Tensor, "b t"]]:
    """Generate example inputs of noise from a fixed seed; the last audio is silence.

    Args:
        method: method whose front end determines the shapes.
        b: number of samples.

    Returns:
        (b, i, s, s) images, uniform in [0, 1], with i of 3 or 5, and (b, t) audio in [-0.9, 0.9].
    """
    spec = method.front_end
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(b, spec.image.num_channels, spec.image.size, spec.image.size, generator=generator)
    audio = 0.3 * torch.randn(b, input_length(spec.audio), generator=generator).clamp(-3, 3)
    audio[-1] = 0
    return images, audio


def check_exportable(localizer: Localizer) -> None:
    """Raise InputError for a localizer that cannot be exported; cheap, to be called before all work.

    Args:
        localizer: localizer of the model to export.

    Raises:
        InputError: the localizer refines maps, the front end has inputs of no fixed size (each file's own sample rate,
            length or aspect ratio), or the weights take more than 1.9 GB.
    """
    name, spec = localizer.name, localizer.method.front_end.audio
    if localizer.refinement:
        raise InputError(
            f"{localizer.title}: refined maps are not exported, since the refinement is no part of the model. Export "
            "without it, and mix the maps afterwards."
        )
    if not spec.rate and not spec.embedding_dim:
        raise InputError(
            f"{name}: its front end keeps each file's own rate, and a graph needs one. Set `rate` of its AudioSpec "
            "(16000 is what the released front ends come to), and export again."
        )
    if not localizer.front_end.has_fixed_shape:
        raise InputError(
            f"{name}: its front end leaves the length of a sound or the shape of an image as it is, and a graph has "
            "one size. Choose a front end that fills the window and crops or squashes (`denseav`), and export again."
        )
    size = sum(weight.numel() * weight.element_size() for weight in localizer.method.state_dict().values())
    if size > MAX_BYTES:
        raise InputError(
            f"{name}: its weights take {format_bytes(size)}, and an ONNX file holds {format_bytes(MAX_BYTES)} at most. "
            "Export a model with smaller encoders."
        )
