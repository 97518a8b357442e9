"""What the packets of a video say, before anything is decoded: when each frame is shown, and from where it is decoded.

One rule for time, in every container: second 0 is the start of the first frame; frames follow each other in the order
in which they are shown; where the clock of a file restarts or jumps (joined transport streams, cameras that lost their
network), the next frame follows the last at once.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from soundspot.data.media.ffmpeg import DECODE_ERRORS, av
from soundspot.data.media.packet_times import (
    Times,
    fill_slots,
    find_lead,
    is_rising,
    number_segments,
    space_evenly,
    usual_step,
)

MAX_SILENCE = 600.0  # seconds between audio packets; a longer gap is a broken time stamp
_MAX_STILL = 14400.0  # seconds between frames, where nothing else goes on
_MAX_BROADCAST_GAP = 10.0  # the same where a file was recorded as it came, with the sender's clock
HOLD_SECONDS = 0.5  # by which audio may outlast the frames before that is worth a word
_BROADCAST_FORMATS = ("mpegts", "mpeg", "flv")
_WITH_PRESENTATION = ("mov", "matroska", "mpegts", "mpeg", "flv", "ogg", "mxf", "nut", "wtv")  # times, not places
_COARSE_TICK = 0.001  # seconds: time stamps of Matroska and FLV are rounded to it
_FIRST_ONLY = ("flv", "asf", "tta", "wv")  # formats of which FFmpeg 8.1 reads the first of several joined files
_MIN_REST = 4096  # bytes behind the last packet that are worth a word
NO_TIME = -(1 << 63)  # ticks of a packet that says no time

Rows = Int64[np.ndarray, "_ 6"]  # pts, dts, size in bytes, duration, is a key frame, is discarded


@dataclass(frozen=True, eq=False)
class PacketTable:
    """The n video packets with bytes of a file in their order, which is that of decoding.

    Attributes:
        times: (n,) second at which the frame of each packet is shown.
        is_key: (n,) whether decoding can begin at it.
        is_visible: (n,) whether its frame is shown; what an edit list cuts off is only decoded.
        repeats: (r,) seconds, rising, at which a packet without bytes says that the frame before it stays.
        identities: (n, 3) presentation and decoding time in ticks and size in bytes, to find a packet again after a
            seek.
        end: second at which the last frame is no longer shown; 0 where packets have no times.
        period: usual seconds between frames.
        tolerance: seconds by which a time may be rounded.
        has_order: whether the times are those of the frames; if not, `packet_times.deal_times` deals them to the frames
            as these are decoded.
        shifts: seconds to be added to the file's time after each restart of its clock; the first is that of the
            beginning, the negative time of the first frame.
        clock_starts: time in the file at which each stretch between restarts begins.
        audio_end: second at which the audio ends; 0 without audio.
        activity: second of each packet with bytes, of video and audio, rising and distinct.
        last_byte: place in the file, in bytes, at which the last packet ends; 0 where packets do not say it.
    """

    times: Float64[np.ndarray, " n"]
    is_key: Bool[np.ndarray, " n"]
    is_visible: Bool[np.ndarray, " n"]
    repeats: Float64[np.ndarray, " r"]
    identities: Int64[np.ndarray, "n 3"]
    end: float
    period: float
    tolerance: float
    has_order: bool
    shifts: tuple[float, ...]
    clock_starts: tuple[float, ...]
    audio_end: float
    activity: Float64[np.ndarray, " p"]
    last_byte: int

    @property
    def can_seek(self) -> bool:
        """True where a time stamp stands for one packet, as the clock does not restart."""
        return len(self.shifts) == 1

    @property
    def duration(self) -> float:
        """Seconds for which there is something to see: the last frame stays while the audio goes on."""
        return self.audio_end if self.audio_end > self.end + HOLD_SECONDS else self.end


def scan_packets(container: Any, video: Any, audio: Any = None) -> PacketTable:
    """Read the times of all packets, without decoding, up to where the file is cut short.

    Args:
        container: open `av` container of which nothing has been read; it is read to its end.
        video: its video stream.
        audio: its audio stream; None: there is none.

    Returns:
        The table of its video packets.
    """
    streams = [stream for stream in (video, audio) if stream is not None]
    rows: dict[int, list[tuple[int, ...]]] = {stream.index: [] for stream in streams}
    last_byte = 0
    try:
        for packet in container.demux(streams):
            if not packet.size and packet.dts is None and packet.pts is None:
                continue  # the mark of the end
            ticks = (NO_TIME if value is None else value for value in (packet.pts, packet.dts))
            flags = packet.is_keyframe, packet.is_discard
            last_byte = max(last_byte, (packet.pos or -packet.size) + packet.size)
            rows[packet.stream.index].append((*ticks, packet.size, packet.duration or 0, *flags))
    except DECODE_ERRORS:
        pass  # cut short: what came until then
    tables = [np.array(rows[stream.index], np.int64).reshape(-1, 6) for stream in streams]
    audio_rows = tables[1] if audio is not None else tables[0][:0]
    return _build(container.format.name, video, tables[0], audio, audio_rows, last_byte)


def max_gap(format_name: str) -> float:
    """Return the longest time between two packets that is a gap and not a jump of the clock.

    Args:
        format_name: FFmpeg's names of the container's format.

    Returns:
        Seconds.
    """
    return _MAX_BROADCAST_GAP if set(format_name.split(",")) & set(_BROADCAST_FORMATS) else MAX_SILENCE


def rest_notes(format_name: str, size: int, last_byte: int) -> tuple[str, ...]:
    """Say that much of a file lies behind what FFmpeg reads, which of joined files may be the first alone.

    Args:
        format_name: FFmpeg's names of the container's format.
        size: size of the file in bytes.
        last_byte: place at which the last packet ends; 0: unknown.

    Returns:
        A sentence; nothing where all is read, and for formats of which FFmpeg reads all.
    """
    if not last_byte or format_name not in _FIRST_ONLY or size - last_byte < max(_MIN_REST, 0.2 * size):
        return ()
    share = f"{last_byte / size:.0%}"
    return (f"Only the first {share} of the file can be read: it may be several files, one behind the other.",)


def _build(format_name: str, video: Any, rows: Rows, audio: Any, audio_rows: Rows, last_byte: int) -> PacketTable:
    name, longest = format_name.split(",")[0], max_gap(format_name)
    pts, dts, duration = _to_seconds(rows, video)
    audio_pts, audio_dts, audio_duration = _to_seconds(audio_rows, audio)
    audio_starts = np.where(np.isnan(audio_pts), audio_dts, audio_pts)
    is_frame, is_key, is_visible = rows[:, 2] > 0, rows[:, 4] > 0, rows[:, 5] == 0
    rate = video.average_rate or video.guessed_rate
    period = 1 / float(rate) if rate and 0 < rate <= 1000 else 0.04
    is_avi = name == "avi"
    starts = np.where(np.isnan(pts) | (is_avi & ~np.isnan(dts)), dts, pts)
    is_complete = not np.isnan(starts).any()
    is_reordered = bool(video.codec_context.has_b_frames)
    has_order = is_complete and not (is_reordered and name not in _WITH_PRESENTATION and is_rising(starts[is_frame]))
    lead = find_lead(starts[is_frame], period) if is_avi else 0.0
    longest_still = longest if name in _BROADCAST_FORMATS else _MAX_STILL
    segments = number_segments(pts, dts, is_key, longest_still, audio_starts)
    times, shifts, clock_starts, end = np.full(len(rows), np.nan), list[float](), list[float](), 0.0
    for segment in range(int(segments.max(initial=-1)) + 1):
        own = segments == segment
        visible = own & is_visible & ~np.isnan(starts)
        begin = float(starts[visible].min(initial=np.inf))
        if not segment and not is_key[:1].all():  # it begins amid frames that cannot be decoded
            begin = float(starts[is_key & visible][:1].min(initial=np.inf))
        clock_starts.append(begin if np.isfinite(begin) else 0.0)
        shifts.append(end - clock_starts[-1])
        times[own] = starts[own] + shifts[-1]
        if name == "mpeg" and is_complete:
            times[own] = space_evenly(times[own], period)
        if is_complete and not is_avi:
            period = usual_step(starts[visible], period)  # the header's mean rate may count a jump of the clock
        is_believed = (duration > 0) & (duration < longest_still) & (segment == segments[-1])  # not before a restart
        end = max(end, float((times + np.where(is_believed, duration, period))[visible].max(initial=0.0)))
    times[np.flatnonzero(is_frame)[1:]] -= lead
    if shifts and lead > 1.5 * period:  # a shorter one is rounded, and less is wrong without it
        shifts[0] -= lead
    audio_segments = number_segments(audio_pts, audio_dts, audio_rows[:, 4] > 0, longest, starts)
    is_known = (audio_segments < len(shifts)) & ~np.isnan(audio_starts)
    audio_times = audio_starts[is_known] + np.array(shifts)[audio_segments[is_known]] if is_known.any() else np.empty(0)
    audio_seconds = np.where(audio_duration < longest, audio_duration, 0.0)  # not before a restart
    audio_end = float((audio_times + audio_seconds[is_known]).max(initial=0.0))
    repeats = np.sort(times[~is_frame])
    if is_avi:
        repeats = fill_slots(times[is_frame], period, min(audio_end, period * (video.duration or 0) - lead))
        end = max(end - lead, repeats.max(initial=0.0) + period) if len(repeats) else end - lead
    active = np.concatenate([times[is_frame & is_visible], audio_times])
    return PacketTable(
        times=times[is_frame],
        is_key=is_key[is_frame],
        is_visible=is_visible[is_frame],
        repeats=repeats,
        identities=rows[is_frame, :3],
        end=end,
        period=period,
        tolerance=max(1e-6, 0.51 * min(float(video.time_base or 0), _COARSE_TICK)),
        has_order=has_order,
        shifts=tuple(shifts) or (0.0,),
        clock_starts=tuple(clock_starts) or (0.0,),
        audio_end=audio_end,
        activity=np.unique(active[~np.isnan(active)]),
        last_byte=last_byte,
    )


def _to_seconds(rows: Rows, stream: Any) -> tuple[Times, Times, Times]:
    """Return presentation time, decoding time and duration of packets."""
    base = 0.0 if stream is None else float(stream.time_base or 0)
    pts, dts = (np.where(rows[:, i] == NO_TIME, np.nan, rows[:, i].astype(np.float64)) * base for i in (0, 1))
    return pts, dts, rows[:, 3] * base


def choose_image_stream(container: Any) -> Any:
    """Choose the stream of moving images of a file; cover images are none.

    Args:
        container: open `av` container.

    Returns:
        Of the streams that can be decoded the first that the file marks as its default, else the first; the first of
        all where none can be; None where there is none.
    """
    covers, default = av.stream.Disposition.attached_pic, av.stream.Disposition.default
    streams = [stream for stream in container.streams.video if not stream.disposition & covers]
    decodable = [stream for stream in streams if stream.codec_context is not None]
    return next((s for s in decodable if s.disposition & default), next(iter(decodable or streams), None))
