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

from soundspot.data.media.audio import as_audio, pad_to_window
from soundspot.data.media.audio_stream import AudioStream, InMemoryAudio, SlidingWindow
from soundspot.data.media.image import visible_region
from soundspot.data.media.optical_flow import compute_optical_flow
from soundspot.data.media.video_stream import VideoStream
from soundspot.errors import InputError
from soundspot.inference.localizer import Localizer
from soundspot.inference.result import LocalizationMap, MaskThreshold
from soundspot.inference.video.smoothing import MapSmoother, interpolate_maps
from soundspot.inference.warnings import short_audio_warnings
from soundspot.types import ImageWithFlow

if TYPE_CHECKING:
    from soundspot.inference.video.save import ProgressCallback, VideoSummary

BATCH_SIZE = 16  # pictures that the network sees at once
MAX_BUFFERED_BYTES = 96_000_000  # bytes of pictures that may wait for a batch to be full
HOPS_PER_WINDOW = 12  # codes of the sound in the time of one window


@dataclass(frozen=True, eq=False)
class FrameResult:
    """One picture of a video: its second, and where the sound around it comes from (`map.picture` is the picture)."""

    time: float
    map: LocalizationMap


Frame = tuple[float, Image.Image | ImageWithFlow]


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
        audio: Any = None,
        maps_per_second: float | int | None = None,
        smooth: float | int = 0.0,
        audio_hop: float | int | None = None,
    ) -> None:
        spec = localizer.method.front_end.audio
        if spec.embedding_dim:
            raise InputError(
                f"{localizer.name} hears vectors that another network made of sounds, and no recordings: it cannot "
                "follow a video. Use a model that hears sounds"
            )
        for name, value, least in (("rate", maps_per_second, 0), ("step", audio_hop, 0), ("smooth", smooth, -1)):
            if value is not None and not (math.isfinite(value) and value > least and value >= 0):
                raise InputError(f"{name}: found {value}, expected a number above 0" + " or 0" * (least < 0))
        self.localizer, self.path, self.audio = localizer, Path(path), audio
        self.maps_per_second, self.smooth, self.audio_hop = (
            maps_per_second,
            smooth,
            audio_hop or spec.seconds / HOPS_PER_WINDOW,
        )
        with VideoStream(self.path) as reel:
            self.seconds, self.start_time, self.frame_rate = reel.header_duration, reel.start_time, reel.frame_rate
            self.colorspace = reel.colorspace
        if audio is not None and not isinstance(audio, str | Path):
            self.audio = as_audio(audio)
        with self.open_audio():  # whether there is one
            pass
        self.notes, self.end_time = localizer.notes, self.seconds

    def __iter__(self) -> Iterator[FrameResult]:
        """Moments of all pictures, in order."""
        spec = self.localizer.method.front_end
        with VideoStream(self.path) as reel, self.open_audio() as track:
            heard = SlidingWindow(track, spec.audio.rate, spec.audio.seconds)
            pictures = reel.frames()
            frames: Iterable[Frame] = iter_with_flow(pictures) if spec.image.flow else pictures
            asker = VideoPredictor(self.localizer, heard, self.smooth, self.audio_hop)
            for batch in iter_batches(frames, self.maps_per_second):
                yield from asker(*batch)
            lost = _damage(reel.damaged, track.damaged)
            self.notes = (*self.localizer.notes, *asker.notes, *lost, *_short(reel.end_time, self.seconds))
            self.end_time = reel.end_time

    def open_audio(self) -> AudioStream | InMemoryAudio:
        """What is heard, from the first picture on."""
        if self.audio is None:
            return AudioStream(self.path, self.start_time)
        return AudioStream(Path(self.audio)) if isinstance(self.audio, str | Path) else InMemoryAudio(self.audio)

    def save(
        self,
        overlay: str | Path | None = None,
        contact_sheet: str | Path | None = None,
        timeline: str | Path | None = None,
        frame_records: str | Path | None = None,
        maps: str | Path | None = None,
        overwrite: bool = True,
        progress: "ProgressCallback" = lambda done, of: None,
        mask_threshold: MaskThreshold = 0.5,
        opacity: float = 0.6,
    ) -> "VideoSummary":
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
        from soundspot.inference.video.save import VideoOutputs, save_video

        return save_video(
            self,
            VideoOutputs(overlay, contact_sheet, timeline, frame_records, maps, mask_threshold, opacity),
            overwrite,
            progress,
        )


