"""The map of each frame of a video, frames and audio being read side by side, once, in the memory of a few seconds.

The frame at time t is located with the audio around t, as long as the model's own window, so that its map is the one
that `Localizer.locate` gives for that frame and that audio. Frames are encoded in batches; the audio is encoded once
for each hop of the window, and not for each frame.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor

from soundspot.data.media.audio import as_audio
from soundspot.data.media.audio_stream import InMemoryAudio, SlidingWindow
from soundspot.data.media.audio_track import AudioTrack
from soundspot.data.media.video import Video, open_video
from soundspot.errors import InputError, OutputError
from soundspot.inference.batch_localizer import BatchLocalizer
from soundspot.inference.contours.trace import ContourTracer, FrameTracer
from soundspot.inference.events.options import EventOptions
from soundspot.inference.events.tracking import EventTracker
from soundspot.inference.events.video_events import VideoEvents
from soundspot.inference.events.writer import EventWriter
from soundspot.inference.video.audibility import AudibilityMeter
from soundspot.inference.video.audio_windows import AudioWindowEncoder
from soundspot.inference.video.frame_batches import BATCH_SIZE, TimedInput, hold_last, iter_batches, iter_with_flow
from soundspot.inference.video.presence import PresenceMeter
from soundspot.inference.video.save import VideoOutputs, VideoSummary, prefetch
from soundspot.inference.video.smoothing import MapSmoother, interpolate_maps
from soundspot.inference.video.writer import FrameResult, FrameWriter, VideoInfo
from soundspot.models.resnet import ResNet
from soundspot.models.staged import StagedEncoder
from soundspot.models.vgg import VGG16
from soundspot.types import ImageWithFlow

CPU_BATCH_SIZE = 4  # in float32 on a CPU: the memory of layers above 32 MB is new, and filled with zeros, each time
MAX_HOP = 0.8  # seconds between audio windows by default, where a twelfth of the window is not more
PREFETCH_FRAMES = 8
MIN_SIZE = 32

ProgressCallback = Callable[[float, float], None]
Chunk = Float32[np.ndarray, "c t"]


class LocatedVideo:
    """A video whose frames are located during iteration; each iteration reads the file anew.

    Args:
        localizer: localizer of a method that takes waveforms.
        path: path of a video that FFmpeg reads.
        audio: sound in place of the video's own, from the first frame on: a path (of audio or video), an `Audio`, or
            (waveform, rate in Hz).
        maps_per_second: rate of maps; maps of the frames between are interpolated linearly. None: a map for each frame.
            At most 96 MB of frames wait for the next map, so that large frames have more: of 1920x1080 at least each
            15th frame, of 3840x2160 each third.
        smooth: time constant in seconds of the causal exponential average of maps; 0: none.
        audio_hop: step of the audio window in seconds; frames within a step share a window. None: a sixth of the
            window, at most 0.8 s unless a twelfth is more; half of it where the method resolves time, so that each
            frame has the sound of its own moment.
        audio_track: number of the video's audio track, from 0; None: the default track.
        size: side of the network's input in pixels, at least 32, for convolutional image encoders: smaller is faster
            and coarser. None: that of the checkpoint for videos (`video_size`), else of the front end.
        contour: `grabcut` or `sam2` (see `Localizer.load`): each region of a frame also becomes the contour of an
            object, which `sam2` follows from frame to frame. None: no contours.

    Attributes:
        info: facts of the video that are known before the first frame is read.
        seconds: duration by the header; 0 where it does not say.
        notes: sentences for a reader of the results; complete after an iteration.
        end_time: time at which the last frame is no longer shown, in seconds; complete after an iteration.

    Raises:
        InputError: an option out of range, a method that takes no waveforms, or a file that is missing, empty, or may
            not be read.
        RecipeError: `contour` names no segmenter.
        VideoError: no video, or without sound where none is given.
    """

    def __init__(
        self,
        localizer: BatchLocalizer,
        path: str | Path,
        audio: Any = None,
        maps_per_second: float | int | None = None,
        smooth: float | int = 0.0,
        audio_hop: float | int | None = None,
        audio_track: int | None = None,
        size: int | None = None,
        contour: str | None = None,
    ) -> None:
        if not localizer.takes_waveforms:
            raise InputError(
                f"{localizer.name} takes embeddings of another network in place of waveforms: it cannot follow a "
                "video. Use a model that takes waveforms"
            )
        if not (math.isfinite(smooth) and smooth >= 0):
            raise InputError(f"smooth: found {smooth}, expected a number above 0 or 0")
        for name, value in (("maps_per_second", maps_per_second), ("audio_hop", audio_hop)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"{name}: found {value}, expected a number above 0")
        self._size = localizer.video_size if size is None else _check_size(localizer, size)
        self._localizer, self._path = localizer, Path(path)
        self._audio = audio if audio is None or isinstance(audio, str | Path) else as_audio(audio)
        self._smooth, self._audio_track, self._contour = smooth, audio_track, contour
        if contour is not None:
            ContourTracer(contour, is_video=True, device=str(localizer.device))  # its mistakes come before the work
        window = localizer.front_end.audio.seconds
        default_hop = window / 2 if localizer.method.resolves_time else max(window / 12, min(MAX_HOP, window / 6))
        self._audio_hop = audio_hop or default_hop
        self._streams: tuple[Video, AudioTrack | InMemoryAudio] | None = self._open_streams()
        video, stream = self._streams
        self.info = VideoInfo(
            path=self._path,
            title=localizer.title,
            threshold=localizer.threshold,
            frame_rate=video.frame_rate,
            colorspace=video.colorspace,
            sample_rate=stream.rate,
            layout=stream.layout.player_layout,
            model_id=localizer.identify(self._size, smooth),
            audio="" if audio is None else str(audio) if isinstance(audio, str | Path) else "in memory",
            audio_track=audio_track,
            contour=contour,
            audio_seconds=None if localizer.method.resolves_time else window,
            maps_per_second=maps_per_second,
        )
        localizer.check_calibration(self.info.model_id)
        self.seconds = video.duration if self._audio is None else video.end_time or video.duration
        self.notes, self.end_time = localizer.notes, self.seconds

    def __iter__(self) -> Iterator[FrameResult]:
        """Iterate over the results of all frames, in order.

        Yields:
            Result of each frame; the video is open until the iteration ends or is closed.

        Raises:
            VideoError: the video cannot be read.
        """
        return self._iter_frames(lambda chunk: None)

    def save(
        self,
        overlay: str | Path | None = None,
        overwrite: bool = True,
        progress: ProgressCallback = lambda done, total: None,
        **outputs: Any,
    ) -> VideoSummary:
        """Locate all frames once and write the requested files; each appears complete or not at all.

        Args:
            overlay: path of the video under the heatmap, with its audio (`.mp4`, `.m4v`, `.mov`, `.mkv`); None: not
                written.
            overwrite: whether existing files may be replaced.
            progress: function that is called with (seconds done, seconds in all by the header). An error in it ends the
                work, and no file is left.
            outputs: further paths and options of `VideoOutputs`: `contact_sheet`, `timeline`, `frame_records`, `maps`,
                `mask_threshold`, `opacity`, `events`, `event_format`, `event_options`.

        Returns:
            Number of frames, in how many of them the source is absent (None where no threshold was fitted), the
            presence of each second, and the events where these are written.

        Raises:
            OutputError: no file is requested, two are the same, a suffix is not one of those named, a file cannot be
                written, or a file is the video or the audio itself.
            InputError: `mask_threshold` is not valid, or `events` of a model without a fitted threshold where
                `event_options` has no `onset`.
            VideoError: the video cannot be read.
        """
        files = VideoOutputs(overlay, **outputs)
        files.check(overwrite)
        sources = {"video": self._path} | ({"sound": Path(self._audio)} if isinstance(self._audio, str | Path) else {})
        for path in files.paths().values():
            for kind, source in sources.items():
                if path.exists() and source.exists() and path.samefile(source):
                    raise OutputError(f"{path} is the {kind} itself. Give the result another name.")
        num_frames, presence, meter = 0, {True: 0, False: 0, None: 0}, PresenceMeter()
        chunks: deque[Chunk] = deque()
        tracker = None if files.events is None else self._make_tracker(files.event_options)
        has_contours = not files.paths().keys().isdisjoint(("overlay", "contact_sheet", "frame_records"))
        located = prefetch(self._iter_frames(chunks.append, tracker, has_contours), PREFETCH_FRAMES)
        with files.open_writers(self.info, tracker) as writers, closing(located) as frames:
            for frame in frames:
                _add_audio(writers, chunks)
                for writer in writers:
                    writer.add(frame)
                meter.add(frame)
                num_frames, presence[frame.map.present] = num_frames + 1, presence[frame.map.present] + 1
                progress(frame.time, max(self.seconds, frame.time))
            _add_audio(writers, chunks)
            for writer in writers:
                writer.close(self.notes, self.end_time)
            progress(self.end_time, self.end_time)
        num_absent = None if presence[None] == num_frames else presence[False]
        events = next((writer.events for writer in writers if isinstance(writer, EventWriter)), None)
        return VideoSummary(num_frames, self.end_time, num_absent, self.notes, meter.seconds(), events, files.paths())

    def events(self, **options: Any) -> VideoEvents:
        """Locate all frames once and return when sources sound, and where; `save(events=...)` writes them as well.

        Args:
            options: keyword arguments of `EventOptions`: `onset` and `offset` (a probability of presence, or
                `score:0.3`), `min_duration_on` and `min_duration_off` in seconds.

        Returns:
            The events, which write themselves in any format (`VideoEvents.save`).

        Raises:
            InputError: an option out of range, or a model without a fitted threshold where `onset` is not given.
            VideoError: the video cannot be read.
        """
        tracker = self._make_tracker(EventOptions(**options))
        with closing(self._iter_frames(lambda chunk: None, tracker, has_contours=False)) as frames:
            for _ in frames:
                pass
        return tracker.finish(self.info, self.end_time)

    def _make_tracker(self, options: EventOptions) -> EventTracker:
        rate = self._localizer.front_end.audio.rate or self.info.sample_rate
        return EventTracker(options, self._localizer, rate, self._contour)

    def _open_streams(self) -> tuple[Video, AudioTrack | InMemoryAudio]:
        video = open_video(self._path)
        if self._audio is None:
            return video, AudioTrack(self._path, self._audio_track, table=video.table)
        if isinstance(self._audio, str | Path):
            return video, AudioTrack(self._audio, self._audio_track)
        return video, InMemoryAudio(self._audio)

    def _iter_frames(
        self, on_audio: Callable[[Chunk], None], tracker: EventTracker | None = None, has_contours: bool = True
    ) -> Generator[FrameResult]:
        """Yield the results of all frames; `on_audio` gets the audio from second 0 to the end of the last frame.

        A tracker gets the frames, as they were encoded, and the audio. `has_contours`: whether frames need contours.
        """
        tracer = None
        if has_contours and self._contour is not None:
            tracer = FrameTracer(self._contour, str(self._localizer.device))
        streams, self._streams = self._streams or self._open_streams(), None
        localizer, spec = self._localizer, self._localizer.front_end
        with streams[0] as video, streams[1] as audio:
            meter = AudibilityMeter(audio.rate)
            add_samples = _ignore if tracker is None else tracker.add_audio
            windows = SlidingWindow(audio, spec.audio.rate, spec.audio.seconds, _tee(meter.add, on_audio), add_samples)
            audio_encoder = AudioWindowEncoder(localizer, windows, self._audio_hop)
            held = hold_last(video.frames(), self.seconds, video.frame_rate)
            frames: Iterable[TimedInput] = iter_with_flow(held) if spec.image.flow else held
            smoother, known = MapSmoother(self._smooth), list[tuple[float, Tensor]]()
            is_float32_on_cpu = (localizer.device.type, localizer.precision) == ("cpu", "float32")
            batch_size = CPU_BATCH_SIZE if is_float32_on_cpu else BATCH_SIZE
            for batch, keys in iter_batches(frames, self.info.maps_per_second, batch_size):
                times = [batch[i][0] for i in keys]
                encoded_audio, is_silent = audio_encoder.encode(times)
                windows.read_to(batch[-1][0])  # also the sound of frames after the last key frame
                encoded_images = localizer.encode_images([batch[i][1] for i in keys], self._size)
                maps = localizer.maps(encoded_images, encoded_audio)
                known = known[-1:] + [(time, smoother(time, scores)) for time, scores in zip(times, maps, strict=True)]
                known_times, known_maps = zip(*known, strict=True)
                interpolated = interpolate_maps(known_times, torch.stack(known_maps), [time for time, _ in batch])
                for i, (time, image) in enumerate(batch):
                    key = max(0, bisect_right(keys, i) - 1)
                    still = image.image if isinstance(image, ImageWithFlow) else image
                    result = localizer.make_result(interpolated[i], still, is_silent[key])
                    if tracer is not None:
                        result = tracer.trace(time, result)
                    frame = FrameResult(time, result, meter.is_audible(time))
                    if tracker is not None:
                        tracker.add(frame, encoded_images[torch.tensor([key])] if keys[key] == i else None)
                    yield frame
            self.end_time = self.seconds or time + 1 / video.frame_rate
            damage = _damage_notes(audio.damaged, self.end_time, video.header_duration)
            of_files = [*video.notes, *audio.notes] if self._audio is None else [*audio.notes]
            self.notes = (*dict.fromkeys([*localizer.notes, *of_files, *windows.notes, *audio_encoder.notes, *damage]),)
            windows.read_to(self.end_time)
            if self._audio is not None and windows.goes_on_after(self.end_time):
                self.notes += ("The given sound lasts longer than the video: its rest is left out.",)


def _ignore(samples: Float32[np.ndarray, " t"]) -> None:
    """Do nothing with samples."""


def _tee(first: Callable[[Chunk], None], second: Callable[[Chunk], None]) -> Callable[[Chunk], None]:
    """Return a function that hands audio to two others."""

    def on_audio(chunk: Chunk) -> None:
        first(chunk)
        second(chunk)

    return on_audio


def _add_audio(writers: list[FrameWriter], chunks: deque[Chunk]) -> None:
    while chunks:
        chunk = chunks.popleft()
        for writer in writers:
            writer.add_audio(chunk)


def _check_size(localizer: BatchLocalizer, size: int) -> int:
    if not isinstance(localizer.method.image_encoder, StagedEncoder | ResNet | VGG16):
        raise InputError(
            f"size: found {size} for {localizer.name}, whose image encoder takes {localizer.front_end.image.size} "
            "pixels only. Leave it out"
        )
    if size < MIN_SIZE:
        raise InputError(f"size: found {size}, expected at least {MIN_SIZE} pixels. Raise it")
    return size


def _damage_notes(audio: int, end_time: float, header_seconds: float) -> Iterator[str]:
    if audio:
        yield f"{audio} packets of audio could not be used: the video is damaged or cut short there."
    if header_seconds - end_time > max(1.0, 0.1 * header_seconds):
        yield (
            f"The header promises {header_seconds:.1f} s, and {end_time:.1f} s of frames could be read: the video is "
            "cut short."
        )
