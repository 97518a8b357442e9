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

from soundspot.config.checkpoint import load_checkpoint
from soundspot.config.refinement import Refinement
from soundspot.config.schema import describe_supervision
from soundspot.data.datasets.auxiliary import read_audio_embedding, read_image_with_flow
from soundspot.data.media.audio import as_audio
from soundspot.data.media.image import as_image, preprocess_images, visible_region
from soundspot.data.media.optical_flow import as_flow, compute_optical_flow, flow_to_image
from soundspot.data.media.vectors import as_vector
from soundspot.data.transforms.spectrogram import preprocess_audio
from soundspot.inference.multi_sound import MultiSoundResult, name_audios
from soundspot.inference.refinement import (
    FeaturesWithPrior,
    ObjectPrior,
    check_alpha,
    mix_maps,
    parse_refinements,
    renormalize_for_imagenet,
)
from soundspot.inference.result import LocalizationMap
from soundspot.inference.warnings import NO_FLOW_WARNING, audio_warnings
from soundspot.methods.base import Method
from soundspot.types import Audio, AudioVisualDataset, ImageWithFlow
from soundspot.utils.device import resolve_device

if TYPE_CHECKING:
    from soundspot.inference.video.predictor import LocatedVideo

Precision = Literal["float32", "bfloat16"]


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """A picture as the method sees it, encoded: (1, ...) features, the picture for the overlay, and what to note."""

    features: Tensor | FeaturesWithPrior
    image: Image.Image
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
        refine: what maps are mixed with that heard nothing, `iqr` or `ogl` or both (`soundspot.inference.refinement`): none.
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
        names = parse_refinements(refine, method)
        check_alpha(alpha)
        self.device = resolve_device(device)
        self.method = method.to(self.device)
        self.threshold = threshold
        self.precision = precision
        self._warned = False
        self.name = method.name
        self.prior = ObjectPrior(prior).to(self.device) if "ogl" in names else None
        self.refinement = (
            Refinement(names, alpha, self.prior.weights_hash if self.prior else "") if names else Refinement()
        )
        self.title = self.refinement.extend_model_name(self.name)
        self.supervision: tuple[str, ...] = ()
        self.classes: tuple[str, ...] = ()
        self.checkpoint = ""
        self.notes: tuple[str, ...] = (self.refinement.warning,) if self.refinement else ()

    @classmethod
    def load(
        cls, path: str | Path, device: str = "cpu", precision: Precision = "float32", **refinement: Any
    ) -> "Localizer":
        """The localizer of a checkpoint, with the threshold fitted for it, if any.

        A threshold that was fitted on maps refined in another way, or not at all, is not used: maps do not say then
        whether a source is present, and a note says why.

        Args:
            path: a .safetensors file that `soundspot train` wrote, or one on the Hugging Face hub: `hub:OWNER/NAME` (its
                model.safetensors) or `hub:OWNER/NAME/FILE` (extra `hub`).
            refinement: `refine`, `alpha`, `prior`.
        """
        if str(path).startswith("hub:"):
            from soundspot.inference.mining.hub import fetch_checkpoint

            path = fetch_checkpoint(str(path).removeprefix("hub:"))
        method, header = load_checkpoint(path)
        localizer = cls(method, None, device, precision, **refinement)
        localizer.checkpoint = os.path.abspath(path)
        threshold = header.get("threshold")
        fitted = Refinement.from_dict((header.get("calibration") or {}).get("refinement"))
        if threshold is not None and fitted != localizer.refinement:
            localizer.notes += (localizer.refinement.threshold_mismatch_warning(fitted),)
        else:
            localizer.threshold = threshold
        localizer.supervision = describe_supervision(header.get("recipe") or {})
        localizer.classes = tuple(map(str, header.get("classes") or ()))
        return localizer

    # One picture, one sound.

    def locate(self, image: Any, audio: Any, flow: Any = None, next_frame: Any = None) -> LocalizationMap:
        """Where in `image` the sound comes from.

        Args:
            image: path, PIL image, array or tensor.
            audio: path, Sound, or (waveform, rate); where the method hears vectors, one such vector.
            flow, after: as `encode_image` has them.
        """
        return self.predict(self.encode_image(image, flow, next_frame), audio)

    __call__ = locate

    def encode_image(self, image: Any, flow: Any = None, next_frame: Any = None) -> EncodedImage:
        """Encode a picture once, to `hear` many sounds with it.

        Args:
            flow: for methods that look at optical flow, (2, h, w) pixels a frame, to the right and down.
            after: or the next frame, of which the flow is computed (extra `flow`). Without either the picture counts as
                standing still. Other methods see neither.
        """
        picture, spec = as_image(image), self.method.front_end.image
        shown: Image.Image | ImageWithFlow = picture
        if spec.flow and flow is not None:
            shown = ImageWithFlow(picture, as_flow(flow))
        elif spec.flow and next_frame is not None:
            shown = ImageWithFlow(picture, compute_optical_flow(picture, as_image(next_frame)))
        notes = (NO_FLOW_WARNING,) if spec.flow and shown is picture else ()
        with self._asking():
            return EncodedImage(self._see([shown]), picture, notes)

    def predict(self, encoded: EncodedImage, audio: Any) -> LocalizationMap:
        """Where in an encoded picture the sound comes from."""
        heard = self._heard(audio)
        return self._told(encoded, heard, self.maps(encoded.features, self.encode_audio([heard]))[0])

    def locate_each(self, image: Any, audios: Mapping[str, Any] | Sequence[Any]) -> MultiSoundResult:
        """Where in one picture each of several sounds comes from: a map of each, and all in one picture.

        Args:
            image: as `locate` has it, or encoded already.
            sounds: each as `locate` has it; by name, or in a list, where files are called by their names.
        """
        asked = name_audios(audios)
        code = image if isinstance(image, EncodedImage) else self.encode_image(image)
        return MultiSoundResult({name: self.predict(code, sound) for name, sound in asked.items()})

    def locate_sources(self, image: Any, audio: Any) -> tuple[LocalizationMap, ...]:
        """Where in `image` each source of a mixture is, of those that are heard in it; in no order.

        One map for a method that does not tell sources apart (`Method.sources`). Of one that has a map for each class
        of the labels that it was trained with, each says its class. Arguments are as `locate` has them; a picture may
        be encoded already.
        """
        code = image if isinstance(image, EncodedImage) else self.encode_image(image)
        heard = self._heard(audio)
        maps, there = self.source_maps(code.features, self.encode_audio([heard]))
        classed = getattr(self.method, "classes", 0) == len(self.classes) == maps.shape[1]
        names = self.classes if classed else [None] * maps.shape[1]
        told = zip(maps[0], there[0], names, strict=True)
        return tuple(replace(self._told(code, heard, one), category=name) for one, sounds, name in told if sounds)

    def locate_video(self, path: str | Path, audio: Any = None, **how: Any) -> "LocatedVideo":
        """Where the sound comes from in each picture of a video of any length; nothing is read before it is asked for.

        Args:
            path, sound, how: as `soundspot.inference.video.predictor.LocatedVideo` has them.
        """
        from soundspot.inference.video.predictor import LocatedVideo

        return LocatedVideo(self, path, audio, **how)

    def _heard(self, audio: Any) -> Any:
        vector = self.method.front_end.audio.embedding_dim
        return as_vector(audio, vector) if vector else as_audio(audio)

    def _told(self, code: EncodedImage, heard: Any, scores: Float[Tensor, "h w"]) -> LocalizationMap:
        picture, spec = code.image, self.method.front_end
        recording = heard if isinstance(heard, Audio) else None
        return LocalizationMap(
            scores,
            size=(picture.height, picture.width),
            upsampling=self.method.upsampling,
            region=visible_region(picture.size, spec.image),
            image=picture,
            threshold=self.threshold,
            is_silent=recording is not None and recording.is_silent,
            notes=(*self.notes, *code.notes, *(audio_warnings(recording, spec.audio.seconds) if recording else ())),
        )

    # Many at once: what evaluation calls. Rows of the results are rows of the arguments.

    @property
    def takes_waveforms(self) -> bool:
        """Whether sounds are recordings, and not vectors that another network made of them."""
        return not self.method.front_end.audio.embedding_dim

    def read_image(self, data: AudioVisualDataset, index: int) -> Image.Image | ImageWithFlow:
        """What the method is shown of a clip: its picture, with its flow where that is looked at."""
        return read_image_with_flow(data, index) if self.method.front_end.image.flow else data.read_image(index)

    def read_audio(self, data: AudioVisualDataset, index: int) -> Audio | Float[Tensor, " d"]:
        """What the method hears of a clip: its sound, or the vector in its place."""
        vector = self.method.front_end.audio.embedding_dim
        return read_audio_embedding(data, index, vector) if vector else data.read_audio(index)

    def encode_images(self, images: Sequence[Image.Image | ImageWithFlow]) -> Tensor | FeaturesWithPrior:
        """Features of each picture, (b, ...) on the localizer's device; rows are pictures."""
        with self._asking():
            return self._see(images)

    def encode_audio(self, audio: Sequence[Audio | Tensor]) -> Float[Tensor, "b ..."]:
        """The code of each sound, one vector for most methods, on the localizer's device."""
        with self._asking():
            return self.method.encode_audio(self._spectrograms(audio))

    def maps(
        self, encoded_images: Tensor | FeaturesWithPrior, encoded_audio: Float[Tensor, "b ..."]
    ) -> Float[Tensor, "b h w"]:
        """Raw maps of picture i with sound i, refined if that was asked for: float32, on the CPU."""
        with self._asking():
            maps = self.method.similarity_map(_features(encoded_images), encoded_audio)
            return self._refined(maps[:, None], encoded_images)[:, 0].float().cpu()

    def source_maps(
        self, encoded_images: Tensor | FeaturesWithPrior, encoded_audio: Float[Tensor, "b ..."]
    ) -> tuple[Float[Tensor, "b k h w"], Bool[Tensor, "b k"]]:
        """Raw maps of each source of mixture i in picture i, refined likewise, and which are heard; on the CPU."""
        with self._asking():
            maps, heard = self.method.locate_sources(_features(encoded_images), encoded_audio)
            return self._refined(maps, encoded_images).float().cpu(), heard.cpu()

    def _refined(
        self, maps: Float[Tensor, "b k h w"], image_codes: Tensor | FeaturesWithPrior
    ) -> Float[Tensor, "b k i j"]:
        """Each of a picture's maps mixed with what was asked for."""
        if not self.refinement:
            return maps
        others = [self.method.saliency(_features(image_codes))] if "iqr" in self.refinement.names else []
        others += [image_codes.object_prior] if isinstance(image_codes, FeaturesWithPrior) else []
        each = [one.repeat_interleave(maps.shape[1], dim=0) for one in others]
        alpha, readout, size = self.refinement.alpha, self.method.upsampling, self.method.front_end.image.size
        return mix_maps(maps.flatten(0, 1), each, alpha, readout, size).unflatten(0, maps.shape[:2])

    def saliency(self, encoded_images: Tensor | FeaturesWithPrior) -> Float[Tensor, "b h w"]:
        """Maps made from the same features without any sound: float32, on the CPU."""
        with self._asking():
            return self.method.saliency(_features(encoded_images)).float().cpu()

    def embed_images(self, images: Sequence[Image.Image | ImageWithFlow]) -> Float[Tensor, "b d"]:
        """Unit-norm vectors for retrieval, to be compared with `embed_sounds`: float32, on the CPU."""
        return self.embed_pixels(self._pixels(images))

    def embed_audio(self, audio: Sequence[Audio | Tensor]) -> Float[Tensor, "b d"]:
        """Unit-norm vectors for retrieval: float32, on the CPU."""
        return self.embed_spectrograms(self._spectrograms(audio))

    def embed_pixels(self, pixels: Float[Tensor, "b i s s"]) -> Float[Tensor, "b d"]:
        """`embed_images` of pictures that `prepare_images` has made ready, elsewhere perhaps."""
        with self._asking():
            return self.method.embed_images(pixels.to(self.device)).float().cpu()

    def embed_spectrograms(self, spectrograms: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """`embed_sounds` of sounds that `prepare_sounds` has made ready."""
        with self._asking():
            return self.method.embed_audio(spectrograms.to(self.device)).float().cpu()

    def embed_objects(
        self, images: Sequence[Image.Image | ImageWithFlow], audio: Sequence[Audio]
    ) -> Float[Tensor, "b d"]:
        """One vector of what sounds in picture i, asked with sound i (`Method.objects`): float32, on the CPU."""
        with self._asking():
            return self.method.object_embedding(self._pixels(images), self._spectrograms(audio)).float().cpu()

    def _see(self, pictures: Sequence[Image.Image | ImageWithFlow]) -> Tensor | FeaturesWithPrior:
        pixels = self._pixels(pictures)
        features = self.method.encode_images(pixels)
        return (
            features
            if self.prior is None
            else FeaturesWithPrior(features, self.prior(renormalize_for_imagenet(pixels, self.method.front_end.image)))
        )

    def _pixels(self, pictures: Sequence[Image.Image | ImageWithFlow]) -> Float[Tensor, "b i s s"]:
        spec = self.method.front_end.image
        plain = [one.image if isinstance(one, ImageWithFlow) else one for one in pictures]
        if not spec.flow:
            return preprocess_images(plain, spec).to(self.device)
        if not self._warned and not all(isinstance(one, ImageWithFlow) for one in pictures):
            self._warned = True
            warnings.warn(NO_FLOW_WARNING, stacklevel=4)
        flows = [
            flow_to_image(one.flow) if isinstance(one, ImageWithFlow) else Image.new("RGB", one.size)
            for one in pictures
        ]
        return preprocess_images(plain, spec, flows).to(self.device)

    def _spectrograms(self, sounds: Sequence[Audio | Tensor]) -> Float[Tensor, "b 1 f t"]:
        spec = self.method.front_end.audio
        recordings = [one for one in sounds if isinstance(one, Audio)]
        if recordings or not spec.embedding_dim:
            return preprocess_audio(recordings, spec).to(self.device)
        vectors = [as_vector(one, spec.embedding_dim) for one in sounds]
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


def _features(codes: Tensor | FeaturesWithPrior) -> Tensor:
    return codes.features if isinstance(codes, FeaturesWithPrior) else codes


load = Localizer.load  # `soundspot.load`
