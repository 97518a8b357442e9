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

from whence.data.files import Listings
from whence.data.flow import FlowFolder
from whence.data.image import read_mask
from whence.data.vectors import VectorFile
from whence.errors import DataError, RecipeError
from whence.randomness import as_key, uniform
from whence.types import AudioVisualDataset, Moving, Sound, Truth

MASKS = (".png", ".jpg", ".jpeg", ".bmp")
OWN = "own"


class Beside:
    """A data set, and what lies beside it; whatever else it is asked for, it asks the set that it wraps.

    Args:
        data: the set.
        flow: folder of `flow_x/ID.png` and `flow_y/ID.png` (`whence.data.flow`), by the id of the clip or of its
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
        data: AudioVisualDataset,
        flow: str | Path | None = None,
        truths: str | Path | None = None,
        truths_share: float | int = 1.0,
        vectors: str | Path | None = None,
    ) -> None:
        self.data = data
        self.options: dict[str, Any] = {
            "flow": flow,
            "truths": truths,
            "truths_share": truths_share,
            "vectors": vectors,
        }
        if not 0 < truths_share <= 1 or (truths is None and truths_share != 1):
            raise RecipeError(
                f"truths_share: found {truths_share}, expected the share of marked clips, above 0 and up to 1, beside "
                "`truths`"
            )
        self.flow = None if flow is None else FlowFolder(flow)
        self.truths = truths if truths in (None, OWN) else Masks(Path(truths))
        self.vectors = None if vectors is None else VectorFile(Path(vectors))
        ids = [] if self.flow is None and self.vectors is None and truths in (None, OWN) else _ids(data)
        if self.flow is not None:
            if getattr(data, "frames", 1) > 1:
                raise DataError(
                    f"{data.name}: shows one of several frames of a clip, and flow is of its middle frame alone. "
                    "Prepare the videos with `frames: middle`, or do without `flow`"
                )
            lacking = [id for i, id in enumerate(ids) if not self._flow_name(i, id)]
            expected = "their flow_x/ID.png and flow_y/ID.png (or .jpg)"
            remedy = "Make them (`whence data flow VIDEOS -o FOLDER`), or take these clips out of the list"
            refuse_lacking(lacking, len(ids), str(flow), expected, remedy)
        if self.vectors is not None:
            lacking = [id for id in ids if id not in self.vectors]
            expected = f"their {self.vectors.expected}"
            refuse_lacking(lacking, len(ids), str(vectors), expected, "Make them, or take these clips out of the list")
        if isinstance(self.truths, Masks) and not any(id in self.truths for id in ids):
            refuse_lacking(ids, len(ids), str(truths), "a mask ID.png", "Name them by the clips' ids")

    def __getattr__(self, name: str) -> Any:
        if name == "data":  # while it is unpickled, there is none yet
            raise AttributeError(name)
        return getattr(self.data, name)

    @property
    def name(self) -> str:
        return self.data.name

    def __len__(self) -> int:
        return len(self.data)

    def id(self, index: int) -> str:
        return self.data.id(index)

    def read_image(self, index: int) -> Image.Image:
        return self.data.read_image(index)

    def read_sound(self, index: int) -> Sound:
        return self.data.read_sound(index)

    def truth(self, index: int) -> Truth:
        return self.data.truth(index)

    def group(self, index: int) -> str:
        return self.data.group(index)

    def category(self, index: int) -> str:
        return self.data.category(index)

    def at(self, epoch: int) -> "Beside":
        data = self.data.at(epoch)
        if data is self.data:
            return self
        if _ends(data) != _ends(self.data):  # composed anew, so what lies beside it is looked for anew
            return Beside(data, **self.options)
        same = copy(self)
        same.data = data
        return same

    def read_flow(self, index: int) -> Float[Tensor, "2 h w"]:
        """Pixels that each place of the picture moves by in a frame, to the right and down."""
        if self.flow is None:
            return flow_of(self.data, index)
        id = self.id(index)
        return self.flow.read(self._flow_name(index, id) or id)

    def read_truth(self, index: int) -> Truth | None:
        """The truth to learn from, or None where the clip is not marked."""
        id = self.id(index)
        if isinstance(self.truths, Masks) and id not in self.truths:
            return None
        share = self.options["truths_share"]
        if self.truths is None or uniform(("truths",), [int(as_key(id))])[0, 0] >= share:
            return None
        return (
            self.truths.read(id, self.read_image(index).size) if isinstance(self.truths, Masks) else self.truth(index)
        )

    def read_vector(self, index: int) -> Float[Tensor, " d"]:
        """What another network made of the sound."""
        if self.vectors is None:
            return vector_of(self.data, index)
        return self.vectors.read(self.id(index))

    def _flow_name(self, index: int, id: str) -> str:
        """What the clip's flow is called; empty where there is none. A group may be read from disk: only if need be."""
        assert self.flow is not None
        if self.flow.files(id):
            return id
        group = self.data.group(index)
        return group if self.flow.files(group) else ""


OPTIONS = frozenset(inspect.signature(Beside).parameters) - {"data"}
"""What every data set can be opened with, besides its own options."""


def _ids(data: AudioVisualDataset) -> list[str]:
    return [data.id(i) for i in range(len(data))]


def _ends(data: AudioVisualDataset) -> tuple[int, list[str]]:
    """By which a set that is composed anew in each epoch differs."""
    return len(data), [data.id(i) for i in {0, len(data) - 1} if len(data)]


class Masks:
    """Truths as masks `ID.png` in a folder; what is not black is where the sound comes from."""

    def __init__(self, root: Path) -> None:
        self.root, self._files = root, Listings(root)
        if not root.is_dir():
            raise DataError(f"{root}: no such folder, expected masks ID.png, or `truths: own`")

    def _file(self, id: str) -> str | None:
        return next((f"{id}{end}" for end in MASKS if f"{id}{end}" in self._files), None)

    def __contains__(self, id: str) -> bool:
        return self._file(id) is not None

    def read(self, id: str, size: tuple[int, int]) -> Truth:
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
        return Truth(height, width, mask=mask, rule="mask")


def flow_of(data: Any, index: int) -> Float[Tensor, "2 h w"]:
    """The optical flow beside a clip's picture; DataError where the data set has none."""
    if not hasattr(data, "read_flow"):
        raise DataError(
            f"{data.name}: has no optical flow, and this method looks at it. Give its folder by the option `flow` "
            "(`whence data flow VIDEOS -o FOLDER` makes one)"
        )
    flow: Tensor = data.read_flow(index)
    return flow


def vector_of(data: Any, index: int, width: int = 0) -> Float[Tensor, " d"]:
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


def shown_to(model: Any, data: AudioVisualDataset, index: int) -> Any:
    """What a model is shown of a clip: its picture, unless it has a `read_picture` of its own."""
    return model.read_picture(data, index) if hasattr(model, "read_picture") else data.read_image(index)


def heard_by(model: Any, data: AudioVisualDataset, index: int) -> Any:
    """What a model hears of a clip: its sound, unless it has a `read_sound` of its own."""
    return model.read_sound(data, index) if hasattr(model, "read_sound") else data.read_sound(index)


def moving(data: Any, index: int) -> Moving:
    """A clip's picture with its optical flow."""
    return Moving(data.read_image(index), flow_of(data, index))


def refuse_lacking(lacking: list[str], n: int, where: str, expected: str, remedy: str) -> None:
    """Raise DataError where something is not there for some of n clips: how many, and the first of them."""
    if lacking:
        first = ", ".join(lacking[:3])
        raise DataError(f"{where}: of {n} clips {len(lacking)} lack {expected} (first: {first}). {remedy}")
