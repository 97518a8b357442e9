"""Where the sound comes from in each picture of a video: pictures and sound are read side by side, and forgotten.

The picture at moment t is asked with the sound around t, as long as the model's own window, so that it is the answer
that `Localizer.locate` gives for that picture and that sound. Pictures are encoded in batches; the sound is encoded
once for each step of the window, and not for each picture.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from whence.data.audio import as_sound, framed
from whence.data.flow import optical_flow
from whence.data.image import region_seen
from whence.data.soundtrack import Given, Sliding, SoundTrack
from whence.data.stream import Reel
from whence.errors import InputError
from whence.inference.localizer import Localizer
from whence.inference.notes import repeated
from whence.inference.soundmap import Rule, SoundMap
from whence.inference.steady import Smoothed, between
from whence.types import Moving

if TYPE_CHECKING:
    from whence.inference.record import Seen, Summary

BATCH = 16  # pictures that the network sees at once
HELD = 96_000_000  # bytes of pictures that may wait for a batch to be full
STEPS = 12  # codes of the sound in the time of one window


@dataclass(frozen=True, eq=False)
class Moment:
    """One picture of a video: its second, and where the sound around it comes from (`map.picture` is the picture)."""

    time: float
    map: SoundMap


Frame = tuple[float, Image.Image | Moving]


class LocatedVideo:
    """A video whose moments are computed while one iterates over it, in the memory of a few seconds.

    Each iteration reads the file anew. `save` runs once and writes everything that it is given a name for.

    Args:
        localizer: what is asked.
        path: a video that FFmpeg reads.
        sound: what is heard in place of the video's own sound, from the first picture on: a path (of a sound or of a
            video), a Sound, or (waveform, rate).
        rate: maps computed a second; those of the pictures between are interpolated. None: one for each picture. Not
            more than 96 MB of pictures wait for the next map, so that large ones have more: of 1920x1080 at least each
            15th picture, of 3840x2160 each third.
        smooth: seconds over which maps are averaged, by weights that fall by a factor of e in that time towards the
            past (nothing is known of the future, so that a live picture is treated alike); 0: not at all.
        step: seconds by which the window of sound moves on; None: a twelfth of its length.

    Attributes:
        seconds: that the video's header says it lasts; 0 where it does not say.
        begin: second of the file at which its pictures begin. picture_rate, colours: as `Reel` has them.
        notes: what a reader of the result should know, in sentences; end: second at which the last picture is no longer
            shown. Both are whole after an iteration.

    Raises:
        InputError: an option out of range, a model that hears no recordings, or a file that is missing, empty, or may
            not be read. VideoError: no video, or without sound where none is given.
    """

    def __init__(
        self,
        localizer: Localizer,
        path: str | Path,
        sound: Any = None,
        rate: float | int | None = None,
        smooth: float | int = 0.0,
        step: float | int | None = None,
    ) -> None:
        spec = localizer.method.front_end.audio
        if spec.vector:
            raise InputError(
                f"{localizer.name} hears vectors that another network made of sounds, and no recordings: it cannot "
                "follow a video. Use a model that hears sounds"
            )
        for name, value, least in (("rate", rate, 0), ("step", step, 0), ("smooth", smooth, -1)):
            if value is not None and not (math.isfinite(value) and value > least and value >= 0):
                raise InputError(f"{name}: found {value}, expected a number above 0" + " or 0" * (least < 0))
        self.localizer, self.path, self.sound = localizer, Path(path), sound
        self.rate, self.smooth, self.step = rate, smooth, step or spec.seconds / STEPS
        with Reel(self.path) as reel:
            self.seconds, self.begin, self.picture_rate = reel.promised, reel.begin, reel.rate
            self.colours = reel.colours
        if sound is not None and not isinstance(sound, str | Path):
            self.sound = as_sound(sound)
        with self.track():  # whether there is one
            pass
        self.notes, self.end = localizer.notes, self.seconds

    def __iter__(self) -> Iterator[Moment]:
        """Moments of all pictures, in order."""
        spec = self.localizer.method.front_end
        with Reel(self.path) as reel, self.track() as track:
            heard = Sliding(track, spec.audio.rate, spec.audio.seconds)
            pictures = reel.pictures()
            frames: Iterable[Frame] = with_flow(pictures) if spec.image.flow else pictures
            asker = Asker(self.localizer, heard, self.smooth, self.step)
            for batch in batches(frames, self.rate):
                yield from asker(*batch)
            lost = _damage(reel.damaged, track.damaged)
            self.notes = (*self.localizer.notes, *asker.notes, *lost, *_short(reel.end, self.seconds))
            self.end = reel.end

    def track(self) -> SoundTrack | Given:
        """What is heard, from the first picture on."""
        if self.sound is None:
            return SoundTrack(self.path, self.begin)
        return SoundTrack(Path(self.sound)) if isinstance(self.sound, str | Path) else Given(self.sound)

    def save(
        self,
        overlay: str | Path | None = None,
        sheet: str | Path | None = None,
        timeline: str | Path | None = None,
        frames: str | Path | None = None,
        maps: str | Path | None = None,
        overwrite: bool = True,
        seen: "Seen" = lambda done, of: None,
        rule: Rule = 0.5,
        opacity: float = 0.6,
    ) -> "Summary":
        """Run once and write what is named; a file appears whole or not at all. Returns how much was seen.

        Args:
            overlay: the video under the heat, with what was heard: H.264 and AAC (`.mp4`, `.mov`, `.mkv`).
            sheet: twelve moments side by side (`.jpg`, `.png`, `.webp`).
            timeline: the peak of each moment and the loudness over time (`.png`, `.jpg`, `.webp`).
            frames: a line for each picture: peak, presence, boxes and mask (`.json`).
            maps: raw maps and their seconds (`.npz`).
            overwrite: replace what is there.
            seen: told (seconds done, seconds in all as promised) on the way. What it raises ends the work, and no file
                is left.
            rule: what counts as found in boxes and masks; as `SoundMap.mask` has it.
            opacity: of the heat.

        Raises:
            OutputError: nothing is named, or a file cannot be written. VideoError: the video cannot be read.
        """
        from whence.inference.record import Outputs, record

        return record(self, Outputs(overlay, sheet, timeline, frames, maps, rule, opacity), overwrite, seen)


class Asker:
    """Asks batches of pictures with the sound around them; remembers what the next batch needs.

    Attributes:
        notes: what was found on the way.
    """

    def __init__(self, localizer: Localizer, heard: Sliding, smooth: float | int, step: float | int) -> None:
        self._localizer, self._heard, self._step = localizer, heard, step
        self._smoothed = Smoothed(smooth)
        self._codes: dict[int, Tensor] = {}
        self._silent: dict[int, bool] = {}
        self._last: tuple[float, Tensor] | None = None
        self.notes: tuple[str, ...] = ()

    def __call__(self, frames: list[Frame], asked: list[int]) -> Iterator[Moment]:
        """A moment for each frame.

        Args:
            asked: which of the frames the model is shown; the last one among them, but at the end of a video.
        """
        moments = [frames[i][0] for i in asked]
        windows = [round(moment / self._step) for moment in moments]
        maps = self._maps([frames[i][1] for i in asked], windows)
        known = [] if self._last is None else [self._last]
        known += [(moment, self._smoothed(moment, one)) for moment, one in zip(moments, maps, strict=True)]
        self._last = known[-1]
        scores = between([time for time, _ in known], torch.stack([one for _, one in known]), [t for t, _ in frames])
        at = -1
        for i, (time, shown) in enumerate(frames):
            at += at + 1 < len(asked) and asked[at + 1] <= i
            yield Moment(time, self._told(shown, scores[i], self._silent[windows[max(at, 0)]]))

    def _maps(self, pictures: list[Image.Image | Moving], windows: list[int]) -> Float[Tensor, "b h w"]:
        localizer, new = self._localizer, sorted(set(windows) - self._codes.keys())
        sounds = [self._heard.at(window * self._step) for window in new]
        spec = localizer.method.front_end.audio
        if sounds:
            codes = localizer.encode_sounds([framed(sound, spec) for sound in sounds])
            self._codes |= dict(zip(new, codes, strict=True))
            self._silent |= {window: sound.is_silent for window, sound in zip(new, sounds, strict=True)}
            self.notes = self.notes or tuple(repeated(sounds[0], spec.seconds))
        maps = localizer.maps(localizer.encode_images(pictures), torch.stack([self._codes[w] for w in windows]))
        for window in self._codes.keys() - {windows[-1]}:
            del self._codes[window]
        self._silent = {window: self._silent[window] for window in windows}
        return maps

    def _told(self, shown: Image.Image | Moving, scores: Float[Tensor, "h w"], silent: bool) -> SoundMap:
        picture = shown.picture if isinstance(shown, Moving) else shown
        method = self._localizer.method
        return SoundMap(
            scores,
            size=(picture.height, picture.width),
            readout=method.readout,
            region=region_seen(picture.size, method.front_end.image),
            picture=picture,
            threshold=self._localizer.threshold,
            silent=silent,
        )


def batches(frames: Iterable[Frame], rate: float | int | None) -> Iterator[tuple[list[Frame], list[int]]]:
    """Frames in stretches, and which of each are asked: as many as the network takes at once, or fewer where pictures
    are large. The last of a stretch is asked, whatever the rate says, but at the end of a video."""
    held: list[Frame] = []
    asked: list[int] = []
    due, most = -math.inf, 0
    for time, shown in frames:
        width, height = (shown.picture if isinstance(shown, Moving) else shown).size
        most = most or max(1, HELD // (3 * width * height))
        held.append((time, shown))
        if rate is None or time >= due - 1e-6 or len(held) >= most:
            asked.append(len(held) - 1)
            due = time + 1 / rate if rate and (due == -math.inf or time - due > 1 / rate) else due + 1 / (rate or 1)
            if len(asked) == BATCH or len(held) >= most:
                yield held, asked
                held, asked = [], []
    if held:
        yield held, asked or [len(held) - 1]


def with_flow(frames: Iterable[tuple[float, Image.Image]]) -> Iterator[Frame]:
    """Each picture with its optical flow until the next; the last one has the flow of the one before it."""
    last: tuple[float, Image.Image] | None = None
    flow: Float[Tensor, "2 h w"] | None = None
    for time, picture in frames:
        if last is not None:
            flow = optical_flow(last[1], picture)
            yield last[0], Moving(last[1], flow)
        last = time, picture
    if last is not None:
        still = torch.zeros(2, last[1].height, last[1].width)
        yield last[0], Moving(last[1], still if flow is None else flow)


def _damage(pictures: int, sounds: int) -> Iterator[str]:
    for count, what in ((pictures, "picture"), (sounds, "sound")):
        if count:
            yield f"{count} packets of {what} could not be used: the video is damaged or cut short there."


def _short(found: float, promised: float) -> Iterator[str]:
    if promised - found > max(1.0, 0.1 * promised):
        yield f"The header promises {promised:.1f} s, and {found:.1f} s of pictures could be read: it is cut short."
