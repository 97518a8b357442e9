"""What a localizer may offer to an evaluation, and how any callable `(image, audio) -> map` becomes one in batches."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor

from soundspot.config.frontend import InputSpec
from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.config.refinement import Refinement
from soundspot.errors import InputError
from soundspot.types import Audio, AudioVisualDataset


@runtime_checkable
class BatchedLocalizer(Protocol):
    """A localizer that encodes each image and each audio clip once, and computes maps of batches of pairs."""

    def encode_images(self, images: Sequence[Any]) -> Any:
        """Encode images.

        Args:
            images: b image inputs: RGB images, or what `read_image` of the localizer returns.

        Returns:
            b encoded images that can be indexed by a tensor of rows, such as features (b, ...).
        """

    def encode_audio(self, audio: Sequence[Any]) -> Tensor:
        """Encode audio.

        Args:
            audio: b audio inputs: `Audio`, or what `read_audio` of the localizer returns.

        Returns:
            (b, ...) encoded audio.
        """

    def maps(self, encoded_images: Any, encoded_audio: Tensor) -> Float[Tensor, "b h w"] | Sequence[Any]:
        """Compute the raw map of image i with audio i.

        Args:
            encoded_images: b rows of encoded images.
            encoded_audio: (b, ...) rows of encoded audio.

        Returns:
            (b, h, w) raw maps, or b maps of any sizes; a higher score is more likely to be the source.
        """


@runtime_checkable
class HasSaliency(Protocol):
    """A localizer that also computes maps without audio."""

    def saliency(self, encoded_images: Any) -> Float[Tensor, "b h w"]:
        """Compute maps of images without audio.

        Args:
            encoded_images: b rows of encoded images.

        Returns:
            (b, h, w) raw maps.
        """


@runtime_checkable
class HasEmbeddings(Protocol):
    """A localizer that also computes unit-norm embeddings, for retrieval."""

    def embed_images(self, images: Sequence[Any]) -> Float[Tensor, "b d"]:
        """Embed images.

        Args:
            images: b image inputs: RGB images, or what `read_image` of the localizer returns.

        Returns:
            (b, d) embeddings of unit L2 norm.
        """

    def embed_audio(self, audio: Sequence[Any]) -> Float[Tensor, "b d"]:
        """Embed audio.

        Args:
            audio: b audio inputs: `Audio`, or what `read_audio` of the localizer returns.

        Returns:
            (b, d) embeddings of unit L2 norm.
        """


@runtime_checkable
class EncodesAndEmbeds(HasEmbeddings, Protocol):
    """A localizer with embeddings that can share their computation with encoding, to the same numbers."""

    def encode_and_embed_images(self, images: Sequence[Any]) -> tuple[Any, Float[Tensor, "b d"]]:
        """Encode and embed images.

        Args:
            images: b image inputs.

        Returns:
            What `encode_images` and `embed_images` return.
        """

    def encode_and_embed_audio(self, audio: Sequence[Any]) -> tuple[Tensor, Float[Tensor, "b d"]]:
        """Encode and embed audio.

        Args:
            audio: b audio inputs.

        Returns:
            What `encode_audio` and `embed_audio` return.
        """


@runtime_checkable
class SeparatesSources(Protocol):
    """A localizer that also computes a map for each source of a mixture."""

    def source_maps(
        self, encoded_images: Any, encoded_audio: Tensor
    ) -> tuple[Float[Tensor, "b k h w"], Bool[Tensor, "b k"]]:
        """Compute the maps of k sources of image i in mixture i.

        Args:
            encoded_images: b rows of encoded images.
            encoded_audio: (b, ...) rows of encoded mixtures.

        Returns:
            (b, k, h, w) raw maps, and (b, k) mask, True for the sources that are audible.
        """


@runtime_checkable
class ReadsInputs(Protocol):
    """A localizer whose inputs differ from the image and the waveform of a sample."""

    @property
    def takes_waveforms(self) -> bool:
        """False where its audio inputs are not waveforms, so that silence, noise and mixtures are left out."""

    def read_image(self, data: AudioVisualDataset, index: int) -> Any:
        """Read the image input of a sample.

        Args:
            data: the data set.
            index: position of the sample.

        Returns:
            An input of `encode_images`.
        """

    def read_audio(self, data: AudioVisualDataset, index: int) -> Any:
        """Read the audio input of a sample.

        Args:
            data: the data set.
            index: position of the sample.

        Returns:
            An input of `encode_audio`.
        """


@runtime_checkable
class DescribesModel(Protocol):
    """A localizer with a title, a fitted threshold, notes and a front end for its report.

    Attributes:
        title: name of the model in reports.
        threshold: least peak of a raw map at which a source counts as present; None: not fitted.
        notes: notes for the reader of a report.
    """

    title: str
    threshold: float | None
    notes: tuple[str, ...]

    @property
    def front_end(self) -> InputSpec:
        """Front end of the model."""


@runtime_checkable
class DescribesTraining(Protocol):
    """A localizer that states which human labels its model was trained with, and how its maps are refined.

    Attributes:
        supervision: sentences on the labels, for the notes of a report.
        refinement: refinement of the maps.
    """

    supervision: tuple[str, ...]
    refinement: Refinement


@runtime_checkable
class DescribesPresence(Protocol):
    """A localizer that tells the probability that a source is present from the peak of a map.

    Attributes:
        calibration: the probability by the peak; None: not fitted.
    """

    calibration: PresenceCalibration | None


@dataclass(frozen=True)
class LocalizerInfo:
    """Description of a localizer in a report.

    Attributes:
        name: name of the model.
        threshold: least peak of a raw map at which a source counts as present; None: unknown.
        notes: notes for the reader of the report.
        front_end: fields of the `InputSpec` of the model; None where unknown.
        refinement: refinement of the maps.
        calibration: probability of presence by the peak; None: unknown.
    """

    name: str
    threshold: Any = None
    notes: tuple[str, ...] = ()
    front_end: dict[str, Any] | None = None
    refinement: Refinement = Refinement()  # noqa: RUF009 (frozen)
    calibration: PresenceCalibration | None = None

    @classmethod
    def of(cls, localizer: Any) -> "LocalizerInfo":
        """Describe a localizer.

        Args:
            localizer: a callable or a `BatchedLocalizer`; its `DescribesModel`, `DescribesTraining` and
                `DescribesPresence` members are read.

        Returns:
            Its description; only the name (`name`, `__name__` or that of its class) where it has none of these members.
        """
        info = cls(str(getattr(localizer, "name", None) or getattr(localizer, "__name__", type(localizer).__name__)))
        if isinstance(localizer, DescribesModel):
            info = cls(localizer.title, localizer.threshold, localizer.notes, asdict(localizer.front_end))
        if isinstance(localizer, DescribesTraining):
            notes = (*info.notes, *localizer.supervision)
            info = cls(info.name, info.threshold, notes, info.front_end, localizer.refinement)
        return replace(info, calibration=localizer.calibration) if isinstance(localizer, DescribesPresence) else info


class _Images(list[Any]):
    """Images that are indexed by a tensor of rows, as encoded images are."""

    def __getitem__(self, rows: Any) -> Any:
        return _Images(list.__getitem__(self, int(row)) for row in rows)


@dataclass(frozen=True)
class _SampleAudio(Audio):
    index: int = -1


class _CallableLocalizer:
    """A callable `(image, audio) -> map` that is called in batches: audio is encoded as the number of its sample.

    The audio of a sample is read again when a map is made, so that memory does not grow with the data set.

    Args:
        function: returns a (h, w) array, or a value with such `scores`.
        data: the data set whose samples are localized.
    """

    takes_waveforms = True

    def __init__(self, function: Callable[[Image.Image, Audio], Any], data: AudioVisualDataset) -> None:
        self._function, self._data = function, data
        self._negatives: list[Audio] = []  # silence and noise, which are of no sample

    def read_image(self, data: AudioVisualDataset, index: int) -> Image.Image:
        return data.read_image(index)

    def read_audio(self, data: AudioVisualDataset, index: int) -> Audio:
        audio = data.read_audio(index)
        return _SampleAudio(audio.waveform, audio.rate, index=index)

    def encode_images(self, images: Sequence[Any]) -> Any:
        return _Images(images)

    def encode_audio(self, audio: Sequence[Any]) -> Int[Tensor, " b"]:
        codes = []
        for clip in audio:
            if not isinstance(clip, _SampleAudio):
                self._negatives.append(clip)
            codes.append(clip.index if isinstance(clip, _SampleAudio) else -len(self._negatives))
        return torch.tensor(codes)

    def maps(self, encoded_images: Any, encoded_audio: Tensor) -> list[Any]:
        codes = encoded_audio.tolist()
        audio = (self._data.read_audio(code) if code >= 0 else self._negatives[-1 - code] for code in codes)
        return [self._function(image, clip) for image, clip in zip(encoded_images, audio, strict=True)]


def as_batched(localizer: Any, data: AudioVisualDataset) -> BatchedLocalizer:
    """Return a localizer that predicts in batches; a callable `(image, audio) -> map` is wrapped.

    Args:
        localizer: a `BatchedLocalizer` or a callable (image, Audio) -> map.
        data: data set whose samples are localized.

    Returns:
        The localizer, or its wrapper, which calls the function for each pair.

    Raises:
        InputError: the localizer is neither a `BatchedLocalizer` nor a callable.
    """
    if isinstance(localizer, BatchedLocalizer):
        return localizer
    if callable(localizer):
        return _CallableLocalizer(localizer, data)
    raise InputError(
        f"cannot evaluate a {type(localizer).__name__}; give a callable (image, Audio) -> map, or a localizer."
    )


def check_map(prediction: Any, id: str, origin: str) -> Float[Tensor, "h w"]:
    """Convert a prediction to a map (h, w), float32 on the CPU.

    Args:
        prediction: an array or tensor (h, w) of numbers or bools, or a value with such `scores`.
        id: id of the sample, for error messages.
        origin: origin of the map, for error messages.

    Returns:
        (h, w) float32.

    Raises:
        InputError: it is not an array of numbers, is empty, has another shape, or holds values that are not finite.
    """
    prediction = getattr(prediction, "scores", prediction)
    try:
        scores = np.asarray(prediction.detach().float().cpu() if isinstance(prediction, Tensor) else prediction)
        scores = scores.astype(np.float32, copy=False) if scores.dtype.kind in "buif" else scores
    except (TypeError, ValueError):
        scores = np.asarray("not an array")
    if scores.dtype != np.float32:
        kind = getattr(prediction, "dtype", type(prediction).__name__)
        raise InputError(f"{origin}: the map of sample {id} is {kind}, expected an array of numbers (h, w).")
    if scores.ndim != 2 or not scores.size:
        raise InputError(f"{origin}: the map of sample {id} has shape {scores.shape}; expected (h, w).")
    if not (finite := np.isfinite(scores)).all():
        count = f"{(~finite).sum()} values that are not finite"
        raise InputError(f"{origin}: the map of sample {id} holds {count}; correct the code that made it.")
    return torch.from_numpy(scores if scores.flags.writeable else scores.copy())
