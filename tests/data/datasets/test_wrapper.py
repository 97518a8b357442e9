"""A data set that wraps another one forwards every member of the protocol that it does not override."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from soundspot.data.datasets.auxiliary import AuxiliaryDataset
from soundspot.data.datasets.concat import ConcatDataset
from soundspot.training.feature_plan import RepeatedEpochs
from soundspot.types import Audio, AudioVisualDataset, GroundTruth

MEMBERS = {name: member for name, member in vars(AudioVisualDataset).items() if not name.startswith("_")}
OF_SAMPLES = [n for n, m in MEMBERS.items() if callable(m) and "index" in inspect.signature(m).parameters]
OF_DATA_SET = {"categories": ("bell",), "has_train_ground_truth": True, "count_frames": 3, "shard_ids": np.arange(4)}


class Recording(AudioVisualDataset):
    """Four samples; each member of one returns its own name and the position."""

    name = "recording"
    split = "val"
    categories = OF_DATA_SET["categories"]  # type: ignore[assignment]
    has_train_ground_truth = True  # type: ignore[assignment]

    def __len__(self) -> int:
        return 4

    def count_frames(self) -> int:
        return OF_DATA_SET["count_frames"]  # type: ignore[return-value]

    def shard_ids(self) -> np.ndarray:
        return OF_DATA_SET["shard_ids"]  # type: ignore[return-value]

    def at_epoch(self, epoch: int) -> AudioVisualDataset:
        return self if epoch == 0 else Recording()


VALUES: dict[str, Callable[[int], Any]] = {
    "visible_categories": lambda index: ("bell", f"thing {index}"),
    "read_image": lambda index: Image.new("RGB", (1, 1), (index, 0, 0)),
    "read_audio": lambda index: Audio(torch.full((1,), float(index)), 8000),
    "ground_truth": lambda index: GroundTruth(1, 1, num_annotators=index),
    "read_train_ground_truth": lambda index: GroundTruth(2, 2, num_annotators=index),
    "read_flow": lambda index: torch.full((2, 1, 1), float(index)),
    "read_audio_embedding": lambda index: torch.full((3,), float(index)),
}
RESULTS = {name: VALUES.get(name, f"{name} {{}}".format)(2) for name in OF_SAMPLES}
for name in OF_SAMPLES:
    setattr(Recording, name, lambda self, index, name=name: RESULTS[name] if index == 2 else f"{name} {index}")

WRAPPERS: dict[str, Callable[[], AudioVisualDataset]] = {
    "auxiliary": lambda: AuxiliaryDataset(Recording(), train_ground_truth="own"),
    "concat": lambda: ConcatDataset([Recording()], [1]),
    "repeated": lambda: RepeatedEpochs(Recording(), 2),
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_every_member_is_that_of_the_wrapped_data_set(kind: str) -> None:
    assert {*OF_SAMPLES, *OF_DATA_SET, "at_epoch", "split"} == {*MEMBERS}
    data = WRAPPERS[kind]()
    for samples in (data, data.at_epoch(1)):
        assert (len(samples), samples.name, samples.split) == (4, "recording", "val")
        assert all(getattr(samples, name)(2) is RESULTS[name] for name in OF_SAMPLES)
        assert (samples.categories, samples.has_train_ground_truth, samples.count_frames()) == (("bell",), True, 3)
        assert samples.shard_ids() is (None if kind == "concat" else OF_DATA_SET["shard_ids"])  # shards of several mix
