"""A method made easy to use: an image and audio of any kind in, a LocalizationMap out. Encode once, predict often."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor

from soundspot.config.checkpoint import load_checkpoint
from soundspot.config.refinement import Refinement
from soundspot.config.schema import describe_supervision
from soundspot.data.media.audio import as_audio
from soundspot.data.media.image import as_image
from soundspot.data.media.optical_flow import as_flow, compute_optical_flow
from soundspot.data.media.vectors import as_vector
from soundspot.errors import InputError
from soundspot.inference.batch_localizer import NO_FLOW_WARNING, BatchLocalizer, Features, ImageInput, Precision
from soundspot.inference.multi_sound import MultiSoundResult, name_audios
from soundspot.inference.result import LocalizationMap
from soundspot.types import Audio, ImageWithFlow

if TYPE_CHECKING:
    from soundspot.inference.video.predictor import LocatedVideo


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """An image that was encoded once, for many predictions.

    Attributes:
        features: (1, ...) features of the method.
        image: the image itself, to draw on.
        notes: sentences for a reader of the results.
    """

    features: Features
    image: Image.Image
    notes: tuple[str, ...] = ()


class Localizer(BatchLocalizer):
    """Locate sounds in images and videos with a trained method. Callable: `localizer(image, audio)`.

    Arguments and attributes are those of `BatchLocalizer`.
    """

    @classmethod
    def load(
        cls, model: str | Path | None = None, device: str = "cpu", precision: Precision = "float32", **refinement: Any
    ) -> "Localizer":
        """Return the localizer of a checkpoint, with the presence threshold that was fitted for it, if any.

        A threshold that was fitted on maps with another refinement, or with none, is not used: `present` is None then,
        and a note says why.

        Args:
            model: a .safetensors file that `soundspot train` wrote, or one on the Hugging Face hub: `hub:OWNER/NAME`
                (its model.safetensors) or `hub:OWNER/NAME/FILE` (extra `hub`).
            device: as for `BatchLocalizer`.
            precision: as for `BatchLocalizer`.
            refinement: `refine`, `alpha`, `prior`, as for `BatchLocalizer`.

        Returns:
            A localizer on `device`.

        Raises:
            InputError: no model is named. CheckpointError: the file is not a checkpoint of this library.
        """
        if model is None:
            raise InputError(
                "found no model, expected one: none comes with the library yet. Name a checkpoint that "
                "`soundspot train` or `soundspot demo` wrote: --model FILE, in Python load(FILE)"
            )
        if str(model).startswith("hub:"):
            from soundspot.inference.mining.hub import fetch_checkpoint

            model = fetch_checkpoint(str(model).removeprefix("hub:"))
        method, header = load_checkpoint(model)
        localizer = cls(method, None, device, precision, **refinement)
        localizer.checkpoint = os.path.abspath(model)
        threshold = header.get("threshold")
        fitted_on = Refinement.from_dict((header.get("calibration") or {}).get("refinement"))
        if threshold is not None and fitted_on != localizer.refinement:
            localizer.notes += (localizer.refinement.threshold_mismatch_warning(fitted_on),)
        else:
            localizer.threshold = threshold
        localizer.supervision = describe_supervision(header.get("recipe") or {})
        localizer.classes = tuple(map(str, header.get("classes") or ()))
        return localizer

    def locate(self, image: Any, audio: Any, flow: Any = None, next_frame: Any = None) -> LocalizationMap:
        """Locate the source of a sound in an image.

        Args:
            image: path, PIL image, array or tensor.
            audio: path, `Audio`, or (waveform, rate); where the method takes embeddings, one embedding (d,).
            flow: as for `encode_image`.
            next_frame: as for `encode_image`.

        Returns:
            The map of the sound in the image.
        """
        return self.predict(self.encode_image(image, flow, next_frame), audio)

    __call__ = locate

    def encode_image(self, image: Any, flow: Any = None, next_frame: Any = None) -> EncodedImage:
        """Encode an image once, to `predict` the maps of many sounds in it.

        Args:
            image: path, PIL image, array or tensor.
            flow: optical flow for methods that use it, (2, h, w) in pixels per frame, to the right and down.
            next_frame: or the next frame, of which the flow is computed (extra `flow`). With neither, the image counts
                as standing still. Methods without optical flow ignore both.

        Returns:
            The encoded image.
        """
        still, spec = as_image(image), self.front_end.image
        model_input: ImageInput = still
        if spec.flow and flow is not None:
            model_input = ImageWithFlow(still, as_flow(flow))
        elif spec.flow and next_frame is not None:
            model_input = ImageWithFlow(still, compute_optical_flow(still, as_image(next_frame)))
        notes = (NO_FLOW_WARNING,) if spec.flow and model_input is still else ()
        return EncodedImage(self.encode_images([model_input]), still, notes)

    def predict(self, encoded: EncodedImage, audio: Any) -> LocalizationMap:
        """Locate the source of a sound in an image that is encoded already.

        Args:
            encoded: of `encode_image`.
            audio: as for `locate`.

        Returns:
            The map of the sound in the image.
        """
        audio = self._as_input(audio)
        scores = self.maps(encoded.features, self.encode_audio([audio]))[0]
        return self._make_result(scores, encoded, audio)

    def locate_each(self, image: Any, audios: Mapping[str, Any] | Sequence[Any]) -> MultiSoundResult:
        """Locate each of several given sounds in one image.

        Args:
            image: as for `locate`, or encoded already.
            audios: each as for `locate`; by name, or in a list, where files are called by their names.

        Returns:
            The map of each sound by name, which draws itself side by side and in one image.
        """
        named = name_audios(audios)
        encoded = image if isinstance(image, EncodedImage) else self.encode_image(image)
        return MultiSoundResult({name: self.predict(encoded, audio) for name, audio in named.items()})

    def locate_sources(self, image: Any, audio: Any) -> tuple[LocalizationMap, ...]:
        """Locate each audible source of a mixture in an image.

        Args:
            image: as for `locate`, or encoded already.
            audio: as for `locate`, of a mixture.

        Returns:
            A map for each source, in no order, with its `category` where the method has a map for each class of its
            training labels. One map, where the method does not tell sources apart (`Method.locate_sources`).
        """
        encoded = image if isinstance(image, EncodedImage) else self.encode_image(image)
        audio = self._as_input(audio)
        maps, is_audible = self.source_maps(encoded.features, self.encode_audio([audio]))
        has_classes = getattr(self.method, "classes", 0) == len(self.classes) == maps.shape[1]
        categories = self.classes if has_classes else [None] * maps.shape[1]
        return tuple(
            replace(self._make_result(scores, encoded, audio), category=category)
            for scores, audible, category in zip(maps[0], is_audible[0], categories, strict=True)
            if audible
        )

    def locate_video(self, path: str | Path, audio: Any = None, **options: Any) -> "LocatedVideo":
        """Locate the sound in each frame of a video of any length; frames are read while one iterates over the result.

        Args:
            path: a video that FFmpeg reads.
            audio: replaces the video's own sound; as for `LocatedVideo`.
            options: `maps_per_second`, `smooth`, `audio_hop`, as for `LocatedVideo`.

        Returns:
            An iterable of `FrameResult`, with `save`.
        """
        from soundspot.inference.video.predictor import LocatedVideo

        return LocatedVideo(self, path, audio, **options)

    def _as_input(self, audio: Any) -> Audio | Tensor:
        width = self.front_end.audio.embedding_dim
        return as_vector(audio, width) if width else as_audio(audio)

    def _make_result(self, scores: Tensor, encoded: EncodedImage, audio: Audio | Tensor) -> LocalizationMap:
        notes = (*self.notes, *encoded.notes)
        is_silent = isinstance(audio, Audio) and audio.is_silent
        if is_silent:
            notes += ("The sound is silent: the map shows what the model makes of the image alone.",)
        if isinstance(audio, Audio):
            notes += self.short_audio_notes(audio)
        return self.make_result(scores, encoded.image, is_silent, notes)


load = Localizer.load  # `soundspot.load`
