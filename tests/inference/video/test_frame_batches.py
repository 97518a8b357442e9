"""Frames wait for a batch in bounded memory, each with the flow to the next."""

import pytest
import torch
from PIL import Image

from soundspot.inference.video.frame_batches import BATCH_SIZE, MAX_BUFFERED_BYTES, iter_batches, iter_with_flow
from soundspot.types import ImageWithFlow


def test_pictures_wait_in_bounded_memory() -> None:
    large = Image.new("RGB", (4000, 3000))
    assert {len(held) for held, _ in iter_batches(((t / 25, large) for t in range(6)), 1)} == {
        MAX_BUFFERED_BYTES // 36_000_000
    }
    small = Image.new("RGB", (32, 32))
    found = list(iter_batches(((t / 25, small) for t in range(100)), None))
    assert [len(held) for held, _ in found] == [BATCH_SIZE] * (100 // BATCH_SIZE) + [100 % BATCH_SIZE]
    assert all(asked == list(range(len(held))) for held, asked in found)


def test_flow_is_of_each_picture_and_the_next() -> None:
    pytest.importorskip("cv2")
    one, two = Image.new("RGB", (32, 32)), Image.effect_noise((32, 32), 90).convert("RGB")
    found = [shown for _, shown in iter_with_flow([(0.0, one), (0.1, one), (0.2, two)])]
    assert all(isinstance(shown, ImageWithFlow) for shown in found)
    assert not found[0].flow.any()
    assert torch.equal(found[2].flow, found[1].flow)
