"""What frozen stages give is computed once for all models that share them, and is the same from its file."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from soundspot.errors import DataError
from soundspot.models.encoders import build_encoder
from soundspot.models.frozen_outputs import FrozenOutputs, use_frozen_outputs
from soundspot.models.staged import StagedEncoder


class Stages:
    """Two outputs of different shapes, and a count of the batches that they were computed for."""

    def __init__(self) -> None:
        self.batches = 0

    def __call__(self, x: Tensor) -> tuple[Tensor, ...]:
        self.batches += 1
        return x * 2, x.sum((-2, -1))


def test_each_batch_is_computed_once_and_read_alike(tmp_path: Path) -> None:
    stages, x = Stages(), torch.rand(3, 2, 4, 5)
    outputs = FrozenOutputs(tmp_path / "new", is_written=True)
    first = outputs(x, stages)
    again = outputs(x[[2, 0]], stages)
    assert stages.batches == 1
    assert all(torch.equal(a, b[[2, 0]]) for a, b in zip(again, first, strict=True))


def test_what_is_not_there_is_computed_and_left_unwritten(tmp_path: Path) -> None:
    stages, x = Stages(), torch.rand(2, 1, 3, 3)
    FrozenOutputs(tmp_path, is_written=True)(x[:1], stages)
    torch.testing.assert_close(FrozenOutputs(tmp_path)(x, stages), stages(x))
    assert len([*tmp_path.iterdir()]) == 1
    assert stages.batches == 3


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    outputs, x = FrozenOutputs(tmp_path, is_written=True), torch.rand(1, 1, 2, 2)
    outputs(x, Stages())
    next(tmp_path.iterdir()).write_bytes(b"PK")
    with pytest.raises(DataError, match="expected outputs of frozen stages; delete it"):
        outputs(x, Stages())


def test_encoders_with_the_same_frozen_stages_share_a_folder(tmp_path: Path) -> None:
    def build(**options: object) -> StagedEncoder:
        torch.manual_seed(len(options))
        encoder = build_encoder({"encoder": "aisfx", "weights": "bundled", "width": 8, **options}, 1).eval()
        assert isinstance(encoder, StagedEncoder)
        return encoder

    first, second, learning = build(trained=0), build(trained=0, neck_depth=1), build(trained="all")
    for encoder in (first, second, learning):
        use_frozen_outputs(encoder, tmp_path, is_written=True)
    x = torch.rand(1, 1, 96, 60)
    expected = first.forward_trained(first.forward_frozen(x))
    assert learning.frozen_outputs is None
    assert first.frozen_outputs == second.frozen_outputs
    with torch.no_grad():
        torch.testing.assert_close(first(x), expected)
    assert isinstance(second.frozen_outputs, FrozenOutputs)
    assert len([*second.frozen_outputs.folder.iterdir()]) == 1
