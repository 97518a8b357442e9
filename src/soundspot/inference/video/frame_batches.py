"""Frames of a video as they go to the network: in batches with key frames, with optical flow, the last one held."""

import math
from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from soundspot.data.media.optical_flow import compute_optical_flow
from soundspot.inference.batch_localizer import ImageInput
from soundspot.types import ImageWithFlow

BATCH_SIZE = 8  # frames that the network encodes at once
MAX_BUFFERED_BYTES = 96_000_000  # of frames that wait for a batch to be full

TimedInput = tuple[float, ImageInput]


def iter_batches(
    frames: Iterable[TimedInput], maps_per_second: float | int | None, batch_size: int = BATCH_SIZE
) -> Iterator[tuple[list[TimedInput], list[int]]]:
    """Divide frames into batches, and choose the key frames of each, whose maps are computed.

    A batch ends with a key frame, and has `batch_size` of them; it ends sooner where its frames fill 96 MB, or at the
    end of the video.

    Args:
        frames: pairs of time in seconds, rising, and image of each frame.
        maps_per_second: rate of key frames; None: each frame is a key frame.
        batch_size: number of key frames of a batch.

    Yields:
        Frames of a batch, and the indices of the key frames among them, rising, not empty.
    """
    batch: list[TimedInput] = []
    keys: list[int] = []
    due, max_frames = -math.inf, 0
    for time, image in frames:
        width, height = (image.image if isinstance(image, ImageWithFlow) else image).size
        max_frames = max_frames or max(1, MAX_BUFFERED_BYTES // (3 * width * height))
        batch.append((time, image))
        if maps_per_second is None or time >= due - 1e-6 or len(batch) >= max_frames:
            keys.append(len(batch) - 1)
            interval = 1 / (maps_per_second or 1)
            is_late = due == -math.inf or time - due > interval
            due = time + interval if maps_per_second and is_late else due + interval
            if len(keys) == batch_size or len(batch) >= max_frames:
                yield batch, keys
                batch, keys = [], []
    if batch:
        yield batch, keys or [len(batch) - 1]


def hold_last(
    frames: Iterable[tuple[float, Image.Image]], until: float | int, frame_rate: float | int
) -> Iterator[tuple[float, Image.Image]]:
    """Go on showing the last frame, as players do while there is still sound.

    Args:
        frames: pairs of time in seconds and image of each frame.
        until: second at which the last frame ends.
        frame_rate: frames per second that are added.

    Yields:
        Time and image of each frame, and of the last again up to a frame before `until`.
    """
    last: tuple[float, Image.Image] | None = None
    for frame in frames:
        yield (last := frame)
    if last is not None:
        for number in range(1, round((until - last[0]) * frame_rate)):
            yield last[0] + number / frame_rate, last[1]


def iter_with_flow(frames: Iterable[tuple[float, Image.Image]]) -> Iterator[TimedInput]:
    """Add to each frame its optical flow to the next frame; the last frame has the flow of the frame before it.

    Args:
        frames: pairs of time in seconds and image of each frame.

    Yields:
        Time and image with flow, in pixels to the next frame, of each frame; a single frame has zero flow.
    """
    last: tuple[float, Image.Image] | None = None
    flow: Float[Tensor, "2 h w"] | None = None
    for time, image in frames:
        if last is not None:
            flow = compute_optical_flow(last[1], image)
            yield last[0], ImageWithFlow(last[1], flow)
        last = time, image
    if last is not None:
        still = torch.zeros(2, last[1].height, last[1].width)
        yield last[0], ImageWithFlow(last[1], still if flow is None else flow)
