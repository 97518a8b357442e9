"""A method made easy to use: an image and audio of any kind in, a LocalizationMap out. Encode once, predict often."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor

from soundspot.config.checkpoint import load_checkpoint
from soundspot.config.frontend import PRESETS
from soundspot.config.named_models import (
    DEFAULT_MODEL,
    RELEASED_MODELS,
    ReleasedModel,
    find_checkpoint,
    is_named_model,
)
from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.config.recording_calibration import read_recording_calibration
from soundspot.config.refinement import Refinement
from soundspot.config.schema import describe_supervision
from soundspot.data.media.audio import as_audio
from soundspot.data.media.image import as_image
from soundspot.data.media.optical_flow import as_flow, compute_optical_flow
from soundspot.data.media.vectors import as_vector
from soundspot.errors import CheckpointError, DataError
from soundspot.inference.batch_localizer import NO_FLOW_WARNING, BatchLocalizer, Features, ImageInput, Precision
from soundspot.inference.contours.load_segmenter import parse_segmenter
from soundspot.inference.contours.trace import ContourTracer
from soundspot.inference.multi_sound import MultiSoundResult, name_audios
from soundspot.inference.result import LocalizationMap
from soundspot.methods.base import Method
from soundspot.models.folding import prepare_for_inference
from soundspot.types import Audio, ImageWithFlow
from soundspot.utils.safe_read import convert_read_errors, has_type

if TYPE_CHECKING:
    from soundspot.inference.video.predictor import LocatedVideo


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """An image that was encoded once, for many predictions.

    Attributes:
        features: (1, ...) features by the method's image encoder, with their object prior where maps are refined by
            `ogl`.
        image: the image itself, RGB, to draw on.
        notes: sentences for a reader of the results.
    """

    features: Features
    image: Image.Image
    notes: tuple[str, ...] = ()


class Localizer(BatchLocalizer):
    """Locate sounds in images and videos with a trained method. Callable: `localizer(image, audio)` is `locate`.

    It has the arguments and attributes of `BatchLocalizer`, and takes single files in place of batches.

    Attributes:
        contour: segmenter that makes contours of the regions of maps; None: no contours.
    """

    contour: str | None = None

    @classmethod
    def load(
        cls,
        model: str | Path | None = None,
        device: str = "cpu",
        precision: Precision = "float32",
        calibration: str | Path | None = None,
        contour: str | None = None,
        **refinement: Any,
    ) -> "Localizer":
        """Load the localizer of a model, with the presence threshold that was fitted for it, if any.

        A threshold that was fitted on maps with another refinement, or with none, is not used: `present` is None then,
        and a note says why.

        Args:
            model: name of a model that comes with the library (`list_models`), path of a .safetensors file that
                `soundspot train` wrote, or name of a file on the Hugging Face hub: `hub:OWNER/NAME` (its
                model.safetensors) or `hub:OWNER/NAME/FILE` (extra `hub`). `denseav-sound`, `denseav-language` and
                `denseav-sound-language` are fetched from there too; `@demo` and `@vggss` behind them are other ways in
                which the release feeds them. None: the starter model.
            device: `cpu`, `cuda`, `cuda:1`, `mps`..., or `auto`: CUDA, else MPS, else the CPU.
            precision: `float32` or `bfloat16` of the network; maps are float32 either way.
            calibration: path of a calibration for one's own recordings (`soundspot check-results`), whose threshold and
                probability of presence are used in place of the model's own.
            contour: `grabcut` (OpenCV, extra `flow`) or `sam2` (extra `hub`; `sam2:WEIGHTS` for weights of another name
                or in a folder): each region of a map also becomes the contour of an object, `LocalizationMap.contours`,
                which is followed through videos. None: no contours.
            refinement: keyword arguments `refine`, `alpha` and `prior` of `BatchLocalizer`.

        Returns:
            A localizer on `device`.

        Raises:
            InputError: no model has this name, or the device or refinement cannot be used.
            RecipeError: `contour` names no segmenter.
            CheckpointError: the file is missing, cut short, or no checkpoint of this library; or the calibration is of
                another model.
            DataError: the calibration cannot be read.
        """
        own = None if calibration is None else read_recording_calibration(calibration)
        if contour is not None:
            parse_segmenter(contour)
        if isinstance(model, str) and model in RELEASED_MODELS:
            localizer = cls(_load_released(RELEASED_MODELS[model]), None, device, precision, **refinement)
            localizer.checkpoint, localizer.contour = f"hub:{RELEASED_MODELS[model].repository}", contour
            localizer.model_name = model
            if own is not None:
                localizer.use_calibration(own, str(calibration))
            return localizer
        if str(model).startswith("hub:"):
            from soundspot.inference.mining.hub import fetch_checkpoint

            path = fetch_checkpoint(str(model).removeprefix("hub:"))
        else:
            path = find_checkpoint(model)
        method, header = load_checkpoint(path)
        prepare_for_inference(method)
        localizer = cls(method, None, device, precision, **refinement)
        localizer.checkpoint, localizer.contour = os.path.abspath(path), contour
        localizer.model_name = str(model or DEFAULT_MODEL) if is_named_model(model) else ""
        with convert_read_errors(path, "expected a checkpoint whose header this version knows", CheckpointError):
            threshold, video_size = header.get("threshold"), header.get("video_size")
            if not has_type((threshold, video_size), tuple[float | None, int | None]) or (video_size or 1) > 4096:
                raise CheckpointError(
                    f"{path}: its header has the threshold {threshold!r:.60}, video size {video_size!r:.60}"
                )
            fitted = header.get("calibration") or {}
            fitted_on = Refinement.from_dict(fitted.get("refinement"))
            if threshold is not None and fitted_on != localizer.refinement and own is None:
                localizer.notes += (localizer.refinement.threshold_mismatch_warning(fitted_on),)
            elif fitted_on == localizer.refinement:
                localizer.threshold, localizer.codec_spread = threshold, fitted.get("codec_spread")
                try:
                    localizer.calibration = PresenceCalibration.from_dict(fitted.get("presence"))
                except DataError as error:
                    raise CheckpointError(f"{path}: {error}") from error
            localizer.supervision = describe_supervision(header.get("recipe") or {})
            localizer.video_size = video_size
            localizer.classes = tuple(map(str, header.get("classes") or ()))
            localizer.known_categories = tuple(map(str, header.get("retained") or ()))
        if own is not None:
            localizer.use_calibration(own, str(calibration))
        return localizer

    def locate(self, image: Any, audio: Any, flow: Any = None, next_frame: Any = None) -> LocalizationMap:
        """Locate the source of a sound in an image.

        Args:
            image: path, PIL image, (h, w, 3) array or (3, h, w) tensor; uint8, or floats in [0, 1].
            audio: path, `Audio`, or (waveform, rate in Hz); where the method takes embeddings, one embedding (d,).
            flow: (2, h, w) optical flow to the next frame in pixels, to the right and down; None: computed from
                `next_frame`.
            next_frame: next frame of the video, in any form of `image` (extra `flow`). With neither, the image counts
                as standing still. Methods without optical flow ignore both.

        Returns:
            The map of the sound in the image.

        Raises:
            InputError: the image, the audio or the flow cannot be read or used.
        """
        return self.predict(self.encode_image(image, flow, next_frame), audio)

    __call__ = locate

    def encode_image(self, image: Any, flow: Any = None, next_frame: Any = None) -> EncodedImage:
        """Encode an image once, to `predict` the maps of many sounds in it.

        Args:
            image: path, PIL image, (h, w, 3) array or (3, h, w) tensor; uint8, or floats in [0, 1].
            flow: (2, h, w) optical flow to the next frame in pixels, to the right and down; None: computed from
                `next_frame`.
            next_frame: next frame of the video, in any form of `image` (extra `flow`). With neither, the image counts
                as standing still. Methods without optical flow ignore both.

        Returns:
            The encoded image.

        Raises:
            InputError: the image or the flow cannot be read or used.
        """
        still, spec = as_image(image), self.front_end.image
        model_input: ImageInput = still
        if spec.flow and flow is not None:
            model_input = ImageWithFlow(still, as_flow(flow))
        elif spec.flow and next_frame is not None:
            model_input = ImageWithFlow(still, compute_optical_flow(still, as_image(next_frame)))
        self.check_calibration()
        notes = (NO_FLOW_WARNING,) if spec.flow and model_input is still else ()
        return EncodedImage(self.encode_images([model_input]), still, notes)

    def predict(self, encoded: EncodedImage, audio: Any) -> LocalizationMap:
        """Locate the source of a sound in an image that is encoded already.

        Args:
            encoded: image, encoded by `encode_image`.
            audio: path, `Audio`, or (waveform, rate in Hz); where the method takes embeddings, one embedding (d,).

        Returns:
            The map of the sound in the image.

        Raises:
            InputError: the audio cannot be read or used.
        """
        audio = self._as_input(audio)
        scores = self.maps(encoded.features, self.encode_audio([audio]))[0]
        return self._make_result(scores, encoded, audio)

    def locate_each(self, image: Any, audios: Mapping[str, Any] | Sequence[Any]) -> MultiSoundResult:
        """Locate each of several given sounds in one image, which is encoded once.

        Args:
            image: path, PIL image, array, tensor, or an `EncodedImage`.
            audios: sounds, each a path, `Audio`, (waveform, rate in Hz) or embedding (d,): a mapping of names to
                sounds, or a list, where files are called by their file names and all else `sound 1`, `sound 2`...

        Returns:
            The map of each sound by name, which draws itself side by side and in one image.

        Raises:
            InputError: no sound is given, a path in place of a list, or the image or a sound cannot be read.
        """
        named = name_audios(audios)
        encoded = image if isinstance(image, EncodedImage) else self.encode_image(image)
        return MultiSoundResult({name: self.predict(encoded, audio) for name, audio in named.items()})

    def locate_sources(self, image: Any, audio: Any) -> tuple[LocalizationMap, ...]:
        """Locate each audible source of a mixture in an image.

        Args:
            image: path, PIL image, array, tensor, or an `EncodedImage`.
            audio: mixture as a path, `Audio`, (waveform, rate in Hz), or embedding (d,) where the method takes these.

        Returns:
            A map for each audible source, in no order, with its `category` where the method has a map for each class of
            its training labels. One map where the method does not separate sources (`Method.locate_sources`).

        Raises:
            InputError: the image or the audio cannot be read or used.
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
        """Locate the sound in each frame of a video of any length; frames are read during iteration over the result.

        Args:
            path: path of a video that FFmpeg reads.
            audio: sound in place of the video's own, from the first frame on: a path (of audio or video), an `Audio`,
                or (waveform, rate in Hz); None: its own.
            options: keyword arguments of `LocatedVideo`: `maps_per_second` (maps between are interpolated), `smooth`
                (time constant in seconds of a causal average), `audio_hop` (seconds between audio windows),
                `audio_track` (number of the video's audio track, from 0), `size` (side of the network's input) and
                `contour` (in place of the localizer's own).

        Returns:
            An iterable of `FrameResult`, with `save` and `events`.

        Raises:
            InputError: an option out of range, a method that takes no waveforms, or a file that cannot be read.
            VideoError: the file is no video, or has no sound and none is given.
        """
        from soundspot.inference.video.predictor import LocatedVideo

        return LocatedVideo(self, path, audio, **{"contour": self.contour, **options})

    def _as_input(self, audio: Any) -> Audio | Tensor:
        width = self.front_end.audio.embedding_dim
        return as_vector(audio, width) if width else as_audio(audio)

    def _make_result(self, scores: Tensor, encoded: EncodedImage, audio: Audio | Tensor) -> LocalizationMap:
        notes = (*self.notes, *encoded.notes)
        is_silent = isinstance(audio, Audio) and audio.is_silent
        if is_silent:
            notes += ("The sound is silent: the map shows what the model makes of the image alone.",)
        if isinstance(audio, Audio):
            notes += (*audio.notes, *self.short_audio_notes(audio))
        result = self.make_result(scores, encoded.image, is_silent, notes)
        return result if self.contour is None else ContourTracer(self.contour, device=str(self.device)).trace(result)


def _load_released(model: ReleasedModel) -> Method:
    from soundspot.importers import import_checkpoint
    from soundspot.inference.mining.hub import fetch_checkpoint

    fetch_checkpoint(f"{model.repository}/config.json")
    method = import_checkpoint(fetch_checkpoint(model.repository), model.method)
    method.front_end = PRESETS[model.front_end]
    return method


load = Localizer.load  # `soundspot.load`
