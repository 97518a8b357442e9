"""What is exported: a method as one graph, from the pixels of a picture and the samples of a sound to the map."""

from copy import deepcopy

import torch
from jaxtyping import Float
from torch import Tensor, nn

from whence.data.image import normalise
from whence.data.spectrogram import scaled_power
from whence.errors import InputError
from whence.frontend import AudioSpec
from whence.inference.localizer import Localizer
from whence.methods.base import Method
from whence.output import in_bytes

PICTURE, SOUND = INPUTS = ("picture", "sound")
PICTURE_CODE, SOUND_CODE = CODES = ("picture_code", "sound_code")
MAP = "map"
LARGEST = 1_900_000_000  # bytes: protobuf, which ONNX files are, ends at 2 GiB


class Seeing(nn.Module):
    """The picture encoder, normalisation inside: pictures in [0, 1] to their codes.

    Of methods that look at optical flow its two planes follow the three of RGB, in [0, 1] too.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, picture: Float[Tensor, "b i s s"]) -> Float[Tensor, "b ..."]:
        return self.method.encode_images(normalise(picture, self.method.front_end.image))


class Hearing(nn.Module):
    """The sound encoder, spectrogram inside: the samples of windows at the model's rate to their codes.

    Methods that hear vectors take those in the place of samples.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(self, sound: Float[Tensor, "b t"]) -> Float[Tensor, "b ..."]:
        spec = self.method.front_end.audio
        heard = sound[:, :, None] if spec.vector else scaled_power(sound, spec, spec.rate or 0)
        return self.method.encode_sounds(heard[:, None])


class Comparing(nn.Module):
    """Codes to raw maps, picture i with sound i."""

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method

    def forward(
        self, picture_code: Float[Tensor, "b ..."], sound_code: Float[Tensor, "b ..."]
    ) -> Float[Tensor, "b h w"]:
        return self.method.compare(picture_code, sound_code).float()


def settled(method: Method) -> Method:
    """A copy in evaluation mode on the CPU whose switches (whole numbers among its buffers) are plain values: a graph
    has no branches, and takes the one that they say."""
    copy = deepcopy(method).cpu().float().eval().requires_grad_(False)
    for module in copy.modules():
        for name, buffer in dict(module.named_buffers(recurse=False)).items():
            if buffer.ndim == 0 and not buffer.is_floating_point():
                delattr(module, name)
                setattr(module, name, int(buffer))
    return copy


def samples(spec: AudioSpec) -> int:
    """How many numbers the input `sound` takes."""
    return spec.vector or max(1, round(spec.seconds * (spec.rate or 0)))


def example(method: Method, b: int = 3) -> tuple[Float[Tensor, "b i s s"], Float[Tensor, "b t"]]:
    """Inputs of the right shapes, noise; the last sound is silence."""
    spec = method.front_end
    chance = torch.Generator().manual_seed(0)
    side = spec.image.size
    pictures = torch.rand(b, spec.image.planes, side, side, generator=chance)
    sounds = 0.3 * torch.randn(b, samples(spec.audio), generator=chance).clamp(-3, 3)
    sounds[-1] = 0
    return pictures, sounds


def refuse(localizer: Localizer) -> None:
    """Raise InputError for a localizer that cannot be exported, and say why; cheap, for before all work."""
    name, spec = localizer.name, localizer.method.front_end.audio
    if localizer.refinement:
        raise InputError(
            f"{localizer.title}: refined maps are not exported, since the refinement is no part of the model. Export "
            "without it, and mix the maps afterwards."
        )
    if not spec.rate and not spec.vector:
        raise InputError(
            f"{name}: its front end keeps each file's own rate, and a graph needs one. Set `rate` of its AudioSpec "
            "(16000 is what the released front ends come to), and export again."
        )
    held = sum(one.numel() * one.element_size() for one in localizer.method.state_dict().values())
    if held > LARGEST:
        raise InputError(
            f"{name}: its weights take {in_bytes(held)}, and an ONNX file holds {in_bytes(LARGEST)} at most. Export a "
            "model with smaller encoders."
        )
