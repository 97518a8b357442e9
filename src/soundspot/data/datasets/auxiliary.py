"""Files beside images and audio: optical flow, ground truth to train on, embeddings of audio by another network.

`open_dataset` takes `flow`, `train_ground_truth`, `train_ground_truth_fraction` and `audio_embeddings` with every data
set and wraps it in an `AuxiliaryDataset`, which reads these files by the sample's id.
"""

from copy import copy
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from soundspot.data.datasets.wrapper import DatasetWrapper
from soundspot.data.media.file_types import DirectoryIndex
from soundspot.data.media.mask import read_mask
from soundspot.data.media.optical_flow import FlowFolder
from soundspot.data.media.vectors import ArrayStore
from soundspot.errors import DataError, RecipeError
from soundspot.types import AudioVisualDataset, GroundTruth, ImageWithFlow
from soundspot.utils.hash_rng import Key, hash_key, uniform

MASK_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
OWN = "own"


@dataclass(eq=False)
class AuxiliaryDataset(DatasetWrapper):
    """A data set with auxiliary files; everything else comes from the data set that it wraps.

    Attributes:
        dataset: data set that is wrapped.
        flow: folder of `flow_x/ID.png` and `flow_y/ID.png` (`soundspot.data.media.optical_flow`), where ID is the id of
            the sample or of its image (`group`); None: the wrapped data set's own.
        train_ground_truth: ground truth for methods that learn from it: `own`, that of the wrapped data set, or a
            folder of masks `ID.png`; samples without a mask are not annotated. None: no ground truth to train on.
        train_ground_truth_fraction: share of the annotated samples to use, in (0, 1]; which samples depends on their
            ids alone.
        audio_embeddings: embeddings of each sample's audio by another network: a folder of `ID.npy`, or one .npz of id
            -> vector; None: the wrapped data set's own.

    Raises:
        DataError: a folder is missing, or lacks files of some samples (of masks: of all samples), or `flow` is given
            for a data set that chooses among several frames of a clip.
        RecipeError: the fraction is out of range, or given without ground truth.
    """

    dataset: AudioVisualDataset
    flow: str | Path | None = None
    train_ground_truth: str | Path | None = None
    train_ground_truth_fraction: float | int = 1.0
    audio_embeddings: str | Path | None = None

    def __post_init__(self) -> None:
        super().__init__(self.dataset)
        dataset, fraction = self.dataset, self.train_ground_truth_fraction
        if not 0 < fraction <= 1 or (self.train_ground_truth is None and fraction != 1):
            raise RecipeError(
                f"train_ground_truth_fraction: found {fraction}, expected the share of annotated samples, above 0, up "
                "to 1, beside `train_ground_truth`"
            )
        has_masks = self.train_ground_truth not in (None, OWN)
        self._flow = None if self.flow is None else FlowFolder(self.flow)
        self._masks = MaskFolder(Path(self.train_ground_truth or "")) if has_masks else None
        self._embeddings = None if self.audio_embeddings is None else ArrayStore(Path(self.audio_embeddings))
        if self._flow is None and self._masks is None and self._embeddings is None:
            return
        ids = [dataset.id(i) for i in range(len(dataset))]
        if self._flow is not None:
            if dataset.count_frames() > 1:
                raise DataError(
                    f"{dataset.name}: chooses among several frames of a clip, and flow is of its middle frame alone. "
                    "Extract the videos with `frames: middle`, or do without `flow`"
                )
            missing = [id for i, id in enumerate(ids) if not self._flow_name(i, id)]
            expected = "their flow_x/ID.png and flow_y/ID.png (or .jpg)"
            remedy = "Make them (`soundspot data flow VIDEOS -o FOLDER`), or take these samples out of the list"
            check_complete(missing, len(ids), str(self.flow), expected, remedy)
        if self._embeddings is not None:
            missing = [id for id in ids if id not in self._embeddings]
            expected, remedy = f"their {self._embeddings.expected}", "Make them, or take these samples out of the list"
            check_complete(missing, len(ids), str(self.audio_embeddings), expected, remedy)
        if self._masks is not None and not any(id in self._masks for id in ids):
            check_complete(
                ids, len(ids), str(self.train_ground_truth), "a mask ID.png", "Name them by the samples' ids"
            )

    def at_epoch(self, epoch: int) -> "AuxiliaryDataset":
        """Return the data set with the samples of an epoch and the same auxiliary files.

        Args:
            epoch: number of the epoch, from 0.

        Returns:
            Data set of the same length; itself where samples are the same in all epochs.

        Raises:
            DataError: the samples of that epoch have other ids, and their auxiliary files are missing.
        """
        dataset = self.dataset.at_epoch(epoch)
        if dataset is self.dataset:
            return self
        if _outer_ids(dataset) != _outer_ids(self.dataset):  # composed anew, so its files are looked for anew
            return replace(self, dataset=dataset)
        same = copy(self)
        same.dataset = dataset
        return same

    def read_flow(self, index: int) -> Float[Tensor, "2 h w"]:
        """Read the optical flow of a sample's image, from the folder `flow` where it is given.

        Args:
            index: position of the sample, from 0.

        Returns:
            (2, h, w) float32 displacement until the next frame, to the right and down, in pixels.

        Raises:
            DataError: there is no flow of the sample, or its two files differ in size.
            InputError: a file cannot be decoded.
        """
        if self._flow is None:
            return super().read_flow(index)
        id = self.id(index)
        return self._flow.read(self._flow_name(index, id) or id)

    @property
    def has_train_ground_truth(self) -> bool:
        """True where `train_ground_truth` is given."""
        return self.train_ground_truth is not None

    def read_train_ground_truth(self, index: int) -> GroundTruth | None:
        """Read the ground truth that a method may learn from.

        Args:
            index: position of the sample, from 0.

        Returns:
            Mask from the folder, or the wrapped data set's ground truth for `own`; None where the sample has no mask or
            is not in the chosen fraction.

        Raises:
            InputError: the mask cannot be read.
            DataError: the mask has another aspect ratio than the image.
        """
        id, masks = self.id(index), self._masks
        if not self.has_train_ground_truth or (masks is not None and id not in masks):
            return None
        if uniform((Key.GROUND_TRUTH,), [int(hash_key(id))])[0, 0] >= self.train_ground_truth_fraction:
            return None
        return (
            self.dataset.read_train_ground_truth(index)
            if masks is None
            else masks.read(id, self.read_image(index).size)
        )

    def read_audio_embedding(self, index: int) -> Float[Tensor, " d"]:
        """Read the embedding of a sample's audio, from `audio_embeddings` where it is given.

        Args:
            index: position of the sample, from 0.

        Returns:
            (d,) float32 embedding.

        Raises:
            DataError: the data set has no embeddings.
            InputError: the embedding cannot be read, or is no vector of finite numbers.
        """
        if self._embeddings is None:
            return super().read_audio_embedding(index)
        return self._embeddings.read(self.id(index))

    def _flow_name(self, index: int, id: str) -> str:
        """Return the name of the sample's flow files; empty where there are none. The group is read only if need be."""
        assert self._flow is not None
        if self._flow.find_files(id):
            return id
        group = self.dataset.group(index)
        return group if self._flow.find_files(group) else ""


