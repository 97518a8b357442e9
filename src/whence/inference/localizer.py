"""A method made easy to ask: pictures and sounds of any kind in, a SoundMap out. Encode once, ask with many sounds."""

import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from whence.checkpoint import load_method
from whence.data.audio import as_sound
from whence.data.beside import moving, vector_of
from whence.data.flow import as_flow, flow_picture, optical_flow
from whence.data.image import as_image, prepare_images, region_seen
from whence.data.spectrogram import prepare_sounds
from whence.data.vectors import as_vector
from whence.device import device_of
from whence.inference.guidance import Guided, ObjectPrior, as_classified, chosen, mixed, refuse_alpha
from whence.inference.notes import STILL, notes_of
from whence.inference.separation import Separation, named
from whence.inference.soundmap import SoundMap
from whence.methods.base import Method
from whence.refinement import Refinement
from whence.supervision import supervision
from whence.types import AudioVisualDataset, Moving, Sound

if TYPE_CHECKING:
    from whence.inference.video import LocatedVideo

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, eq=False)
class ImageCode:
    """A picture as the method sees it, encoded: (1, ...) features, the picture for the overlay, and what to note."""

    features: Tensor | Guided
    picture: Image.Image
    notes: tuple[str, ...] = ()


class Localizer:
    """Asks a method where sounds come from, for one picture or for many. Callable: `localizer(image, sound)`.

    The method is moved to `device` and otherwise left as it is: whether it is in training mode and the state of the
    random generators are the same before and after each question.

    Args:
        method: with trained weights.
        threshold: peak from which a source counts as present; None: maps do not say.
        device: `cpu`, `cuda`, `cuda:1`, `mps`..., or `auto` for the best there is.
        precision: `bfloat16` is faster where the machine has it; maps are float32 either way.
        refine: what maps are mixed with that heard nothing, `iqr` or `ogl` or both (`whence.inference.guidance`): none.
            Peaks are no longer raw then, so a threshold is of the refinement that it was fitted with.
        alpha: weight of the sound's map in that. prior: weights of `ogl`'s classifier, `imagenet` or a file.

    Attributes:
        refinement: what maps are mixed with, as a value.
        title: what reports call it: the method, and the refinement.
        notes: what must be told with every result: refined maps, a threshold that is not used.
        supervision: what must be told with every report: people's labels that the model learned from.
        checkpoint: file that it was loaded from; empty where it was made otherwise.
    """

    def __init__(
        self,
        method: Method,
        threshold: float | None = None,
        device: str = "cpu",
        precision: Precision = "float32",
        refine: str | Sequence[str] = (),
        alpha: float = 0.4,
        prior: str = "imagenet",
    ) -> None:
        names = chosen(refine, method)
        refuse_alpha(alpha)
        self.device = device_of(device)
        self.method = method.to(self.device)
        self.threshold = threshold
        self.precision = precision
        self._warned = False
        self.name = method.name
        self.prior = ObjectPrior(prior).to(self.device) if "ogl" in names else None
        self.refinement = Refinement(names, alpha, self.prior.identity if self.prior else "") if names else Refinement()
        self.title = self.refinement.of(self.name)
        self.supervision: tuple[str, ...] = ()
        self.classes: tuple[str, ...] = ()
        self.checkpoint = ""
        self.notes: tuple[str, ...] = (self.refinement.note,) if self.refinement else ()

    @classmethod
    def load(
        cls, path: str | Path, device: str = "cpu", precision: Precision = "float32", **refinement: Any
    ) -> "Localizer":
        """The localizer of a checkpoint, with the threshold fitted for it, if any.

        A threshold that was fitted on maps refined in another way, or not at all, is not used: maps do not say then
        whether a source is present, and a note says why.

        Args:
            path: a .safetensors file that `whence train` wrote, or one on the Hugging Face hub: `hub:OWNER/NAME` (its
                model.safetensors) or `hub:OWNER/NAME/FILE` (extra `hub`).
            refinement: `refine`, `alpha`, `prior`.
        """
        if str(path).startswith("hub:"):
            from whence.inference.hub import fetch_checkpoint

            path = fetch_checkpoint(str(path).removeprefix("hub:"))
        method, header = load_method(path)
        localizer = cls(method, None, device, precision, **refinement)
        localizer.checkpoint = os.path.abspath(path)
        threshold = header.get("threshold")
        fitted = Refinement.from_dict((header.get("calibration") or {}).get("refinement"))
        if threshold is not None and fitted != localizer.refinement:
            localizer.notes += (localizer.refinement.unlike(fitted),)
        else:
            localizer.threshold = threshold
        localizer.supervision = supervision(header.get("recipe") or {})
        localizer.classes = tuple(map(str, header.get("classes") or ()))
        return localizer

    # One picture, one sound.

    def locate(self, image: Any, audio: Any, flow: Any = None, after: Any = None) -> SoundMap:
        """Where in `image` the sound comes from.

        Args:
            image: path, PIL image, array or tensor.
            audio: path, Sound, or (waveform, rate); where the method hears vectors, one such vector.
            flow, after: as `encode_image` has them.
        """
        return self.hear(self.encode_image(image, flow, after), audio)

    __call__ = locate

    def encode_image(self, image: Any, flow: Any = None, after: Any = None) -> ImageCode:
        """Encode a picture once, to `hear` many sounds with it.

        Args:
            flow: for methods that look at optical flow, (2, h, w) pixels a frame, to the right and down.
            after: or the next frame, of which the flow is computed (extra `flow`). Without either the picture counts as
                standing still. Other methods see neither.
        """
        picture, spec = as_image(image), self.method.front_end.image
        shown: Image.Image | Moving = picture
        if spec.flow and flow is not None:
            shown = Moving(picture, as_flow(flow))
        elif spec.flow and after is not None:
            shown = Moving(picture, optical_flow(picture, as_image(after)))
        notes = (STILL,) if spec.flow and shown is picture else ()
        with self._asking():
            return ImageCode(self._see([shown]), picture, notes)

    def hear(self, code: ImageCode, audio: Any) -> SoundMap:
        """Where in an encoded picture the sound comes from."""
        heard = self._heard(audio)
        return self._told(code, heard, self.maps(code.features, self.encode_sounds([heard]))[0])

    def separate(self, image: Any, sounds: Mapping[str, Any] | Sequence[Any]) -> Separation:
        """Where in one picture each of several sounds comes from: a map of each, and all in one picture.

        Args:
            image: as `locate` has it, or encoded already.
            sounds: each as `locate` has it; by name, or in a list, where files are called by their names.
        """
        asked = named(sounds)
        code = image if isinstance(image, ImageCode) else self.encode_image(image)
        return Separation({name: self.hear(code, sound) for name, sound in asked.items()})

    def sources(self, image: Any, audio: Any) -> tuple[SoundMap, ...]:
        """Where in `image` each source of a mixture is, of those that are heard in it; in no order.

        One map for a method that does not tell sources apart (`Method.sources`). Of one that has a map for each class
        of the labels that it was trained with, each says its class. Arguments are as `locate` has them; a picture may
        be encoded already.
        """
        code = image if isinstance(image, ImageCode) else self.encode_image(image)
        heard = self._heard(audio)
        maps, there = self.source_maps(code.features, self.encode_sounds([heard]))
        classed = getattr(self.method, "classes", 0) == len(self.classes) == maps.shape[1]
        names = self.classes if classed else [None] * maps.shape[1]
        told = zip(maps[0], there[0], names, strict=True)
        return tuple(replace(self._told(code, heard, one), category=name) for one, sounds, name in told if sounds)

    def locate_video(self, path: str | Path, sound: Any = None, **how: Any) -> "LocatedVideo":
        """Where the sound comes from in each picture of a video of any length; nothing is read before it is asked for.

        Args:
            path, sound, how: as `whence.inference.video.LocatedVideo` has them.
        """
        from whence.inference.video import LocatedVideo

        return LocatedVideo(self, path, sound, **how)

    def _heard(self, audio: Any) -> Any:
        vector = self.method.front_end.audio.vector
        return as_vector(audio, vector) if vector else as_sound(audio)

    def _told(self, code: ImageCode, heard: Any, scores: Float[Tensor, "h w"]) -> SoundMap:
        picture, spec = code.picture, self.method.front_end
        recording = heard if isinstance(heard, Sound) else None
        return SoundMap(
            scores,
            size=(picture.height, picture.width),
            readout=self.method.readout,
            region=region_seen(picture.size, spec.image),
            picture=picture,
            threshold=self.threshold,
            silent=recording is not None and recording.is_silent,
            notes=(*self.notes, *code.notes, *(notes_of(recording, spec.audio.seconds) if recording else ())),
        )

    # Many at once: what evaluation calls. Rows of the results are rows of the arguments.

    @property
    def hears_recordings(self) -> bool:
        """Whether sounds are recordings, and not vectors that another network made of them."""
        return not self.method.front_end.audio.vector

    def read_picture(self, data: AudioVisualDataset, index: int) -> Image.Image | Moving:
        """What the method is shown of a clip: its picture, with its flow where that is looked at."""
        return moving(data, index) if self.method.front_end.image.flow else data.read_image(index)

    def read_sound(self, data: AudioVisualDataset, index: int) -> Sound | Float[Tensor, " d"]:
        """What the method hears of a clip: its sound, or the vector in its place."""
        vector = self.method.front_end.audio.vector
        return vector_of(data, index, vector) if vector else data.read_sound(index)

    def encode_images(self, pictures: Sequence[Image.Image | Moving]) -> Tensor | Guided:
        """Features of each picture, (b, ...) on the localizer's device; rows are pictures."""
        with self._asking():
            return self._see(pictures)

    def encode_sounds(self, sounds: Sequence[Sound | Tensor]) -> Float[Tensor, "b ..."]:
        """The code of each sound, one vector for most methods, on the localizer's device."""
        with self._asking():
            return self.method.encode_sounds(self._spectrograms(sounds))

    def maps(self, image_codes: Tensor | Guided, sound_codes: Float[Tensor, "b ..."]) -> Float[Tensor, "b h w"]:
        """Raw maps of picture i with sound i, refined if that was asked for: float32, on the CPU."""
        with self._asking():
            maps = self.method.compare(_features(image_codes), sound_codes)
            return self._refined(maps[:, None], image_codes)[:, 0].float().cpu()

    def source_maps(
        self, image_codes: Tensor | Guided, sound_codes: Float[Tensor, "b ..."]
    ) -> tuple[Float[Tensor, "b k h w"], Bool[Tensor, "b k"]]:
        """Raw maps of each source of mixture i in picture i, refined likewise, and which are heard; on the CPU."""
        with self._asking():
            maps, heard = self.method.sources(_features(image_codes), sound_codes)
            return self._refined(maps, image_codes).float().cpu(), heard.cpu()

    def _refined(self, maps: Float[Tensor, "b k h w"], image_codes: Tensor | Guided) -> Float[Tensor, "b k i j"]:
        """Each of a picture's maps mixed with what was asked for."""
        if not self.refinement:
            return maps
        others = [self.method.saliency(_features(image_codes))] if "iqr" in self.refinement.names else []
        others += [image_codes.objects] if isinstance(image_codes, Guided) else []
        each = [one.repeat_interleave(maps.shape[1], dim=0) for one in others]
        alpha, readout, size = self.refinement.alpha, self.method.readout, self.method.front_end.image.size
        return mixed(maps.flatten(0, 1), each, alpha, readout, size).unflatten(0, maps.shape[:2])

    def saliency(self, image_codes: Tensor | Guided) -> Float[Tensor, "b h w"]:
        """Maps made from the same features without any sound: float32, on the CPU."""
        with self._asking():
            return self.method.saliency(_features(image_codes)).float().cpu()

    def embed_images(self, pictures: Sequence[Image.Image | Moving]) -> Float[Tensor, "b d"]:
        """Unit-norm vectors for retrieval, to be compared with `embed_sounds`: float32, on the CPU."""
        return self.embed_pixels(self._pixels(pictures))

    def embed_sounds(self, sounds: Sequence[Sound | Tensor]) -> Float[Tensor, "b d"]:
        """Unit-norm vectors for retrieval: float32, on the CPU."""
        return self.embed_spectrograms(self._spectrograms(sounds))

    def embed_pixels(self, pixels: Float[Tensor, "b i s s"]) -> Float[Tensor, "b d"]:
        """`embed_images` of pictures that `prepare_images` has made ready, elsewhere perhaps."""
        with self._asking():
            return self.method.image_embedding(pixels.to(self.device)).float().cpu()

    def embed_spectrograms(self, spectrograms: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """`embed_sounds` of sounds that `prepare_sounds` has made ready."""
        with self._asking():
            return self.method.sound_embedding(spectrograms.to(self.device)).float().cpu()

    def embed_objects(self, pictures: Sequence[Image.Image | Moving], sounds: Sequence[Sound]) -> Float[Tensor, "b d"]:
        """One vector of what sounds in picture i, asked with sound i (`Method.objects`): float32, on the CPU."""
        with self._asking():
            return self.method.objects(self._pixels(pictures), self._spectrograms(sounds)).float().cpu()

    def _see(self, pictures: Sequence[Image.Image | Moving]) -> Tensor | Guided:
        pixels = self._pixels(pictures)
        features = self.method.encode_images(pixels)
        return (
            features
            if self.prior is None
            else Guided(features, self.prior(as_classified(pixels, self.method.front_end.image)))
        )

    def _pixels(self, pictures: Sequence[Image.Image | Moving]) -> Float[Tensor, "b i s s"]:
        spec = self.method.front_end.image
        plain = [one.picture if isinstance(one, Moving) else one for one in pictures]
        if not spec.flow:
            return prepare_images(plain, spec).to(self.device)
        if not self._warned and not all(isinstance(one, Moving) for one in pictures):
            self._warned = True
            warnings.warn(STILL, stacklevel=4)
        flows = [flow_picture(one.flow) if isinstance(one, Moving) else Image.new("RGB", one.size) for one in pictures]
        return prepare_images(plain, spec, flows).to(self.device)

    def _spectrograms(self, sounds: Sequence[Sound | Tensor]) -> Float[Tensor, "b 1 f t"]:
        spec = self.method.front_end.audio
        recordings = [one for one in sounds if isinstance(one, Sound)]
        if recordings or not spec.vector:
            return prepare_sounds(recordings, spec).to(self.device)
        vectors = [as_vector(one, spec.vector) for one in sounds]
        return torch.stack(vectors)[:, None, :, None].to(self.device)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Evaluation mode without gradients; afterwards each module is back in the mode it was in."""
        modes = [(module, module.training) for module in self.method.modules()]
        self.method.eval()
        bf16 = self.precision == "bfloat16"
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                yield
        finally:
            for module, training in modes:
                module.training = training


def _features(codes: Tensor | Guided) -> Tensor:
    return codes.features if isinstance(codes, Guided) else codes


load = Localizer.load  # `whence.load`
