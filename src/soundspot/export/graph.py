"""What is exported: a method as one graph, from the pixels of a picture and the samples of a sound to the map."""

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

IMAGE, AUDIO = INPUTS = ("picture", "sound")
ENCODED_IMAGE, ENCODED_AUDIO = ENCODINGS = ("picture_code", "sound_code")
MAP = "map"
MAX_BYTES = 1_900_000_000  # bytes: protobuf, which ONNX files are, ends at 2 GiB


class ImageGraph(nn.Module):
    """The picture encoder, normalisation inside: pictures in [0, 1] to their codes.

    Of methods that look at optical flow its two planes follow the three of RGB, in [0, 1] too.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, image: Float[Tensor, "b i s s"]) -> Float[Tensor, "b ..."]:
        return self.method.encode_images(normalize(image, self.method.front_end.image))


class AudioGraph(nn.Module):
    """The sound encoder, spectrogram inside: the samples of windows at the model's rate to their codes.

    Methods that hear vectors take those in the place of samples.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, audio: Float[Tensor, "b t"]) -> Float[Tensor, "b ..."]:
        spec = self.method.front_end.audio
        heard = audio[:, :, None] if spec.embedding_dim else scaled_power(audio, spec, spec.rate or 0)
        return self.method.encode_audio(heard[:, None])


class MapGraph(nn.Module):
    """Codes to raw maps, picture i with sound i."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(
        self, encoded_image: Float[Tensor, "b ..."], encoded_audio: Float[Tensor, "b ..."]
    ) -> Float[Tensor, "b h w"]:
        return self.method.similarity_map(encoded_image, encoded_audio).float()


def freeze_switches(method: Method) -> Method:
    """A copy in evaluation mode on the CPU whose switches (whole numbers among its buffers) are plain values: a graph
    has no branches, and takes the one that they say."""
    copy = deepcopy(method).cpu().float().eval().requires_grad_(False)
    for module in copy.modules():
        for name, buffer in dict(module.named_buffers(recurse=False)).items():
            if buffer.ndim == 0 and not buffer.is_floating_point():
                delattr(module, name)
                setattr(module, name, int(buffer))
    return copy


def input_length(spec: AudioSpec) -> int:
    """How many numbers the input `sound` takes."""
    return spec.embedding_dim or max(1, round(spec.seconds * (spec.rate or 0)))


def example_inputs(method: Method, b: int = 3) -> tuple[Float[Tensor, "b i s s"], Float[Tensor, "b t"]]:
    """Inputs of the right shapes, noise; the last sound is silence."""
    spec = method.front_end
    chance = torch.Generator().manual_seed(0)
    side = spec.image.size
    pictures = torch.rand(b, spec.image.num_channels, side, side, generator=chance)
    sounds = 0.3 * torch.randn(b, input_length(spec.audio), generator=chance).clamp(-3, 3)
    sounds[-1] = 0
    return pictures, sounds


def check_exportable(localizer: Localizer) -> None:
    """Raise InputError for a localizer that cannot be exported, and say why; cheap, for before all work."""
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
    held = sum(one.numel() * one.element_size() for one in localizer.method.state_dict().values())
    if held > MAX_BYTES:
        raise InputError(
            f"{name}: its weights take {format_bytes(held)}, and an ONNX file holds {format_bytes(MAX_BYTES)} at most. Export a "
            "model with smaller encoders."
        )
