"""A video with known ground truth: two objects that move over a background, of which at most one sounds at a time.

Both move on one ellipse, half a turn apart, so that neither position nor motion reveals which of them sounds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from soundspot.data.media.clip_writer import write_clip
from soundspot.errors import RecipeError
from soundspot.scenes.procedural import ProceduralSource
from soundspot.scenes.source import ObjectSource
from soundspot.types import Audio, Box, GroundTruth
from soundspot.utils.hash_rng import Key, make_generator

ORBIT_SECONDS = 12.0  # time in which an object completes the ellipse


@dataclass(frozen=True, eq=False)
class VideoScene:
    """A video of two moving objects, at most one of which sounds at a time; it follows from its attributes.

    Attributes:
        categories: categories of the two objects.
        schedule: (second, what sounds from then on), in rising order, the first at second 0: index of an object, name
            of a category that is not in the picture, or None for silence.
        seconds, fps: duration in seconds, and frames per second.
        size: (width, height) of the frames in pixels.
        object_size: longer side of an object, as a share of the height, in (0, 0.5].
        sample_rate: sample rate of the audio in Hz.
        seed: seed of background, appearance and sounds.
        source: source of objects, sounds and background.

    Raises:
        RecipeError: the schedule does not begin at 0 or does not rise, an off-screen category is that of an object, or
            another attribute is out of range.
    """

    categories: tuple[str, str]
    schedule: tuple[tuple[float, int | str | None], ...] = ((0.0, 0),)
    seconds: float = 60.0
    fps: int = 25
    size: tuple[int, int] = (640, 360)
    object_size: float = 0.4
    sample_rate: int = 16000
    seed: int = 0
    source: ObjectSource = field(default_factory=ProceduralSource)

    def __post_init__(self) -> None:
        starts = [start for start, _ in self.schedule]
        if not starts or starts[0] != 0 or starts != sorted(starts):
            raise RecipeError(f"schedule: found changes at {starts}, expected rising seconds from 0 on")
        if visible := {sound for _, sound in self.schedule} & {*self.categories}:
            raise RecipeError(
                f"schedule: found {visible.pop()!r} as off-screen sound, and an object is of that category; give the "
                "object's index, or another category"
            )
        if not 0 < self.object_size <= 0.5 or self.seconds <= 0 or self.fps < 1:
            raise RecipeError("a video scene needs an object_size within 0 to 0.5, and seconds and fps above 0")

    def __len__(self) -> int:
        return round(self.seconds * self.fps)

    def sounding_object(self, time: float | int) -> int | None:
        """Return the index of the object that sounds at a time.

        Args:
            time: time in seconds, 0 or more.

        Returns:
            0 or 1; None in silence and while an off-screen sound is audible. After the last entry of the schedule, that
            entry holds.
        """
        sound = [sound for start, sound in self.schedule if start <= time][-1]
        return sound if isinstance(sound, int) else None

    def box(self, time: float | int, object_index: int) -> Box:
        """Return the box of an object at a time.

        Args:
            time: time in seconds.
            object_index: index of the object, 0 or 1.

        Returns:
            Box in whole pixels of the frame.
        """
        width, height = self.size
        turn = 2 * np.pi * (time / ORBIT_SECONDS + object_index / 2)
        h, w = self._objects[object_index].shape[:2]
        x = round(width * (0.5 + 0.34 * np.cos(turn)) - w / 2)
        y = round(height * (0.5 + 0.27 * np.sin(turn)) - h / 2)
        return Box(float(x), float(y), float(x + w), float(y + h))

    def render(self, time: float | int) -> Image.Image:
        """Draw the frame at a time.

        Args:
            time: time in seconds.

        Returns:
            RGB image of `size`.
        """
        canvas = self._background.copy()
        for index, patch in enumerate(self._objects):
            box = self.box(time, index)
            window = canvas[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
            np.copyto(window, patch[..., :3], where=patch[..., 3:] > 0)
        return Image.fromarray(canvas)

    def ground_truth(self, time: float | int) -> GroundTruth:
        """Return mask and box of the object that sounds at a time.

        Args:
            time: time in seconds, 0 or more.

        Returns:
            Ground truth of rule `mask` in pixels of the frame; an empty mask and `present=False` where neither
            object sounds.
        """
        index, (width, height) = self.sounding_object(time), self.size
        mask = torch.zeros(height, width, dtype=torch.bool)
        if index is None:
            return GroundTruth(height, width, mask=mask, rule="mask", present=False)
        box = self.box(time, index)
        mask[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = torch.from_numpy(self._objects[index][..., 3] > 0)
        return GroundTruth(height, width, (box,), mask, "mask")

    def iter_audio(self) -> Iterator[Audio]:
        """Draw the audio in order, entry by entry of the schedule, in pieces of at most 30 s.

        Yields:
            Mono audio at `sample_rate`; the pieces together last `seconds`.
        """
        ends = [*(start for start, _ in self.schedule[1:]), self.seconds]
        for number, ((start, sound), end) in enumerate(zip(self.schedule, ends, strict=True)):
            remaining = round(min(end, self.seconds) * self.sample_rate) - round(start * self.sample_rate)
            while remaining > 0:
                count = min(remaining, 30 * self.sample_rate)
                yield self._draw_audio(sound, number, count)
                remaining -= count

    def write(self, path: Path) -> Path:
        """Write the video as MP4, H.264 and AAC; the file appears complete or not at all.

        Args:
            path: path of the file; an existing file is replaced.

        Returns:
            The path.

        Raises:
            OutputError: the file cannot be written.
            RecipeError: FFmpeg has no encoder of H.264 here.
        """
        frames = (self.render(number / self.fps) for number in range(len(self)))
        write_clip(path, frames, self.fps, self.iter_audio())
        return path

    def _draw_audio(self, sound: int | str | None, number: int, count: int) -> Audio:
        if sound is None:
            return Audio(torch.zeros(count), self.sample_rate)
        rng = make_generator(Key.VIDEO_SCENE, self.seed, Key.SCENE_AUDIO, number)
        category = sound if isinstance(sound, str) else self.categories[sound]
        return self.source.draw_audio(category, rng, count / self.sample_rate, self.sample_rate)

    @cached_property
    def _background(self) -> UInt8[np.ndarray, "h w 3"]:
        width, height = self.size
        return self.source.draw_background(make_generator(Key.VIDEO_SCENE, self.seed, Key.BACKGROUND), height, width)

    @cached_property
    def _objects(self) -> list[UInt8[np.ndarray, "h w 4"]]:
        side = round(self.object_size * self.size[1])
        return [
            self.source.draw_object(category, make_generator(Key.VIDEO_SCENE, self.seed, Key.OBJECT, index), side)
            for index, category in enumerate(self.categories)
        ]
