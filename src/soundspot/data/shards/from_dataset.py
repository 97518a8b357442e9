"""Shards from any data set: catalogs, public layouts, scenes; with their categories and ground truth."""

import io
import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple, dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from soundspot.data.datasets.clip_ids import replace_dots
from soundspot.data.shards.encoding import ShardFormat, encode_json
from soundspot.data.shards.writer import Executor, SampleRecord, write_shards
from soundspot.errors import DataError, InputError
from soundspot.types import AudioVisualDataset, Box, GroundTruth, GroundTruthRule

MASK_MEMBER = "mask.png"
MAX_BOXES = 1000  # of one image: each has a layer of its own where annotators are counted


@dataclass(frozen=True)
class DatasetSampleReader:
    """Reader of the samples of a data set; the name of an input is the id of the sample.

    Called with an id, it returns a `SampleRecord` with image, audio, JSON and, if available, mask; or the failure.

    Attributes:
        data: data set whose samples are read.
        format: format of the shards.
        dataset_options: options that the data set was opened with; recorded in the settings, so that a run that is
            continued writes the same set. The folder of its files (`root`) may change.
    """

    data: AudioVisualDataset
    format: ShardFormat
    dataset_options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Settings that the samples depend on, as JSON values: format, name of the data set and its options."""
        options = json.loads(json.dumps(dict(self.dataset_options), default=str))
        return {"options": asdict(self.format), "data": self.data.name, "dataset_options": options}

    @property
    def shard_size(self) -> int:
        """Number of inputs in a shard."""
        return self.format.shard_size

    @cached_property
    def indices(self) -> dict[str, int]:
        """Position of each sample by its id."""
        return {self.data.id(index): index for index in range(len(self.data))}

    def key(self, name: str) -> str:
        """Return the key of a sample in shards.

        Args:
            name: id of the sample.

        Returns:
            The id with `_` for each dot, as a dot would end the key.
        """
        return replace_dots(name)

    def __call__(self, name: str) -> SampleRecord:
        data, index = self.data, self.indices.get(name)
        if index is None:
            return SampleRecord({}, "missing", f"{name}: is no longer in {data.name}, expected it there. Put it back")
        try:
            image, audio = data.read_image(index), data.read_audio(index)
        except InputError as error:
            return SampleRecord({}, error.cause, str(error))
        values: dict[str, Any] = {"id": name, "group": data.group(index), "category": data.category(index)}
        if (audio_id := data.audio_id(index)) != name:  # else it is the key, which has no dots
            values["audio_id"] = replace_dots(audio_id)
        files = {
            "jpg": self.format.encode_image(image),
            self.format.audio_format: self.format.encode_audio(audio),
        }
        try:
            ground_truth = data.ground_truth(index)
        except DataError:  # training clips have none
            pass
        else:
            values["ground_truth"] = ground_truth_to_dict(ground_truth)
            if ground_truth.mask is not None:
                files[MASK_MEMBER] = _encode_mask(ground_truth.mask)
        return SampleRecord({**files, "json": encode_json(values)})


def write_shards_from_dataset(
    data: AudioVisualDataset,
    output: Path,
    format: ShardFormat,
    executor: Executor,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    retry: bool = False,
    dataset_options: Mapping[str, Any] = MappingProxyType({}),
) -> Counter[str]:
    """Write shards of a data set, in its order; a stopped run is continued.

    Boxes and masks keep their own units; only images are made smaller.

    Args:
        data: data set to write.
        output: folder of the shards.
        format: format of the shards.
        executor: executor that reads the samples.
        on_progress: called with (samples done, samples in all).
        retry: whether samples that failed in an earlier run are read again.
        dataset_options: options that the data set was opened with, to be recorded.

    Returns:
        Number of samples by cause of failure; "" counts those that were written.

    Raises:
        DataError: two samples would have the same key.
        OutputError: the folder holds something else, or shards with other settings, or the disk is full.
    """
    source = DatasetSampleReader(data, format, dict(dataset_options))
    return write_shards(source, [data.id(index) for index in range(len(data))], output, executor, on_progress, retry)


def ground_truth_to_dict(ground_truth: GroundTruth) -> dict[str, Any]:
    """Convert a ground truth, without its mask, to plain values.

    Args:
        ground_truth: ground truth of one sample.

    Returns:
        Its attributes by name, except `mask`; each box is [x0, y0, x1, y1, annotator].
    """
    values = {name: value for name, value in vars(ground_truth).items() if name != "mask"}
    return values | {"boxes": [astuple(box) for box in ground_truth.boxes]}


def ground_truth_from_dict(values: dict[str, Any], mask: Bool[Tensor, "h w"] | None) -> GroundTruth:
    """Build a ground truth from the values that `ground_truth_to_dict` made.

    Args:
        values: attributes by name, except `mask`.
        mask: (h, w) bool; None: there is no mask.

    Returns:
        The ground truth.

    Raises:
        ValueError: the size, the rule or a box is none, or there are more than `MAX_BOXES` boxes.
        KeyError, TypeError: the values are no attributes of a ground truth.
    """
    boxes = tuple(Box(*numbers) for numbers in values["boxes"])
    ground_truth = GroundTruth(**values | {"boxes": boxes, "mask": mask})
    numbers = [ground_truth.height, ground_truth.width, *(number for box in boxes for number in astuple(box))]
    if len(boxes) > MAX_BOXES or not all(isinstance(number, int | float) and abs(number) < 1e300 for number in numbers):
        raise ValueError(f"found a size or boxes that are not numbers, or more than {MAX_BOXES} boxes")
    if min(ground_truth.height, ground_truth.width) <= 0 or ground_truth.rule not in get_args(GroundTruthRule):
        raise ValueError(f"found the size {ground_truth.height} x {ground_truth.width}, the rule {ground_truth.rule!r}")
    return ground_truth


def _encode_mask(mask: Bool[Tensor, "h w"]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(mask.numpy()).convert("1").save(file, "PNG", optimize=True)
    return file.getvalue()
