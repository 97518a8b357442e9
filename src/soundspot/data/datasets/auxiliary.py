"""What lies beside pictures and sounds: optical flow, truths to learn from, vectors that another network made.

`open_dataset` takes `flow`, `truths`, `truths_share` and `vectors` with every data set and wraps it in a `Beside`,
which answers for all that a data set has and reads these files by the clip's id.
"""

import inspect
from copy import copy
from pathlib import Path
from typing import Any

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from soundspot.data.media.file_types import DirectoryIndex
from soundspot.data.media.image import read_mask
from soundspot.data.media.optical_flow import FlowFolder
from soundspot.data.media.vectors import ArrayStore
from soundspot.errors import DataError, RecipeError
from soundspot.types import Audio, AudioVisualDataset, GroundTruth, ImageWithFlow
from soundspot.utils.hash_rng import hash_key, uniform

MASK_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
OWN = "own"


class AuxiliaryDataset:
    """A data set, and what lies beside it; whatever else it is asked for, it asks the set that it wraps.

    Args:
        data: the set.
        flow: folder of `flow_x/ID.png` and `flow_y/ID.png` (`soundspot.data.media.optical_flow`), by the id of the clip or of its
            picture (`group`).
        truths: what methods that can be taught are taught by: `own`, the set's own truths, or a folder of masks
            `ID.png`; clips without one are not marked.
        truths_share: of the marked clips, those that are; which they are depends on their ids alone.
        vectors: what another network made of each sound: a folder of `ID.npy`, or one .npz of id -> vector.

    Raises:
        DataError: a folder is not there, or lacks files. RecipeError: a share that is none, or of no truths.
    """

    def __init__(
        self,
        dataset: AudioVisualDataset,
        flow: str | Path | None = None,
        train_ground_truth: str | Path | None = None,
        train_ground_truth_fraction: float | int = 1.0,
        audio_embeddings: str | Path | None = None,
    ) -> None:
        self.dataset = dataset
        self.options: dict[str, Any] = {
            "flow": flow,
            "truths": train_ground_truth,
            "truths_share": train_ground_truth_fraction,
            "vectors": audio_embeddings,
        }
        if not 0 < train_ground_truth_fraction <= 1 or (
            train_ground_truth is None and train_ground_truth_fraction != 1
        ):
            raise RecipeError(
                f"truths_share: found {train_ground_truth_fraction}, expected the share of marked clips, above 0 and up to 1, beside "
                "`truths`"
            )
        self.flow = None if flow is None else FlowFolder(flow)
        self.ground_truth_source = (
            train_ground_truth if train_ground_truth in (None, OWN) else MaskFolder(Path(train_ground_truth))
        )
        self.audio_embeddings = None if audio_embeddings is None else ArrayStore(Path(audio_embeddings))
        ids = (
            []
            if self.flow is None and self.audio_embeddings is None and train_ground_truth in (None, OWN)
            else _ids(dataset)
        )
        if self.flow is not None:
            if getattr(dataset, "frames", 1) > 1:
                raise DataError(
                    f"{dataset.name}: shows one of several frames of a clip, and flow is of its middle frame alone. "
                    "Prepare the videos with `frames: middle`, or do without `flow`"
                )
            lacking = [id for i, id in enumerate(ids) if not self._flow_name(i, id)]
            expected = "their flow_x/ID.png and flow_y/ID.png (or .jpg)"
            remedy = "Make them (`soundspot data flow VIDEOS -o FOLDER`), or take these clips out of the list"
            check_complete(lacking, len(ids), str(flow), expected, remedy)
        if self.audio_embeddings is not None:
            lacking = [id for id in ids if id not in self.audio_embeddings]
            expected = f"their {self.audio_embeddings.expected}"
            check_complete(
                lacking, len(ids), str(audio_embeddings), expected, "Make them, or take these clips out of the list"
            )
        if isinstance(self.ground_truth_source, MaskFolder) and not any(id in self.ground_truth_source for id in ids):
            check_complete(ids, len(ids), str(train_ground_truth), "a mask ID.png", "Name them by the clips' ids")

    def __getattr__(self, name: str) -> Any:
        if name == "data":  # while it is unpickled, there is none yet
            raise AttributeError(name)
        return getattr(self.dataset, name)

    @property
    def name(self) -> str:
        return self.dataset.name

    def __len__(self) -> int:
        return len(self.dataset)

    def id(self, index: int) -> str:
        return self.dataset.id(index)

    def read_image(self, index: int) -> Image.Image:
        return self.dataset.read_image(index)

    def read_audio(self, index: int) -> Audio:
        return self.dataset.read_audio(index)

    def ground_truth(self, index: int) -> GroundTruth:
        return self.dataset.ground_truth(index)

    def group(self, index: int) -> str:
        return self.dataset.group(index)

    def category(self, index: int) -> str:
        return self.dataset.category(index)

    def at_epoch(self, epoch: int) -> "AuxiliaryDataset":
        data = self.dataset.at_epoch(epoch)
        if data is self.dataset:
            return self
        if _ends(data) != _ends(self.dataset):  # composed anew, so what lies beside it is looked for anew
            return AuxiliaryDataset(data, **self.options)
        same = copy(self)
        same.dataset = data
        return same

    def read_flow(self, index: int) -> Float[Tensor, "2 h w"]:
        """Pixels that each place of the picture moves by in a frame, to the right and down."""
        if self.flow is None:
            return read_flow(self.dataset, index)
        id = self.id(index)
        return self.flow.read(self._flow_name(index, id) or id)

    def read_ground_truth(self, index: int) -> GroundTruth | None:
        """The truth to learn from, or None where the clip is not marked."""
        id = self.id(index)
        if isinstance(self.ground_truth_source, MaskFolder) and id not in self.ground_truth_source:
            return None
        share = self.options["truths_share"]
        if self.ground_truth_source is None or uniform(("truths",), [int(hash_key(id))])[0, 0] >= share:
            return None
        return (
            self.ground_truth_source.read(id, self.read_image(index).size)
            if isinstance(self.ground_truth_source, MaskFolder)
            else self.ground_truth(index)
        )

    def read_audio_embedding(self, index: int) -> Float[Tensor, " d"]:
        """What another network made of the sound."""
        if self.audio_embeddings is None:
            return read_audio_embedding(self.dataset, index)
        return self.audio_embeddings.read(self.id(index))

    def _flow_name(self, index: int, id: str) -> str:
        """What the clip's flow is called; empty where there is none. A group may be read from disk: only if need be."""
        assert self.flow is not None
        if self.flow.find_files(id):
            return id
        group = self.dataset.group(index)
        return group if self.flow.find_files(group) else ""


