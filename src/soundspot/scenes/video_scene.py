"""A clip with a known answer: two objects that move over a background, of which one sounds at a time.

Both go round one ellipse, half a turn apart, so that neither the place nor the motion tells which of them sounds.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from soundspot.errors import RecipeError
from soundspot.scenes.procedural import ProceduralSource
from soundspot.scenes.source import ObjectSource
from soundspot.types import Audio, Box, GroundTruth
from soundspot.utils.atomic_io import atomic_write
from soundspot.utils.hash_rng import make_generator

ORBIT_SECONDS = 12.0  # seconds in which an object goes round


@dataclass(frozen=True, eq=False)
class VideoScene:
    """The clip; everything about it follows from its attributes.

    Attributes:
        categories: of the two objects.
        plan: who sounds from which second on: 0, 1, or None for silence; the first from second 0.
        seconds, rate: its length, and pictures a second.
        size: (width, height) of its pictures.
        object_size: an object's longer side, as a share of the height.
        sound_rate: samples a second.
        seed: another one gives another background, looks and sounds.
    """

    categories: tuple[str, str]
    schedule: tuple[tuple[float, int | None], ...] = ((0.0, 0),)
    seconds: float = 60.0
    fps: int = 25
    size: tuple[int, int] = (640, 360)
    object_size: float = 0.4
    sample_rate: int = 16000
    seed: int = 0
    source: ObjectSource = field(default_factory=ProceduralSource)

    def __post_init__(self) -> None:
        begins = [begin for begin, _ in self.schedule]
        if not begins or begins[0] != 0 or begins != sorted(begins):
            raise RecipeError(f"plan: found changes at {begins}, expected rising seconds from 0 on")
        if not 0 < self.object_size <= 0.5 or self.seconds <= 0 or self.fps < 1:
            raise RecipeError("a moving scene needs an object_size within 0 to 0.5, and seconds and rate above 0")

    def __len__(self) -> int:
        return round(self.seconds * self.fps)

    def sounding_object(self, time: float | int) -> int | None:
        """Which object is heard at a moment; None: none."""
        return [who for begin, who in self.schedule if begin <= time][-1]

    def box(self, time: float | int, object_index: int) -> Box:
        """Where an object is at a moment."""
        width, height = self.size
        turn = 2 * np.pi * (time / ORBIT_SECONDS + object_index / 2)
        tall, wide = self._objects[object_index].shape[:2]
        x = round(width * (0.5 + 0.34 * np.cos(turn)) - wide / 2)
        y = round(height * (0.5 + 0.27 * np.sin(turn)) - tall / 2)
        return Box(float(x), float(y), float(x + wide), float(y + tall))

    def render(self, time: float | int) -> Image.Image:
        """What is seen at a moment."""
        canvas = self._background.copy()
        for which, patch in enumerate(self._objects):
            box = self.box(time, which)
            window = canvas[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
            np.copyto(window, patch[..., :3], where=patch[..., 3:] > 0)
        return Image.fromarray(canvas)

    def ground_truth(self, time: float | int) -> GroundTruth:
        """Mask and box of the object that is heard at a moment."""
        which, (width, height) = self.sounding_object(time), self.size
        mask = torch.zeros(height, width, dtype=torch.bool)
        if which is None:
            return GroundTruth(height, width, mask=mask, rule="mask", present=False)
        box = self.box(time, which)
        mask[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = torch.from_numpy(self._objects[which][..., 3] > 0)
        return GroundTruth(height, width, (box,), mask, "mask")

    def iter_audio(self) -> Iterator[Audio]:
        """What is heard, stretch by stretch of the plan, together as long as the clip."""
        ends = [*(begin for begin, _ in self.schedule[1:]), self.seconds]
        for number, ((begin, who), end) in enumerate(zip(self.schedule, ends, strict=True)):
            left = round(min(end, self.seconds) * self.sample_rate) - round(begin * self.sample_rate)
            while left > 0:
                count = min(left, 30 * self.sample_rate)
                yield self._sound(who, number, count)
                left -= count

    def write(self, path: Path) -> Path:
        """Write it as MP4: H.264 and AAC.

        Raises:
            OutputError: it cannot be written.
        """
        from soundspot.data.media.ffmpeg import av, choose_encoder

        name, options = choose_encoder(crf=18)
        with atomic_write(path) as draft, av.open(str(draft), "w", options=_QUICK) as file:
            pictures: Any = file.add_stream(name, rate=self.fps, options=options)
            pictures.width, pictures.height, pictures.pix_fmt = *self.size, "yuv420p"
            heard: Any = file.add_stream("aac", rate=self.sample_rate, layout="mono")
            sounds, given = self.iter_audio(), 0
            for number in range(len(self)):
                while given <= number / self.fps * self.sample_rate and (sound := next(sounds, None)) is not None:
                    frame = av.AudioFrame.from_ndarray(sound.waveform[None].numpy(), format="fltp", layout="mono")
                    frame.rate, frame.pts, frame.time_base = self.sample_rate, given, Fraction(1, self.sample_rate)
                    file.mux(heard.encode(frame))
                    given += len(sound.waveform)
                shown = av.VideoFrame.from_image(self.render(number / self.fps))
                file.mux(pictures.encode(shown))
            file.mux(pictures.encode())
            file.mux(heard.encode())
        return path

    def _sound(self, who: int | None, number: int, count: int) -> Audio:
        if who is None:
            return Audio(torch.zeros(count), self.sample_rate)
        rng = make_generator("moving", self.seed, "sound", number)
        return self.source.draw_audio(self.categories[who], rng, count / self.sample_rate, self.sample_rate)

    @cached_property
    def _background(self) -> UInt8[np.ndarray, "h w 3"]:
        width, height = self.size
        return self.source.draw_background(make_generator("moving", self.seed, "background"), height, width)

    @cached_property
    def _objects(self) -> list[UInt8[np.ndarray, "h w 4"]]:
        side = round(self.object_size * self.size[1])
        return [
            self.source.draw_object(category, make_generator("moving", self.seed, "object", which), side)
            for which, category in enumerate(self.categories)
        ]


_QUICK = {"movflags": "+faststart"}
