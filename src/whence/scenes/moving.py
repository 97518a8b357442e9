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

from whence.data.h264 import encoder
from whence.errors import RecipeError
from whence.output import whole_file
from whence.randomness import generator
from whence.scenes.procedural import ProceduralSource
from whence.scenes.source import ObjectSource
from whence.types import Box, Sound, Truth

ROUND = 12.0  # seconds in which an object goes round


@dataclass(frozen=True, eq=False)
class MovingScene:
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
    plan: tuple[tuple[float, int | None], ...] = ((0.0, 0),)
    seconds: float = 60.0
    rate: int = 25
    size: tuple[int, int] = (640, 360)
    object_size: float = 0.4
    sound_rate: int = 16000
    seed: int = 0
    source: ObjectSource = field(default_factory=ProceduralSource)

    def __post_init__(self) -> None:
        begins = [begin for begin, _ in self.plan]
        if not begins or begins[0] != 0 or begins != sorted(begins):
            raise RecipeError(f"plan: found changes at {begins}, expected rising seconds from 0 on")
        if not 0 < self.object_size <= 0.5 or self.seconds <= 0 or self.rate < 1:
            raise RecipeError("a moving scene needs an object_size within 0 to 0.5, and seconds and rate above 0")

    def __len__(self) -> int:
        return round(self.seconds * self.rate)

    def sounding(self, moment: float | int) -> int | None:
        """Which object is heard at a moment; None: none."""
        return [who for begin, who in self.plan if begin <= moment][-1]

    def box(self, moment: float | int, which: int) -> Box:
        """Where an object is at a moment."""
        width, height = self.size
        turn = 2 * np.pi * (moment / ROUND + which / 2)
        tall, wide = self._objects[which].shape[:2]
        x = round(width * (0.5 + 0.34 * np.cos(turn)) - wide / 2)
        y = round(height * (0.5 + 0.27 * np.sin(turn)) - tall / 2)
        return Box(float(x), float(y), float(x + wide), float(y + tall))

    def picture(self, moment: float | int) -> Image.Image:
        """What is seen at a moment."""
        canvas = self._background.copy()
        for which, patch in enumerate(self._objects):
            box = self.box(moment, which)
            window = canvas[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)]
            np.copyto(window, patch[..., :3], where=patch[..., 3:] > 0)
        return Image.fromarray(canvas)

    def truth(self, moment: float | int) -> Truth:
        """Mask and box of the object that is heard at a moment."""
        which, (width, height) = self.sounding(moment), self.size
        mask = torch.zeros(height, width, dtype=torch.bool)
        if which is None:
            return Truth(height, width, mask=mask, rule="mask", present=False)
        box = self.box(moment, which)
        mask[int(box.y0) : int(box.y1), int(box.x0) : int(box.x1)] = torch.from_numpy(self._objects[which][..., 3] > 0)
        return Truth(height, width, (box,), mask, "mask")

    def sounds(self) -> Iterator[Sound]:
        """What is heard, stretch by stretch of the plan, together as long as the clip."""
        ends = [*(begin for begin, _ in self.plan[1:]), self.seconds]
        for number, ((begin, who), end) in enumerate(zip(self.plan, ends, strict=True)):
            left = round(min(end, self.seconds) * self.sound_rate) - round(begin * self.sound_rate)
            while left > 0:
                count = min(left, 30 * self.sound_rate)
                yield self._sound(who, number, count)
                left -= count

    def write(self, path: Path) -> Path:
        """Write it as MP4: H.264 and AAC.

        Raises:
            OutputError: it cannot be written.
        """
        import av

        name, options = encoder(crf=18)
        with whole_file(path) as draft, av.open(str(draft), "w", options=_QUICK) as file:
            pictures: Any = file.add_stream(name, rate=self.rate, options=options)
            pictures.width, pictures.height, pictures.pix_fmt = *self.size, "yuv420p"
            heard: Any = file.add_stream("aac", rate=self.sound_rate, layout="mono")
            sounds, given = self.sounds(), 0
            for number in range(len(self)):
                while given <= number / self.rate * self.sound_rate and (sound := next(sounds, None)) is not None:
                    frame = av.AudioFrame.from_ndarray(sound.waveform[None].numpy(), format="fltp", layout="mono")
                    frame.rate, frame.pts, frame.time_base = self.sound_rate, given, Fraction(1, self.sound_rate)
                    file.mux(heard.encode(frame))
                    given += len(sound.waveform)
                shown = av.VideoFrame.from_image(self.picture(number / self.rate))
                file.mux(pictures.encode(shown))
            file.mux(pictures.encode())
            file.mux(heard.encode())
        return path

    def _sound(self, who: int | None, number: int, count: int) -> Sound:
        if who is None:
            return Sound(torch.zeros(count), self.sound_rate)
        rng = generator("moving", self.seed, "sound", number)
        return self.source.draw_sound(self.categories[who], rng, count / self.sound_rate, self.sound_rate)

    @cached_property
    def _background(self) -> UInt8[np.ndarray, "h w 3"]:
        width, height = self.size
        return self.source.background(generator("moving", self.seed, "background"), height, width)

    @cached_property
    def _objects(self) -> list[UInt8[np.ndarray, "h w 4"]]:
        side = round(self.object_size * self.size[1])
        return [
            self.source.draw_object(category, generator("moving", self.seed, "object", which), side)
            for which, category in enumerate(self.categories)
        ]


_QUICK = {"movflags": "+faststart"}