class VideoPredictor:
    """Asks batches of pictures with the sound around them; remembers what the next batch needs.

    Attributes:
        notes: what was found on the way.
    """

    def __init__(self, localizer: Localizer, heard: SlidingWindow, smooth: float | int, step: float | int) -> None:
        self._localizer, self._heard, self._step = localizer, heard, step
        self._smoothed = MapSmoother(smooth)
        self._codes: dict[int, Tensor] = {}
        self._silent: dict[int, bool] = {}
        self._last: tuple[float, Tensor] | None = None
        self.notes: tuple[str, ...] = ()

    def __call__(self, frames: list[Frame], asked: list[int]) -> Iterator[FrameResult]:
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
        scores = interpolate_maps(
            [time for time, _ in known], torch.stack([one for _, one in known]), [t for t, _ in frames]
        )
        at = -1
        for i, (time, shown) in enumerate(frames):
            at += at + 1 < len(asked) and asked[at + 1] <= i
            yield FrameResult(time, self._told(shown, scores[i], self._silent[windows[max(at, 0)]]))

    def _maps(self, pictures: list[Image.Image | ImageWithFlow], windows: list[int]) -> Float[Tensor, "b h w"]:
        localizer, new = self._localizer, sorted(set(windows) - self._codes.keys())
        sounds = [self._heard.window_at(window * self._step) for window in new]
        spec = localizer.method.front_end.audio
        if sounds:
            codes = localizer.encode_audio([pad_to_window(sound, spec) for sound in sounds])
            self._codes |= dict(zip(new, codes, strict=True))
            self._silent |= {window: sound.is_silent for window, sound in zip(new, sounds, strict=True)}
            self.notes = self.notes or tuple(short_audio_warnings(sounds[0], spec.seconds))
        maps = localizer.maps(localizer.encode_images(pictures), torch.stack([self._codes[w] for w in windows]))
        for window in self._codes.keys() - {windows[-1]}:
            del self._codes[window]
        self._silent = {window: self._silent[window] for window in windows}
        return maps

    def _told(self, shown: Image.Image | ImageWithFlow, scores: Float[Tensor, "h w"], silent: bool) -> LocalizationMap:
        picture = shown.image if isinstance(shown, ImageWithFlow) else shown
        method = self._localizer.method
        return LocalizationMap(
            scores,
            size=(picture.height, picture.width),
            upsampling=method.upsampling,
            region=visible_region(picture.size, method.front_end.image),
            image=picture,
            threshold=self._localizer.threshold,
            is_silent=silent,
        )


def iter_batches(frames: Iterable[Frame], rate: float | int | None) -> Iterator[tuple[list[Frame], list[int]]]:
    """Frames in stretches, and which of each are asked: as many as the network takes at once, or fewer where pictures
    are large. The last of a stretch is asked, whatever the rate says, but at the end of a video."""
    held: list[Frame] = []
    asked: list[int] = []
    due, most = -math.inf, 0
    for time, shown in frames:
        width, height = (shown.image if isinstance(shown, ImageWithFlow) else shown).size
        most = most or max(1, MAX_BUFFERED_BYTES // (3 * width * height))
        held.append((time, shown))
        if rate is None or time >= due - 1e-6 or len(held) >= most:
            asked.append(len(held) - 1)
            due = time + 1 / rate if rate and (due == -math.inf or time - due > 1 / rate) else due + 1 / (rate or 1)
            if len(asked) == BATCH_SIZE or len(held) >= most:
                yield held, asked
                held, asked = [], []
    if held:
        yield held, asked or [len(held) - 1]


def iter_with_flow(frames: Iterable[tuple[float, Image.Image]]) -> Iterator[Frame]:
    """Each picture with its optical flow until the next; the last one has the flow of the one before it."""
    last: tuple[float, Image.Image] | None = None
    flow: Float[Tensor, "2 h w"] | None = None
    for time, picture in frames:
        if last is not None:
            flow = compute_optical_flow(last[1], picture)
            yield last[0], ImageWithFlow(last[1], flow)
        last = time, picture
    if last is not None:
        still = torch.zeros(2, last[1].height, last[1].width)
        yield last[0], ImageWithFlow(last[1], still if flow is None else flow)


def _damage(pictures: int, sounds: int) -> Iterator[str]:
    for count, what in ((pictures, "picture"), (sounds, "sound")):
        if count:
            yield f"{count} packets of {what} could not be used: the video is damaged or cut short there."


def _short(found: float, promised: float) -> Iterator[str]:
    if promised - found > max(1.0, 0.1 * promised):
        yield f"The header promises {promised:.1f} s, and {found:.1f} s of pictures could be read: it is cut short."
