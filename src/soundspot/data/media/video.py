"""Videos: frames in order and at given times, and the audio, from any container that FFmpeg reads.

Second 0 is the start of the first frame. What a header says of duration and rate is a hint only: times are those of the
packets (`soundspot.data.media.packet_table`).
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float64
from PIL import Image

from soundspot.data.media.audio import check_samples, read_audio, resample
from soundspot.data.media.audio_track import AudioReader, AudioTrack, choose_audio_stream, describe_choice
from soundspot.data.media.ffmpeg import REMEDY, MediaFile, VideoError, av
from soundspot.data.media.frame_index import FrameIndex, TimedImage
from soundspot.data.media.packet_table import PacketTable, choose_image_stream, rest_notes, scan_packets
from soundspot.types import Audio
from soundspot.utils.safe_read import convert_read_errors


class Video(MediaFile):
    """An open video; use it in a `with` block.

    Args:
        path: path of the file.
        audio_track: number of the audio track, from 0. None: of those that can be decoded the first that the file marks
            as its default, else the first.
        threads: whether FFmpeg decodes by several threads, which frames in order gain from.

    Attributes:
        header_duration: duration in seconds that the header promises; 0 where it gives none.

    Raises:
        InputError: missing, empty, or may not be read.
        VideoError: not a video, without frames, or of an unknown codec.
    """

    def __init__(self, path: str | os.PathLike[str], audio_track: int | None = None, *, threads: bool = False) -> None:
        super().__init__(path, "a video (mp4, mkv, webm, mov, avi...)")
        self._audio_track, self._threads = audio_track, threads
        self._stream = choose_image_stream(self._container)
        if self._stream is None:
            kinds = ", ".join(sorted({stream.type for stream in self._container.streams})) or "nothing"
            self._container.close()
            raise self._error(f"a file without moving images (it holds: {kinds})", "no frames")
        if self._stream.codec_context is None:
            self._container.close()
            problem = "images of a codec that this build of FFmpeg has no decoder for"
            raise self._error(problem, "unknown codec", "Write it again with another, or leave it out")
        self._stream.thread_type = "AUTO" if threads else "NONE"
        self._index = FrameIndex(self._open_stream, (self._container, self._stream), self._scan)
        seconds = (self._stream.duration or 0) * (self._stream.time_base or 0)
        self.header_duration = float(seconds or (self._container.duration or 0) / av.time_base)
        audio = self._container.streams.audio
        number = choose_audio_stream(audio, audio_track)
        self._track_notes = () if number is None or audio_track is not None else describe_choice(audio, number)
        if audio_track is not None:
            _ = self._reader  # a track that is not there is refused at once

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._index.close()
        if "_reader" in self.__dict__:
            self._reader.track.__exit__()

    @property
    def duration(self) -> float:
        """Duration in seconds, by the packets; the last frame stays until the end of audio that outlasts it.

        Where the audio lasts at most half a second longer, it is the duration of the frames.
        """
        return self._index.table.duration or self.header_duration

    @property
    def end_time(self) -> float:
        """Second at which the last frame of the file ends, by the packets."""
        return self._index.table.end

    @property
    def table(self) -> PacketTable:
        """Table of the packets of the file, which is read once."""
        return self._index.table

    def _converted(self) -> AbstractContextManager[None]:
        return convert_read_errors(self.path, f"expected {self._expected}. {REMEDY}", VideoError)

    @property
    def frame_rate(self) -> float:
        """Frames per second as the header gives them; 25 where it gives none."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(rate) if rate and 0 < rate <= 1000 else 25.0

    @property
    def colorspace(self) -> int:
        """FFmpeg's number of the conversion matrix between RGB and YUV."""
        return int(self._stream.codec_context.colorspace)

    @property
    def damaged(self) -> int:
        """Number of packets and frames that had to be left out, the last time that frames were decoded."""
        return self._index.damaged

    @property
    def activity(self) -> Float64[np.ndarray, " n"]:
        """Seconds at which a packet of frames or audio begins, distinct and rising.

        A header, or a single broken time stamp, may promise a duration in which there is nothing.
        """
        return self._index.table.activity

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for a reader of results: which audio track was chosen, and how the duration came about."""
        table = self._index.table
        notes = self._track_notes
        if table.duration > table.end:
            notes += (
                f"The sound lasts {table.audio_end - table.end:.1f} s longer than the images: the last image stays.",
            )
        if len(table.shifts) > 1:
            notes += (f"The clock of the video restarts {len(table.shifts) - 1} times: the parts follow each other.",)
        notes += rest_notes(self._container.format.name, self.num_bytes, table.last_byte)
        if self.damaged:
            notes += (f"{self.damaged} packets of video could not be used: the video is damaged or cut short there.",)
        return notes

    @cached_property
    def audio(self) -> Audio:
        """The audio track in full, mono, from the time of the first frame on.

        Raises:
            VideoError: there is no audio track, or its codec is unknown.
            InputError: nothing of it can be decoded.
        """
        return read_audio(self.path, track=self._audio_track)

    def frames(self) -> Iterator[TimedImage]:
        """Decode the frames in order, from the first on.

        A frame whose time is not after that of the last counts as damaged and is left out, as players do.

        Yields:
            Start time in seconds, rising, and the frame, upright RGB; frames of another size are resized to that of the
            first.

        Raises:
            VideoError: no frame can be decoded.
        """
        size: tuple[int, int] | None = None
        with self._converted():
            for time, image in self._index.frames():
                size = size or image.size
                yield time, image if image.size == size else image.resize(size)
        if size is None:
            raise self._no_frames()

    def frames_at(self, times: Sequence[float | int]) -> list[TimedImage]:
        """Decode the frame that is shown at each time.

        Args:
            times: times in seconds, in any order; earlier than the first frame means the first, later than the last the
                last.

        Returns:
            For each time the start time of its frame in seconds, and the frame, upright RGB.

        Raises:
            VideoError: no frame can be decoded.
        """
        with self._converted():
            if frames := self._index.frames_at(times):
                return frames
        raise self._no_frames()

    def frame_after(self, time: float | int) -> Image.Image | None:
        """Decode the first frame that starts after a time.

        Args:
            time: time in seconds.

        Returns:
            Upright RGB image; None where there is no later frame, or it cannot be decoded.
        """
        with self._converted():
            return self._index.frame_after(time)

    def frame_pair(self, time: float | int) -> tuple[Image.Image, Image.Image]:
        """Decode the frame shown at a time and the frame after it; for the last frame, the frame before and itself.

        Args:
            time: time in seconds.

        Returns:
            Two consecutive frames in their order, upright RGB.

        Raises:
            VideoError: there are no two frames that can be decoded.
        """
        start, frame = self.frames_at([time])[0]
        after = self._index.frame_after(start)
        if after is not None:
            return frame, after
        earlier, before = self.frames_at([start - 2 * self._index.table.tolerance])[0]
        if earlier >= start:
            raise self._error("a single frame and not two in a row", "one frame")
        return before, frame

    def read_audio(self, start: float | int, seconds: float | int, rate: int | None) -> Audio:
        """Read a window of the audio track, mono.

        Args:
            start: beginning of the window in seconds from the first frame on; where the track begins later, there is
                silence in front.
            seconds: duration of the window in seconds.
            rate: sample rate in Hz to resample to; None: that of the track.

        Returns:
            Mono audio of `seconds`; shorter, not padded, where the track ends sooner.

        Raises:
            VideoError: there is no audio track, its codec is unknown, or the window holds nothing of it.
            InputError: samples are NaN, infinite or beyond 8 in absolute value.
        """
        with self._converted():
            return self._read_audio(start, seconds, rate)

    def _read_audio(self, start: float | int, seconds: float | int, rate: int | None) -> Audio:
        reader = self._reader
        begin, count = round(start * reader.rate), round(seconds * reader.rate)
        silence = np.zeros(max(0, min(-begin, count)), np.float32)
        is_before = start + seconds <= reader.track.first_second
        samples = reader.read(max(0, begin), 0 if is_before else count - len(silence))
        if not len(samples):
            problem = f"no sound from {start:.2f} s to {start + seconds:.2f} s"
            raise self._error(problem, "no sound in the window", "Choose another window, or leave it out")
        return resample(check_samples(np.concatenate([silence, samples]), reader.rate, str(self.path)), rate)

    def _open_stream(self) -> tuple[Any, Any]:
        container = self._open()
        stream = choose_image_stream(container)
        stream.thread_type = "AUTO" if self._threads else "NONE"
        return container, stream

    def _scan(self) -> PacketTable:
        audio = self._container.streams.audio
        number = choose_audio_stream(audio, self._audio_track)
        with self._converted():
            return scan_packets(self._container, self._stream, None if number is None else audio[number])

    @cached_property
    def _reader(self) -> AudioReader:
        return AudioReader(AudioTrack(self.path, self._audio_track, table=self.table))

    def _no_frames(self) -> VideoError:
        return self._error("no frame that can be decoded", "no frames", REMEDY)


def open_video(path: str | os.PathLike[str], audio_track: int | None = None) -> Video:
    """Open a video to read its frames in order, its audio, or single frames.

    Args:
        path: path of an mp4, mkv, webm, mov, avi or another container that FFmpeg reads.
        audio_track: number of the audio track, from 0. None: of those that can be decoded the first that the file marks
            as its default, else the first.

    Returns:
        The open video: `.frames()` yields (time in seconds, upright RGB image) in order; `.audio`, mono; `.duration` in
        seconds; `.frame_after(time)`.

    Raises:
        InputError: missing, empty, or may not be read.
        VideoError: not a video, without frames, or of an unknown codec.
    """
    return Video(path, audio_track, threads=True)