AUXILIARY_OPTIONS = frozenset(inspect.signature(AuxiliaryDataset).parameters) - {"data"}
"""What every data set can be opened with, besides its own options."""


def _ids(data: AudioVisualDataset) -> list[str]:
    return [data.id(i) for i in range(len(data))]


def _ends(data: AudioVisualDataset) -> tuple[int, list[str]]:
    """By which a set that is composed anew in each epoch differs."""
    return len(data), [data.id(i) for i in {0, len(data) - 1} if len(data)]


class MaskFolder:
    """Truths as masks `ID.png` in a folder; what is not black is where the sound comes from."""

    def __init__(self, root: Path) -> None:
        self.root, self._files = root, DirectoryIndex(root)
        if not root.is_dir():
            raise DataError(f"{root}: no such folder, expected masks ID.png, or `truths: own`")

    def _file(self, id: str) -> str | None:
        return next((f"{id}{end}" for end in MASK_SUFFIXES if f"{id}{end}" in self._files), None)

    def __contains__(self, id: str) -> bool:
        return self._file(id) is not None

    def read(self, id: str, size: tuple[int, int]) -> GroundTruth:
        """The mask of a clip whose picture is of `size` (width, height).

        Raises:
            InputError: it cannot be read. DataError: it has another shape than the picture.
        """
        file = self.root / (self._file(id) or f"{id}.png")
        mask = read_mask(file)
        height, width = mask.shape
        if abs(height * size[0] - width * size[1]) > max(*size, height, width):  # by more than a rounded pixel
            raise DataError(
                f"{file}: is a mask of {width} x {height} beside a picture of {size[0]} x {size[1]}, expected the same "
                "shape. Draw it on the whole picture"
            )
        return GroundTruth(height, width, mask=mask, rule="mask")


def read_flow(data: Any, index: int) -> Float[Tensor, "2 h w"]:
    """The optical flow beside a clip's picture; DataError where the data set has none."""
    if not hasattr(data, "read_flow"):
        raise DataError(
            f"{data.name}: has no optical flow, and this method looks at it. Give its folder by the option `flow` "
            "(`soundspot data flow VIDEOS -o FOLDER` makes one)"
        )
    flow: Tensor = data.read_flow(index)
    return flow


def read_audio_embedding(data: Any, index: int, width: int = 0) -> Float[Tensor, " d"]:
    """The vector in place of a clip's sound; DataError where the data set has none, or one of another length."""
    if not hasattr(data, "read_vector"):
        raise DataError(
            f"{data.name}: has no vectors of sounds, and this method hears nothing else. Give their folder, or their "
            ".npz, by the option `vectors`, or train with another sound encoder (`audio: {encoder: resnet18}`)"
        )
    vector: Tensor = data.read_vector(index)
    if width and len(vector) != width:
        raise DataError(
            f"{data.name}: the vector of {data.id(index)} has {len(vector)} numbers, expected {width}. Give those of "
            f"the network that this method hears, or train with `audio: {{encoder: vectors, width: {len(vector)}}}`"
        )
    return vector


def read_model_image(model: Any, data: AudioVisualDataset, index: int) -> Any:
    """What a model is shown of a clip: its picture, unless it has a `read_picture` of its own."""
    return model.read_image(data, index) if hasattr(model, "read_image") else data.read_image(index)


def read_model_audio(model: Any, data: AudioVisualDataset, index: int) -> Any:
    """What a model hears of a clip: its sound, unless it has a `read_sound` of its own."""
    return model.read_audio(data, index) if hasattr(model, "read_audio") else data.read_audio(index)


def read_image_with_flow(data: Any, index: int) -> ImageWithFlow:
    """A clip's picture with its optical flow."""
    return ImageWithFlow(data.read_image(index), read_flow(data, index))


def check_complete(missing: list[str], total: int, source: str, expected: str, remedy: str) -> None:
    """Raise DataError where something is not there for some of n clips: how many, and the first of them."""
    if missing:
        first = ", ".join(missing[:3])
        raise DataError(f"{source}: of {total} clips {len(missing)} lack {expected} (first: {first}). {remedy}")
