"""One audio track of a file, decoded by FFmpeg in order: which track it is, and where its samples lie in time.

In a file with moving images, second 0 is the start of the first of them, and the samples lie where the file's times put
them: gaps are silence, what overlaps is left out. So they do in MP4 and Matroska without images; any other file of
audio alone has its samples one after the other, whatever its times and its header say.
"""

import math
import os
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float32

from soundspot.data.media.downmix import ChannelLayout, cancellation_notes, describe_channels, iter_mono
from soundspot.data.media.ffmpeg import DECODE_ERRORS, MediaFile, PcmConverter, VideoError, av
from soundspot.data.media.file_types import AUDIO_REMEDY, EXPECTED_AUDIO, detect_file_type
from soundspot.data.media.packet_table import (
    MAX_SILENCE,
    PacketTable,
    choose_image_stream,
    max_gap,
    rest_notes,
    scan_packets,
)
from soundspot.data.media.packet_times import MAX_JITTER
from soundspot.data.media.riff import read_wav_header, short_wav_notes

MAX_AHEAD = 30  # seconds that are decoded rather than jumped over, so that a window is exactly that of the whole
PREROLL = 2  # seconds that are decoded before a window after a jump: codecs have a memory
_SEEKABLE = "mov"  # the container that has a table of where each sample is
_TIMED = ("mov", "matroska")  # containers whose gaps are meant, without images too
_MAX_PACKET = 10.0  # seconds: FFmpeg 8.1 gives the last packet of short Ogg files a negative duration, as 2^32 less
_MAX_PADDING = 8192  # samples: the longest block of Vorbis
_TAGS = (b"ID3", b"TAG")  # between MP3 files that were joined; no sound, and no damage
_IMAGE_FIRST = "The image comes first, sounds after it; several images are located as a folder"
_OWN_FILE = "Give the sound as a file of its own: `soundspot locate VIDEO other.wav`, in Python `audio=`"


def choose_audio_stream(streams: Sequence[Any], track: int | None) -> int | None:
    """Choose one of the audio tracks of a file.

    Args:
        streams: audio streams of an `av` container.
        track: number of the track that is wanted; None: of those that can be decoded the first that the file marks as
            its default, else the first.

    Returns:
        Number of the track; None where there is none, or it cannot be decoded.
    """
    decodable = [i for i, stream in enumerate(streams) if _is_decodable(stream)]
    if track is not None:
        return track if track in decodable else None
    return next((i for i in decodable if _is_default(streams[i])), decodable[0] if decodable else None)


def _is_decodable(stream: Any) -> bool:
    return stream.codec_context is not None and bool(stream.rate) and stream.layout.nb_channels > 0


def _is_default(stream: Any) -> bool:
    return bool(stream.disposition & av.stream.Disposition.default)


def describe_choice(streams: Sequence[Any], number: int) -> tuple[str, ...]:
    """Describe why a track was chosen.

    Args:
        streams: audio streams of an `av` container.
        number: number of the track.

    Returns:
        A sentence; nothing where there is only one track.
    """
    if len(streams) == 1:
        return ()
    why = "which the file marks as its default" if _is_default(streams[number]) else "the first that can be decoded"
    return (
        f"The file has {len(streams)} audio tracks: number {number}, {why}, is heard. Another is chosen by "
        "`--audio-track`, in Python by `audio_track=` (`track=` of `read_audio`); they count from 0.",
    )


