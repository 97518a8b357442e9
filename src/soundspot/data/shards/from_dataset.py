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

from soundspot.data.datasets.clip_ids import replace_dots
from soundspot.data.media.audio import resample
from soundspot.data.shards.from_videos import ImageShape, encode_audio, encode_image, encode_json
from soundspot.data.shards.writer import Executor, SampleRecord, check_manifest, remaining_inputs, write_shards
from soundspot.errors import DataError, InputError, OutputError
from soundspot.types import AudioVisualDataset, Box, GroundTruth

MASK_MEMBER = "mask.png"


@dataclass(frozen=True)
class PackingOptions:
    """How pictures and sounds are kept.

    Attributes:
        side: pixels of a picture's longer side at most.
        quality: of the JPEG files.
        rate: samples a second of the sounds, which are kept whole; None: their own.
        sound: `flac`, or `wav`, twice as large and quicker to read.
        shape: of pictures, see `soundspot.data.shards.from_videos.Preparation`; what is looked at afterwards should keep it.
    """

    max_side: int = 400
    quality: int = 90
    rate: int | None = 16000
    audio_format: Literal["flac", "wav"] = "flac"
    shape: ImageShape = "kept"


@dataclass(frozen=True)
class DatasetSampleReader:
    """Makes samples of the items of a data set; an input's name is its id."""

    data: AudioVisualDataset
    options: PackingOptions

    @cached_property
    def indices(self) -> dict[str, int]:
        return {self.data.id(index): index for index in range(len(self.data))}

    def key(self, name: str) -> str:
        """Its id, without dots, which end a key."""
        return replace_dots(name)

    def __call__(self, name: str) -> SampleRecord:
        index, how = self.indices[name], self.options
        try:
            picture, sound = self.data.read_image(index), resample(self.data.read_audio(index), how.rate)
        except InputError as error:
            return SampleRecord({}, error.cause, str(error))
        told: dict[str, Any] = {"id": name, "group": self.data.group(index), "category": self.data.category(index)}
        shown = encode_image(picture, how.max_side, how.quality, how.shape)
        parts = {"jpg": shown, how.audio_format: encode_audio(sound, how.audio_format)}
        try:
            truth = self.data.ground_truth(index)
        except DataError:  # clips to train on have none
            pass
        else:
            told["truth"] = ground_truth_to_dict(truth)
            if truth.mask is not None:
                parts[MASK_MEMBER] = _png(truth.mask)
        return SampleRecord({**parts, "json": encode_json(told)})


def write_shards_from_dataset(
    data: AudioVisualDataset,
    output: Path,
    options: PackingOptions,
    executor: Executor,
    shard_size: int = 500,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
    dataset_options: Mapping[str, Any] = MappingProxyType({}),
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
    told = asdict(options) | {"data": data.name, "options": json.loads(json.dumps(dict(dataset_options), default=str))}
    check_manifest(output, {"how": told, "shard_size": shard_size})
    here = set(names)
    gone = [name for name in remaining_inputs(output) if name not in here]
    if gone:
        raise OutputError(
            f"{output}: {len(gone)} inputs of the run that was stopped are no more in {data.name} (first: "
            f"{', '.join(gone[:3])}). Bring them back, or write elsewhere"
        )
    return write_shards(
        DatasetSampleReader(data, options), names, output, told, executor, shard_size, on_progress, retry
    )


def ground_truth_to_dict(ground_truth: GroundTruth) -> dict[str, Any]:
    """All of a truth but its mask, as plain values."""
    told = {key: getattr(ground_truth, key) for key in ("height", "width", "rule", "present", "annotators")}
    return told | {"boxes": [[box.x0, box.y0, box.x1, box.y1, box.annotator] for box in ground_truth.boxes]}


def ground_truth_from_dict(values: dict[str, Any], mask: Bool[Tensor, "h w"] | None) -> GroundTruth:
    """The truth that `truth_as_dict` told of."""
    boxes = tuple(Box(*numbers) for numbers in values["boxes"])
    plain = {key: values[key] for key in ("height", "width", "rule", "present", "annotators")}
    return GroundTruth(**plain, boxes=boxes, mask=mask)


def _png(mask: Bool[Tensor, "h w"]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask.numpy()).convert("1").save(file, "PNG", optimize=True)
    return file.getvalue()