AUXILIARY_OPTIONS = frozenset(field.name for field in fields(AuxiliaryDataset)) - {"dataset"}
"""Options of every data set, besides its own."""


def _outer_ids(dataset: AudioVisualDataset) -> tuple[int, list[str]]:
    """Return the length and the outermost ids, which change where a data set is composed anew in each epoch."""
    return len(dataset), [dataset.id(i) for i in {0, len(dataset) - 1} if len(dataset)]


class MaskFolder:
    """A folder of masks `ID.png` (or .jpg, .jpeg, .bmp): the sound source is where a mask is not 0
    (in a JPEG: above 127; with soft edges: above half; in a palette image: where the index is not 0).

    Args:
        root: path of the folder.

    Raises:
        DataError: the folder is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root, self._files = root, DirectoryIndex(root)
        if not root.is_dir():
            raise DataError(f"{root}: no such folder, expected masks ID.png, or `train_ground_truth: own`")

    def _file(self, id: str) -> str | None:
        return next((f"{id}{suffix}" for suffix in MASK_SUFFIXES if f"{id}{suffix}" in self._files), None)

    def __contains__(self, id: str) -> bool:
        return self._file(id) is not None

    def read(self, id: str, size: tuple[int, int]) -> GroundTruth:
        """Read the mask of a sample.

        Args:
            id: id of the sample.
            size: (width, height) of the sample's image in pixels.

        Returns:
            Ground truth of rule `mask`, at the mask's own size.

        Raises:
            InputError: the mask is missing or cannot be decoded.
            DataError: the aspect ratio of the mask differs from that of the image.
        """
        file = self.root / (self._file(id) or f"{id}.png")
        mask = read_mask(file)
        height, width = mask.shape
        if abs(height * size[0] - width * size[1]) > max(*size, height, width):  # by more than a rounded pixel
            raise DataError(
                f"{file}: is a mask of {width} x {height} beside an image of {size[0]} x {size[1]}, expected the same "
                "shape. Draw it on the full image"
            )
        return GroundTruth(height, width, mask=mask, rule="mask")


def read_audio_embedding(dataset: AudioVisualDataset, index: int, embedding_dim: int = 0) -> Float[Tensor, " d"]:
    """Read the embedding that stands for a sample's audio, and check its length.

    Args:
        dataset: data set with embeddings.
        index: position of the sample, from 0.
        embedding_dim: expected length; 0: any.

    Returns:
        (d,) float32 embedding.

    Raises:
        DataError: the data set has no embeddings, or this embedding has another length.
    """
    embedding = dataset.read_audio_embedding(index)
    if embedding_dim and len(embedding) != embedding_dim:
        raise DataError(
            f"{dataset.name}: the embedding of {dataset.id(index)} has {len(embedding)} numbers, expected "
            f"{embedding_dim}. Give those of the network that this method takes, or train with "
            f"`audio: {{encoder: vectors, width: {len(embedding)}}}`"
        )
    return embedding


def read_model_image(model: Any, data: AudioVisualDataset, index: int) -> Any:
    """Read the image of a sample in the form that a model takes.

    Args:
        model: any localizer; if it has a method `read_image(data, index)`, that is called.
        data: data set of the sample.
        index: position of the sample, from 0.

    Returns:
        Result of `model.read_image(data, index)`, such as an `ImageWithFlow`; for a model without that method, the RGB
        image `data.read_image(index)`.
    """
    return model.read_image(data, index) if hasattr(model, "read_image") else data.read_image(index)


def read_model_audio(model: Any, data: AudioVisualDataset, index: int) -> Any:
    """Read the audio of a sample in the form that a model takes.

    Args:
        model: any localizer; if it has a method `read_audio(data, index)`, that is called.
        data: data set of the sample.
        index: position of the sample, from 0.

    Returns:
        Result of `model.read_audio(data, index)`, such as a (d,) embedding; for a model without that method, the
        waveform `data.read_audio(index)`.
    """
    return model.read_audio(data, index) if hasattr(model, "read_audio") else data.read_audio(index)


def read_image_with_flow(dataset: AudioVisualDataset, index: int) -> ImageWithFlow:
    """Read the image of a sample together with its optical flow.

    Args:
        dataset: data set with optical flow.
        index: position of the sample, from 0.

    Returns:
        RGB image, and its (2, h, w) flow in pixels per frame.

    Raises:
        DataError: the data set has no optical flow.
    """
    return ImageWithFlow(dataset.read_image(index), dataset.read_flow(index))


def check_complete(missing: list[str], total: int, source: str, expected: str, remedy: str) -> None:
    """Raise DataError where some samples lack something.

    Args:
        missing: ids of the samples that lack it; empty: nothing is raised.
        total: number of all samples.
        source: file or folder that the message begins with.
        expected: noun phrase for what is missing, for the message.
        remedy: sentence on how to correct it, for the message.

    Raises:
        DataError: `missing` is not empty; the message gives the number and the first three ids.
    """
    if missing:
        first = ", ".join(missing[:3])
        raise DataError(f"{source}: of {total} samples {len(missing)} lack {expected} (first: {first}). {remedy}")
