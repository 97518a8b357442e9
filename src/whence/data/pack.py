"""Any data set as shards: catalogues, public layouts, scenes; what is known of their truth goes with them."""

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from whence.data.audio import resample
from whence.data.identity import undotted
from whence.data.packing import Engine, Sample, left_of, refuse_other, write_shards
from whence.data.prepare import Shape, encode_picture, encode_sound, encode_words
from whence.errors import DataError, InputError, OutputError
from whence.types import AudioVisualDataset, Box, Truth

MASK = "mask.png"


@dataclass(frozen=True)
class Packing:
    """How pictures and sounds are kept.

    Attributes:
        side: pixels of a picture's longer side at most.
        quality: of the JPEG files.
        rate: samples a second of the sounds, which are kept whole; None: their own.
        sound: `flac`, or `wav`, twice as large and quicker to read.
        shape: of pictures, see `whence.data.prepare.Preparation`; what is looked at afterwards should keep it.
    """

    side: int = 400
    quality: int = 90
    rate: int | None = 16000
    sound: Literal["flac", "wav"] = "flac"
    shape: Shape = "kept"


@dataclass(frozen=True)
class Items:
    """Makes samples of the items of a data set; an input's name is its id."""

    data: AudioVisualDataset
    how: Packing

    @cached_property
    def places(self) -> dict[str, int]:
        return {self.data.id(index): index for index in range(len(self.data))}

    def key(self, name: str) -> str:
        """Its id, without dots, which end a key."""
        return undotted(name)

    def __call__(self, name: str) -> Sample:
        index, how = self.places[name], self.how
        try:
            picture, sound = self.data.read_image(index), resample(self.data.read_sound(index), how.rate)
        except InputError as error:
            return Sample({}, error.cause, str(error))
        told: dict[str, Any] = {"id": name, "group": self.data.group(index), "category": self.data.category(index)}
        shown = encode_picture(picture, how.side, how.quality, how.shape)
        parts = {"jpg": shown, how.sound: encode_sound(sound, how.sound)}
        try:
            truth = self.data.truth(index)
        except DataError:  # clips to train on have none
            pass
        else:
            told["truth"] = truth_as_dict(truth)
            if truth.mask is not None:
                parts[MASK] = _png(truth.mask)
        return Sample({**parts, "json": encode_words(told)})


def pack(
    data: AudioVisualDataset,
    output: Path,
    how: Packing,
    engine: Engine,
    shard_size: int = 500,
    seen: Callable[[int, int], None] = lambda done, of: None,
    options: Mapping[str, Any] = MappingProxyType({}),
    retry: bool = False,
) -> Counter[str]:
    """Shards of a data set, in its order; see `write_shards`, which goes on where it was stopped and raises as it does;
    also where the data set no longer has what is left to do.

    Boxes and masks stay as they are, in their own units; only pictures are made smaller.

    Args:
        options: that the data set was opened with. They are written down, so that a run which goes on packs the same
            set; where its files lie (`root`) may change.
    """
    names = [data.id(index) for index in range(len(data))]
    told = asdict(how) | {"data": data.name, "options": json.loads(json.dumps(dict(options), default=str))}
    refuse_other(output, {"how": told, "shard_size": shard_size})
    here = set(names)
    gone = [name for name in left_of(output) if name not in here]
    if gone:
        raise OutputError(
            f"{output}: {len(gone)} inputs of the run that was stopped are no more in {data.name} (first: "
            f"{', '.join(gone[:3])}). Bring them back, or write elsewhere"
        )
    return write_shards(Items(data, how), names, output, told, engine, shard_size, seen, retry)


def truth_as_dict(truth: Truth) -> dict[str, Any]:
    """All of a truth but its mask, as plain values."""
    told = {key: getattr(truth, key) for key in ("height", "width", "rule", "present", "annotators")}
    return told | {"boxes": [[box.x0, box.y0, box.x1, box.y1, box.annotator] for box in truth.boxes]}


def truth_of_dict(told: dict[str, Any], mask: Bool[Tensor, "h w"] | None) -> Truth:
    """The truth that `truth_as_dict` told of."""
    boxes = tuple(Box(*numbers) for numbers in told["boxes"])
    plain = {key: told[key] for key in ("height", "width", "rule", "present", "annotators")}
    return Truth(**plain, boxes=boxes, mask=mask)


def _png(mask: Bool[Tensor, "h w"]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask.numpy()).convert("1").save(file, "PNG", optimize=True)
    return file.getvalue()