class AudioTrack(MediaFile):
    """An audio track of a file; use it in a `with` block.

    Args:
        path: path of a sound file or a video.
        track: number of the track among the audio tracks, from 0. None: of those that can be decoded the first that the
            file marks as its default, else the first.
        content: bytes of the file, where they were read from elsewhere; `path` is then its name in messages.
        table: what the packets of a video say, where it is known already; else the file is read for it.

    Attributes:
        rate: sample rate in Hz.
        layout: what the channels are.
        number: number of the track.
        num_canceled: number of samples so far in which channels cancel.
        last_byte: place in the file at which the last packet so far ends; 0: unknown.
        damaged: number of packets so far that could not be decoded.
        notes: sentences about what was chosen.

    Raises:
        InputError: missing, empty, may not be read, or without such a track.
        VideoError: not a sound or video, without sound, or of an unknown codec.
    """

    _readers, _remedy = "sounds", AUDIO_REMEDY

    def __init__(
        self,
        path: str | os.PathLike[str],
        track: int | None = None,
        content: bytes | None = None,
        table: PacketTable | None = None,
    ) -> None:
        super().__init__(path, EXPECTED_AUDIO, content)
        images = choose_image_stream(self._container)
        has_images = images is not None and images.codec_context is not None
        if has_images and table is None and self._container.streams.audio:
            chosen = choose_audio_stream(self._container.streams.audio, track)
            audio = None if chosen is None else self._container.streams.audio[chosen]
            table = scan_packets(self._container, images, audio)
            self._container.close()
            self._container = self._open()
        self.number, self.notes = self._choose(track)
        stream: Any = self._container.streams.audio[self.number]
        names = self._container.format.name.split(",")
        self._stream, self._is_fresh, self.damaged, self.num_canceled, self.last_byte = stream, True, 0, 0, 0
        own_start = float((stream.start_time or 0) * (stream.time_base or 0))
        self._shifts, self._clock_starts = (
            (table.shifts, table.clock_starts) if table else ((-own_start,), (own_start,))
        )
        self._can_seek = names[0] == _SEEKABLE and len(self._shifts) == 1
        self._has_no_images = table is None
        self._is_timed = table is not None or names[0] in _TIMED
        self._max_gap = max_gap(self._container.format.name)
        self.rate, self._layout_name = int(stream.rate), stream.layout.name
        header = read_wav_header(self.path, content) if names[0] == "wav" else None
        self.layout: ChannelLayout = describe_channels(stream.layout, bool(header and header.is_b_format))
        self.notes += (*self.layout.notes, *(short_wav_notes(self.path, header) if header else ()))

    @property
    def estimated_seconds(self) -> float:
        """Duration of the track by its packets, without decoding; codecs add a few hundredths of a second."""
        self._rewind()
        base, end = float(self._stream.time_base or 0), 0.0
        try:
            for packet in self._container.demux(self._stream):
                seconds = (packet.duration or 0) * base
                if packet.size and seconds < _MAX_PACKET and not packet.is_discard:
                    end += seconds
                    if self._is_timed and packet.pts is not None and len(self._shifts) == 1:
                        end = max(end, packet.pts * base + seconds + self._shifts[0])
        except DECODE_ERRORS:
            pass  # cut short
        return end

    @property
    def late_notes(self) -> tuple[str, ...]:
        """Sentences on what was read, complete once the track has been decoded."""
        damage = f"{self.damaged} packets of sound could not be decoded: the file is damaged or cut short there."
        return (
            *cancellation_notes(self.num_canceled, self.rate),
            *((damage,) if self.damaged else ()),
            *(rest_notes(self._container.format.name, self.num_bytes, self.last_byte) if self._has_no_images else ()),
        )

    @property
    def first_second(self) -> float:
        """Second at which the track begins, by its header; 0 where it has no times."""
        if not self._is_timed or self._stream.start_time is None:
            return 0.0
        return float(self._stream.start_time * self._stream.time_base) + self._shifts[0]

    @property
    def promised_seconds(self) -> float | None:
        """Duration that the header promises, where it is no estimate (FLAC, MP3 with a Xing header); None: unknown."""
        name, stream = self._container.format.name, self._stream
        is_exact = name == "flac" or (name == "mp3" and stream.start_time)
        return float(stream.duration * stream.time_base) if is_exact and stream.duration else None

    def iter_chunks(self, start: float = 0.0) -> Iterator[tuple[int, Float32[np.ndarray, "t c"]]]:
        """Decode the track in order.

        Args:
            start: second from which on it is needed; decoding may begin earlier, and where the file cannot be searched
                it begins at second 0.

        Yields:
            Number of the first sample from second 0 on, and (t, channels) float32 samples in [-1, 1] at the track's
            own rate, one chunk after the other; silence in chunks of at most a second.
        """
        position: int | None = 0
        if start > 0 and self._can_seek:
            ticks = int((start - self._shifts[0]) / self._stream.time_base)
            self._container.seek(ticks, stream=self._stream)
            position, self._is_fresh = None, False
        else:
            self._rewind()
        return self._without_padding(self._iter_placed(position))

    def _iter_placed(self, position: int | None) -> Iterator[tuple[int, Float32[np.ndarray, "t c"]]]:
        """Decode on from here; `position` is the number of the next sample, None where the file's time has to say."""
        to_arrays, clock = PcmConverter(rate=self.rate), _Clock(self._shifts, self._clock_starts, self._max_gap)
        for frame in self._iter_frames():
            arrays: list[Any] = []
            try:
                arrays = to_arrays(frame)
            except ValueError:  # the file changes its format on the way
                to_arrays = PcmConverter(self._layout_name, self.rate)
                arrays = to_arrays(frame)
            where = None
            if self._is_timed and frame is not None and frame.time is not None:
                where = clock(frame.time, None if position is None else position / self.rate)
            if position is None:
                position = max(0, round((where or 0.0) * self.rate))
            first = position if where is None else round(where * self.rate)
            if first - position > (MAX_JITTER * self.rate if position else 0):
                yield from self._iter_silence(position, first)
                position = first
            skip = position - first if first < 0 or position - first > MAX_JITTER * self.rate else 0
            for samples in arrays:
                chunk = samples.T[skip:]
                skip = max(0, skip - samples.shape[1])
                if len(chunk):
                    yield position, chunk
                    position += len(chunk)

    def _without_padding(
        self, chunks: Iterator[tuple[int, Float32[np.ndarray, "t c"]]]
    ) -> Iterator[tuple[int, Float32[np.ndarray, "t c"]]]:
        """Cut what an Ogg decodes to after the last sample that its last page counts, at most a block."""
        stream = self._stream
        is_counted = stream.codec_context.name == "vorbis" and self._container.format.name == "ogg" and stream.duration
        end = round(stream.duration * stream.time_base * self.rate) if is_counted else 1 << 62
        held = list[tuple[int, Float32[np.ndarray, "t c"]]]()
        for position, chunk in chunks:
            if end - position < len(chunk):
                held.append((position, chunk))
            else:
                yield position, chunk
            if held and position + len(chunk) - end > _MAX_PADDING:  # links of a chain follow
                yield from held
                held, end = [], 1 << 62
        for position, chunk in held:
            if position < end:
                yield position, chunk[: end - position]

    def iter_mono(self, start: float = 0.0) -> Iterator[tuple[int, Float32[np.ndarray, " t"]]]:
        """Decode the track in order, and reduce its channels by the rule of `soundspot.data.media.downmix`.

        Args:
            start: as in `iter_chunks`.

        Yields:
            Number of the first sample from second 0 on, and mono samples (t,).
        """
        self.num_canceled = 0

        def count(num_canceled: int) -> None:
            self.num_canceled += num_canceled

        return iter_mono(self.iter_chunks(start), self.layout, self.rate, count)

    def _choose(self, track: int | None) -> tuple[int, tuple[str, ...]]:
        streams = self._container.streams.audio
        number = choose_audio_stream(streams, track)
        if number is not None:
            return number, () if track is not None else describe_choice(streams, number)
        kinds = ", ".join(sorted({stream.type for stream in self._container.streams})) or "nothing"
        self._container.close()
        decodable = [str(i) for i, stream in enumerate(streams) if _is_decodable(stream)]
        if not streams:
            is_image = detect_file_type(os.fsencode(self.path)) == "image"
            problem, cause = "an image" if is_image else f"a file without sound (it holds: {kinds})", "no sound"
            remedy = _IMAGE_FIRST if is_image else _OWN_FILE
        elif track is not None and not 0 <= track < len(streams):
            raise VideoError(
                f"{self.path}: found {len(streams)} audio tracks, expected one of number {track}. Count them from 0.",
                "no such track",
            )
        else:
            problem, cause = "sound of a codec that this build of FFmpeg has no decoder for", "unknown codec"
            remedy = f"Take another track ({', '.join(decodable)})" if decodable else _OWN_FILE
        raise VideoError(f"{self.path}: found {problem}, expected {EXPECTED_AUDIO}. {remedy}.", cause)

    def _rewind(self) -> None:
        if not self._is_fresh:
            self._container.close()
            number = self.number
            self._container = self._open()
            self._stream = self._container.streams.audio[number]
        self._is_fresh = False

    def _iter_frames(self) -> Iterator[Any]:
        """Yield decoded frames up to where the file is cut short, and None; packets without bytes are no damage."""
        self.damaged = 0
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except DECODE_ERRORS:
                self.damaged += 1
                packet = None
            if packet is None:
                yield None
                return
            if not packet.size and packet.dts is not None:
                continue
            self.last_byte = max(self.last_byte, (packet.pos or -packet.size) + packet.size)
            try:
                frames = packet.decode()
            except DECODE_ERRORS:
                self.damaged += not bytes(packet).startswith(_TAGS)
                continue
            yield from frames

    def _iter_silence(self, position: int, end: int) -> Iterator[tuple[int, Float32[np.ndarray, "t c"]]]:
        for start in range(position, end, self.rate):
            yield start, np.zeros((min(self.rate, end - start), len(self.layout.weights)), np.float32)


