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
    """One subgraph of a method in evaluation mode."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method


class ImageGraph(_Graph):
    """Image encoder with normalization inside."""

    def forward(self, image: Float[Tensor, "b i s s"]) -> Float[Tensor, "b ..."]:
        """Encode images.

        Args:
            image: (b, 3, s, s) in [0, 1]; for methods with optical flow (b, 5, s, s), its two channels in [0, 1] too.

        Returns:
            (b, ...) encoded images.
        """
        return self.method.encode_images(normalize(image, self.method.front_end.image))


class AudioGraph(_Graph):
    """Audio encoder with the spectrogram inside."""

    def forward(self, audio: Float[Tensor, "b t"]) -> Float[Tensor, "b ..."]:
        """Encode audio.

        Args:
            audio: (b, t) samples of a window at the model's rate; embeddings for methods that take those.

        Returns:
            (b, ...) encoded audio.
        """
        spec = self.method.front_end.audio
        is_embedding = spec.embedding_dim > 0
        x = audio[:, :, None] if is_embedding else scaled_power(audio, spec, spec.rate or 0)
        return self.method.encode_audio(x[:, None])


class MapGraph(_Graph):
    """Similarity map of encoded images and encoded audio."""

    def forward(
        self, encoded_image: Float[Tensor, "b ..."], encoded_audio: Float[Tensor, "b ..."]
    ) -> Float[Tensor, "b h w"]:
        """Compute raw maps.

        Args:
            encoded_image: from `ImageGraph`.
            encoded_audio: from `AudioGraph`; row i belongs to image i.

        Returns:
            (b, h, w) raw maps in float32.
        """
        return self.method.similarity_map(encoded_image, encoded_audio).float()


def freeze_switches(method: Method) -> Method:
    """Copy a method for export: a graph has no branches, so switches (integer buffers) become constants.

    Args:
        method: in any mode, on any device.

    Returns:
        A copy in evaluation mode, in float32 on the CPU.
    """
    copy = deepcopy(method).cpu().float().eval().requires_grad_(False)
    for module in copy.modules():
        for name, buffer in dict(module.named_buffers(recurse=False)).items():
            if buffer.ndim == 0 and not buffer.is_floating_point():
                delattr(module, name)
                setattr(module, name, int(buffer))
    return copy


def input_length(spec: AudioSpec) -> int:
    """Return the number of samples of the input `audio`, or the width of embeddings in their place.

    Args:
        spec: audio preprocessing of the method.

    Returns:
        t of (b, t).
    """
    return spec.embedding_dim or max(1, round(spec.seconds * (spec.rate or 0)))


def example_inputs(method: Method, b: int = 3) -> tuple[Float[Tensor, "b i s s"], Float[Tensor, "b t"]]:
    """Make inputs of noise; the last audio is silence.

    Args:
        method: whose front end says the shapes.
        b: number of samples.

    Returns:
        (b, i, s, s) images and (b, t) audio.
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
        localizer: to be exported.

    Raises:
        InputError: it refines maps, keeps each file's own sample rate, or is too large.
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
    size = sum(weight.numel() * weight.element_size() for weight in localizer.method.state_dict().values())
    if size > MAX_BYTES:
        raise InputError(
            f"{name}: its weights take {format_bytes(size)}, and an ONNX file holds {format_bytes(MAX_BYTES)} at most. "
            "Export a model with smaller encoders."
        )
