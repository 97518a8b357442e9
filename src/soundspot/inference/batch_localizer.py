"""A method run on batches: lists of images and audio in, features, maps and embeddings out. Evaluation calls this."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from soundspot.config.frontend import InputSpec
from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.config.recording_calibration import RecordingCalibration
from soundspot.config.refinement import Refinement
from soundspot.data.datasets.auxiliary import read_audio_embedding, read_image_with_flow
from soundspot.data.media.audio import as_audio
from soundspot.data.media.image import fast_squash, preprocess_images, visible_region
from soundspot.data.media.optical_flow import flow_to_image
from soundspot.data.media.vectors import as_vector
from soundspot.data.transforms.spectrogram import preprocess_audio
from soundspot.errors import InputError
from soundspot.inference.refinement import (
    FeaturesWithPrior,
    ObjectPrior,
    mix_maps,
    parse_refinements,
    renormalize_for_imagenet,
)
from soundspot.inference.result import LocalizationMap
from soundspot.methods.base import Method
from soundspot.models.reuse import reuse_outputs
from soundspot.models.weights import weights_digest
from soundspot.types import Audio, AudioVisualDataset, ImageWithFlow
from soundspot.utils.device import resolve_device

Precision = Literal["float32", "bfloat16"]
ImageInput = Image.Image | ImageWithFlow
Features = Tensor | FeaturesWithPrior

NO_FLOW_WARNING = "No optical flow was given to a method that uses it: the image counts as standing still."


class BatchLocalizer:
    """Run a method on batches of images and audio. Row i of a result belongs to row i of the arguments.

    The method is moved to `device` and otherwise left as it is: its training mode and the state of the random
    generators are the same before and after each call.

    Args:
        method: method with trained weights.
        threshold: raw score from which the peak of a map counts as a present source; None: results do not say.
        device: `cpu`, `cuda`, `cuda:1`, `mps`..., or `auto`: CUDA, else MPS, else the CPU.
        precision: `float32`, or `bfloat16` (autocast), which is faster where the machine has it; maps are float32
            either way.
        refine: refinements that maps are mixed with, `iqr` or `ogl` or both, as a sequence or with commas between (see
            `soundspot.inference.refinement`). Peaks are no longer raw then, so a threshold belongs to the refinement
            that it was fitted with.
        alpha: weight of the sound's map in a refinement, in [0, 1].
        prior: weights of the classifier of `ogl`: `imagenet` (downloaded) or the path of a file.

    Attributes:
        name: name of the method.
        refinement: refinement of maps as a value, falsy where maps are not refined.
        notes: sentences that every result carries: refined maps, a threshold that is not used.
        supervision: sentences for every report: the human labels that the model learned from.
        classes: names of the classes that the method's source maps stand for; empty where they have none.
        known_categories: names of the things that the model learned to locate; empty where its file does not tell.
        codec_spread: how far lossy codecs alone move a peak, measured when the threshold was fitted; None: not known.
        calibration: probability of presence by the peak, fitted with the threshold; None: not known.
        checkpoint: path of the file that the model was loaded from; empty where it was made otherwise.
        model_name: name of a model that comes with the library; empty for others.
        video_size: side of the network's input for videos in pixels, as the checkpoint has it; None: the front end's.

    Raises:
        InputError: `alpha`, `refine` or `device` cannot be used.
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
        if not 0 <= alpha <= 1:
            raise InputError(f"alpha: found {alpha}, expected the weight of the sound's map, from 0 to 1. Correct it.")
        self.device = resolve_device(device)
        self.method = method.to(self.device)
        self.threshold = threshold
        self.codec_spread: float | None = None
        self.calibration: PresenceCalibration | None = None
        self.precision = precision
        self.name = method.name
        self.prior = ObjectPrior(prior).to(self.device) if "ogl" in names else None
        prior_hash = self.prior.weights_hash if self.prior else ""
        self.refinement = Refinement(names, alpha, prior_hash) if names else Refinement()
        self.notes: tuple[str, ...] = (self.refinement.warning,) if self.refinement else ()
        self.supervision: tuple[str, ...] = ()
        self.classes: tuple[str, ...] = ()
        self.known_categories: tuple[str, ...] = ()
        self.checkpoint = ""
        self.model_name = ""
        self.video_size: int | None = None
        self._own: RecordingCalibration | None = None
        self._has_warned = False

    @property
    def front_end(self) -> InputSpec:
        """Front end of the method: how its inputs are computed from images and audio."""
        return self.method.front_end

    @property
    def title(self) -> str:
        """Name in reports: of a model of the library its own, else the method's, with the refinement."""
        return self.refinement.extend_model_name(self.model_name or self.name)

    @cached_property
    def identity(self) -> str:
        """Hash of the weights, the front end and the refinement, on which the peaks of maps depend: 16 digits."""
        return weights_digest(self.method, f"{self.front_end} {self.refinement.as_dict()}")

    def identify(self, size: int | None = None, smooth: float | int = 0) -> str:
        """Return what the peaks of located images or videos depend on.

        Args:
            size: side of the network's input in pixels; None: that of the front end.
            smooth: seconds over which maps of a video are averaged.

        Returns:
            `identity`, and behind it `-SIZE` for another size than the front end's and `-smoothSECONDS`.
        """
        sized = f"-{size}" if size not in (None, self.front_end.image.size) else ""
        return self.identity + sized + (f"-smooth{smooth:g}" if smooth else "")

    def check_calibration(self, model_id: str | None = None) -> None:
        """Raise CheckpointError where a calibration for somebody's own recordings is in use, and is of other results.

        Args:
            model_id: what peaks depend on (`identify`); None: located images.

        Raises:
            CheckpointError: it was fitted to results of another input size or smoothing.
        """
        if self._own is not None:
            self._own.check_model(self.title, model_id or self.identity)

    def use_calibration(self, calibration: RecordingCalibration, source: str = "this calibration") -> None:
        """Replace threshold and probability of presence by those of a calibration for somebody's own recordings.

        Args:
            calibration: calibration of `soundspot check-results`.
            source: name of the calibration for messages, such as its path.

        Raises:
            CheckpointError: it is of another model, or of another refinement.
        """
        calibration.check_model(self.title, self.identity, source, is_size_checked=False)
        self._own = calibration
        self.threshold, self.calibration = calibration.threshold, calibration.presence_calibration

    @property
    def display_name(self) -> str:
        """Name for people: that of a model of the library, else the title with the checkpoint's file name."""
        file = f" ({Path(self.checkpoint).name})" if self.checkpoint else ""
        return self.model_name or self.title + file

    @property
    def takes_waveforms(self) -> bool:
        """True where the audio input is a waveform, False where it is an embedding that another network computed."""
        return not self.front_end.audio.embedding_dim

    def read_image(self, data: AudioVisualDataset, index: int) -> ImageInput:
        """Read the image of a sample, with its optical flow where the method uses it.

        Args:
            data: data set to read from.
            index: position of the sample, from 0.

        Returns:
            RGB image of any size; an `ImageWithFlow` where the front end has optical flow.

        Raises:
            InputError: the image or its flow cannot be read.
            DataError: the method uses optical flow, and the data set has none of the sample.
        """
        return read_image_with_flow(data, index) if self.front_end.image.flow else data.read_image(index)

    def read_audio(self, data: AudioVisualDataset, index: int) -> Audio | Float[Tensor, " d"]:
        """Read the audio of a sample, or its embedding where the method takes embeddings in place of waveforms.

        Args:
            data: data set to read from.
            index: position of the sample, from 0.

        Returns:
            `Audio` at the data set's own rate and length (`encode_audio` resamples and cuts it); or, where
            `takes_waveforms` is False, the (d,) embedding that the data set holds.

        Raises:
            InputError: the audio or the embedding cannot be read.
            DataError: the data set has no embeddings, or this embedding has another length than the method takes.
        """
        width = self.front_end.audio.embedding_dim
        return read_audio_embedding(data, index, width) if width else data.read_audio(index)

    def encode_images(self, images: Sequence[ImageInput], size: int | None = None) -> Features:
        """Encode images.

        Args:
            images: b images of any sizes, as `ImageWithFlow` where the method uses optical flow; an image without it
                counts as standing still, with one warning.
            size: side of the network's input in pixels in place of the front end's, for speed: front ends that squash
                images do so by torch's filter then, which is four times as fast as PIL's. None: the front end's.

        Returns:
            (b, ...) features on the localizer's device; a `FeaturesWithPrior`, with an object prior for each image,
            where maps are refined by `ogl`.
        """
        return self._encode_pixels(self._pixels(images, size))

    def encode_audio(self, audio: Sequence[Audio | Tensor]) -> Float[Tensor, "b ..."]:
        """Encode audio.

        Args:
            audio: b waveforms of any rates and lengths: longer audio is cut to the front end's window, shorter audio
                repeated to fill it. Where the method takes embeddings, b tensors (d,).

        Returns:
            (b, ...) on the localizer's device: one vector (b, c) for most methods.

        Raises:
            InputError: waveforms in place of embeddings or the reverse, or audio that the front end cannot use (several
                rates where it resamples none, or too short).
        """
        return self._encode_spectrograms(self._spectrograms(audio))

    def audio_at(self, encoded_audio: Float[Tensor, "b ..."], position: Float[Tensor, " b"]) -> Float[Tensor, "b ..."]:
        """Select a moment of encoded audio (`Method.audio_at`), for the frames of a video.

        Args:
            encoded_audio: (b, ...) audio, encoded by `encode_audio`.
            position: (b,) fraction of each clip, from 0 to 1.

        Returns:
            (b, ...) encoded audio: by default that of the entire clip.
        """
        with self.inference_mode():
            return self.method.audio_at(encoded_audio, position)

    def maps(self, encoded_images: Features, encoded_audio: Float[Tensor, "b ..."]) -> Float[Tensor, "b h w"]:
        """Compute the map of image i with audio i, mixed with the refinements of the localizer, if any.

        Args:
            encoded_images: b images, encoded by `encode_images`.
            encoded_audio: (b, ...) audio, encoded by `encode_audio`.

        Returns:
            (b, h, w) raw scores at the resolution of the features, float32, on the CPU. Refined maps lie in [0, 1] once
            upsampled, and are as large as the network's input where a refinement has another grid.
        """
        with self.inference_mode():
            maps = self.method.similarity_map(_without_prior(encoded_images), encoded_audio)
            return self._refine(maps[:, None], encoded_images)[:, 0].float().cpu()

    def source_maps(
        self, encoded_images: Features, encoded_audio: Float[Tensor, "b ..."]
    ) -> tuple[Float[Tensor, "b k h w"], Bool[Tensor, "b k"]]:
        """Compute a map for each source of mixture i in image i, mixed with the refinements of the localizer, if any.

        Args:
            encoded_images: b images, encoded by `encode_images`.
            encoded_audio: (b, ...) mixtures, encoded by `encode_audio`.

        Returns:
            (b, k, h, w) raw maps of k sources in no particular order, float32, and (b, k) bool, True for an audible
            source; both on the CPU. k is 1 where the method does not separate sources.
        """
        with self.inference_mode():
            maps, is_audible = self.method.locate_sources(_without_prior(encoded_images), encoded_audio)
            return self._refine(maps, encoded_images).float().cpu(), is_audible.cpu()

    def saliency(self, encoded_images: Features) -> Float[Tensor, "b h w"]:
        """Compute maps from the image alone, never refined.

        Args:
            encoded_images: b images, encoded by `encode_images`.

        Returns:
            (b, h, w) saliency at the resolution of the features, float32, on the CPU.
        """
        with self.inference_mode():
            return self.method.saliency(_without_prior(encoded_images)).float().cpu()

    def embed_images(self, images: Sequence[ImageInput]) -> Float[Tensor, "b d"]:
        """Embed images for retrieval: their cosine with `embed_audio` is the similarity.

        Args:
            images: b images of any sizes, as `ImageWithFlow` where the method uses optical flow.

        Returns:
            (b, d) unit-norm embeddings, float32, on the CPU.
        """
        return self.embed_pixels(self._pixels(images))

    def embed_audio(self, audio: Sequence[Audio | Tensor]) -> Float[Tensor, "b d"]:
        """Embed audio for retrieval: its cosine with `embed_images` is the similarity.

        Args:
            audio: b waveforms of any rates and lengths, or tensors (d,) where the method takes embeddings.

        Returns:
            (b, d) unit-norm embeddings, float32, on the CPU.

        Raises:
            InputError: waveforms in place of embeddings or the reverse, or audio that the front end cannot use (several
                rates where it resamples none, or too short).
        """
        return self.embed_spectrograms(self._spectrograms(audio))

    def encode_and_embed_images(self, images: Sequence[ImageInput]) -> tuple[Features, Float[Tensor, "b d"]]:
        """Encode and embed images; the encoder runs once, and both are what `encode_images` and `embed_images` return.

        Args:
            images: b images of any sizes, as `ImageWithFlow` where the method uses optical flow.

        Returns:
            (b, ...) features, and (b, d) unit-norm embeddings.
        """
        pixels = self._pixels(images)
        with reuse_outputs(self.method):
            return self._encode_pixels(pixels), self.embed_pixels(pixels)

    def encode_and_embed_audio(
        self, audio: Sequence[Audio | Tensor]
    ) -> tuple[Float[Tensor, "b ..."], Float[Tensor, "b d"]]:
        """Encode and embed audio; the encoder runs once, and both are what `encode_audio` and `embed_audio` return.

        Args:
            audio: b waveforms of any rates and lengths, or tensors (d,) where the method takes embeddings.

        Returns:
            (b, ...) encoded audio, and (b, d) unit-norm embeddings.

        Raises:
            InputError: see `encode_audio`.
        """
        spectrograms = self._spectrograms(audio)
        with reuse_outputs(self.method):
            return self._encode_spectrograms(spectrograms), self.embed_spectrograms(spectrograms)

    def embed_pixels(self, pixels: Float[Tensor, "b i h w"]) -> Float[Tensor, "b d"]:
        """Embed images that `preprocess_images` has prepared, perhaps in another process.

        Args:
            pixels: (b, i, h, w) normalized network inputs of i channels.

        Returns:
            (b, d) unit-norm embeddings, float32, on the CPU.
        """
        with self.inference_mode():
            return self.method.embed_images(pixels.to(self.device)).float().cpu()

    def embed_spectrograms(self, spectrograms: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """Embed audio that `preprocess_audio` has prepared, perhaps in another process.

        Args:
            spectrograms: (b, 1, f, t) network inputs of f bands and t frames.

        Returns:
            (b, d) unit-norm embeddings, float32, on the CPU.
        """
        with self.inference_mode():
            return self.method.embed_audio(spectrograms.to(self.device)).float().cpu()

    def embed_objects(self, images: Sequence[ImageInput], audio: Sequence[Audio]) -> Float[Tensor, "b d"]:
        """Embed the sounding object of image i, located with audio i (`Method.object_embedding`).

        Args:
            images: b images of any sizes, as `ImageWithFlow` where the method uses optical flow.
            audio: b waveforms of any rates and lengths.

        Returns:
            (b, d), float32, on the CPU; the embedding of the entire image where the method segments no objects.
        """
        with self.inference_mode():
            return self.method.object_embedding(self._pixels(images), self._spectrograms(audio)).float().cpu()

    def make_result(
        self, scores: Float[Tensor, "h w"], image: Image.Image, is_silent: bool, notes: tuple[str, ...] = ()
    ) -> LocalizationMap:
        """Combine raw scores, their image and the localizer's threshold and upsampling into a result.

        Args:
            scores: (h, w) raw scores of the method.
            image: image that was located in, of any size.
            is_silent: True where the audio was silence.
            notes: sentences for a reader of the result.

        Returns:
            The result, whose region is the part of the image that reached the network.
        """
        return LocalizationMap(
            scores,
            size=(image.height, image.width),
            upsampling=self.method.upsampling,
            region=visible_region(image.size, self.front_end.image),
            image=image,
            threshold=self.threshold,
            is_silent=is_silent,
            notes=notes,
            codec_spread=self.codec_spread,
            calibration=self.calibration,
        )

    def short_audio_notes(self, audio: Audio) -> tuple[str, ...]:
        """Return a sentence for a reader of the result where a waveform is shorter than the method's window.

        Args:
            audio: waveform that is located.

        Returns:
            One sentence that says what fills the window; empty for audio about as long as the window, or longer.
        """
        seconds, fill = self.front_end.audio.seconds, self.front_end.audio.fill
        if audio.seconds >= 0.95 * seconds or fill == "none":
            return ()
        verb = "repeated" if fill == "repeat" else "followed by silence"
        return (f"The sound lasts {audio.seconds:.2g} s and was {verb} to fill the {seconds:g} s the model hears.",)

    def _encode_pixels(self, pixels: Float[Tensor, "b i h w"]) -> Features:
        with self.inference_mode():
            features = self.method.encode_images(pixels)
            if self.prior is None:
                return features
            prior = self.prior(renormalize_for_imagenet(pixels, self.front_end.image))
            return FeaturesWithPrior(features, prior)

    def _encode_spectrograms(self, spectrograms: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b ..."]:
        with self.inference_mode():
            return self.method.encode_audio(spectrograms)

    def _refine(self, maps: Float[Tensor, "b k h w"], encoded_images: Features) -> Float[Tensor, "b k i j"]:
        """Mix each of the k maps of an image with the image's refinement maps."""
        if not self.refinement:
            return maps
        features = _without_prior(encoded_images)
        others = [self.method.saliency(features)] if "iqr" in self.refinement.names else []
        others += [encoded_images.object_prior] if isinstance(encoded_images, FeaturesWithPrior) else []
        others = [other.repeat_interleave(maps.shape[1], dim=0) for other in others]
        alpha, upsampling, size = self.refinement.alpha, self.method.upsampling, self.front_end.image.size
        return mix_maps(maps.flatten(0, 1), others, alpha, upsampling, size).unflatten(0, maps.shape[:2])

    def _pixels(self, images: Sequence[ImageInput], size: int | None = None) -> Float[Tensor, "b i h w"]:
        spec = self.front_end.image
        stills = [image.image if isinstance(image, ImageWithFlow) else image for image in images]
        if size is not None:
            spec = replace(spec, size=size)
            if spec.resize == "squash":
                stills = [Image.fromarray(fast_squash(still, size)) for still in stills]
        if not spec.flow:
            return preprocess_images(stills, spec).to(self.device)
        if not self._has_warned and not all(isinstance(image, ImageWithFlow) for image in images):
            self._has_warned = True
            warnings.warn(NO_FLOW_WARNING, stacklevel=3)
        flows = [
            flow_to_image(image.flow) if isinstance(image, ImageWithFlow) else Image.new("RGB", image.size)
            for image in images
        ]
        return preprocess_images(stills, spec, flows).to(self.device)

    def _spectrograms(self, audio: Sequence[Audio | Tensor]) -> Float[Tensor, "b 1 f t"]:
        spec = self.front_end.audio
        if not spec.embedding_dim:
            return preprocess_audio([as_audio(item) for item in audio], spec).to(self.device)
        embeddings = torch.stack([as_vector(item, spec.embedding_dim) for item in audio])
        return embeddings[:, None, :, None].to(self.device)

    @contextmanager
    def inference_mode(self) -> Iterator[None]:
        """Switch to evaluation mode without gradients; afterwards each module is back in the mode it was in.

        Yields:
            Nothing; the method is evaluated in the block, in the localizer's precision.
        """
        in_training = [module for module in self.method.modules() if module.training]
        if in_training:
            self.method.eval()
        bf16 = self.precision == "bfloat16"
        try:
            with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=bf16):
                yield
        finally:
            for module in in_training:
                module.training = True


def _without_prior(encoded_images: Features) -> Tensor:
    return encoded_images.features if isinstance(encoded_images, FeaturesWithPrior) else encoded_images