class _Clock:
    """Seconds from the first image on of times of the file, whose own clock may restart as that of the images does."""

    def __init__(self, shifts: tuple[float, ...], clock_starts: tuple[float, ...], max_gap: float) -> None:
        self._segments, self._max_gap = list(zip(shifts, clock_starts, strict=True)), max_gap
        self._shift, self._last = self._segments.pop(0)[0], math.nan

    def __call__(self, time: float, expected: float | None) -> float:
        """Return the second of a time; `expected` is where the last samples ended."""
        if time - self._last < -MAX_JITTER or time - self._last > self._max_gap:
            if self._segments and abs(time - self._segments[0][1]) < self._max_gap:
                self._shift = self._segments.pop(0)[0]
            elif time < self._last or time - self._last > MAX_SILENCE:
                self._shift = (expected or 0.0) - time
        self._last = time
        return time + self._shift


class AudioReader:
    """Windows of an audio track, mono, one after the other; each is exactly that of the whole.

    The track is decoded as it is asked for, and only what later windows may need stays in memory. A window before the
    last one, and one more than half a minute behind it, is decoded from a little before it, where the container can be
    searched, and from the beginning of the file elsewhere.

    Args:
        track: the open track.
    """

    def __init__(self, track: AudioTrack) -> None:
        self.track, self.rate = track, track.rate
        self._chunks: Iterator[tuple[int, Float32[np.ndarray, " t"]]] = iter(())
        self._buffer: deque[Float32[np.ndarray, " t"]] = deque()
        self._first, self._end = 0, -1  # range of the samples in the buffer; -1: nothing has been read

    def read(self, first: int, count: int) -> Float32[np.ndarray, " t"]:
        """Return samples of the track.

        Args:
            first: number of the first sample, from 0.
            count: number of samples.

        Returns:
            (count,) float32; fewer where the track ends.
        """
        if self._end < 0 or not self._first <= first <= self._end + MAX_AHEAD * self.rate:
            self._begin(first)
        while self._buffer and self._first + len(self._buffer[0]) <= first:
            self._first += len(self._buffer.popleft())
        while self._end < first + count:
            position, samples = next(self._chunks, (-1, None))
            if samples is None:
                break
            self._end = position + len(samples)
            if self._end > first:
                self._first = position if not self._buffer else self._first
                self._buffer.append(samples)
        if not self._buffer:
            return np.empty(0, np.float32)
        start = max(0, first - self._first)
        return np.concatenate(self._buffer)[start : start + count]

    def _begin(self, first: int) -> None:
        """Begin to decode before a sample."""
        self._buffer.clear()
        start = first / self.rate - PREROLL
        if start > MAX_AHEAD:
            self._chunks = self.track.iter_mono(start)
            position, samples = next(self._chunks, (first + 1, np.empty(0, np.float32)))
            self._first, self._end = position, position + len(samples)
            self._buffer.append(samples)
            if position <= first:
                return
            self._buffer.clear()  # the container put us behind it
        self._chunks, self._first, self._end = self.track.iter_mono(), 0, 0
