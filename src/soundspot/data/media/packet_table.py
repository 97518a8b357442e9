"""What the packets of a video say, before anything is decoded: when each frame is shown, and from where it is decoded.

One rule for time, in every container: second 0 is the start of the first frame; frames follow each other in the order
in which they are shown; where the clock of a file restarts or jumps (joined transport streams, cameras that lost their
network), the next frame follows the last at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from soundspot.data.media.ffmpeg import DECODE_ERRORS, av

MAX_JITTER = 0.05  # seconds by which a time stamp may be off before that means anything
_MAX_GAP = 10.0  # seconds between packets of a broadcast; a longer gap is a jump of its clock
_MAX_SILENCE = 600.0  # seconds without audio in other files; a longer gap is a broken time stamp
_MAX_SLOTS_PER_FRAME = 1000  # of an AVI
_MAX_LEAD, _MAX_LEAD_FRAMES = 4, 50  # places of an AVI, and frames that tell whether there are more like them
_MAX_LATENESS = 0.5  # seconds by which a frame may be decoded after it is shown, as careless writers say
HOLD_SECONDS = 0.5  # by which audio may outlast the frames before that is worth a word
_BROADCAST_FORMATS = ("mpegts", "mpeg", "flv")  # formats that are recorded as they come, with the sender's clock
_UNTIMED = ("avi", "h264", "hevc", "mpegvideo", "m4v")  # formats whose packets have a place and no time
_COARSE_TICK = 0.001  # seconds: time stamps of Matroska and FLV are rounded to it
NO_TIME = -(1 << 63)  # ticks of a packet that says no time

Ticks = Int64[np.ndarray, " _"]
Rows = Int64[np.ndarray, "_ 5"]  # pts, dts, size in bytes, duration, is a key frame


@dataclass(frozen=True, eq=False)
class PacketTable:
    """The n video packets with bytes of a file in their order, which is that of decoding.

    Attributes:
        times: (n,) second at which the frame of each packet is shown.
        is_key: (n,) whether decoding can begin at it.
        repeats: (r,) seconds, rising, at which a packet without bytes says that the frame before it stays.
        identities: (n, 3) presentation and decoding time in ticks and size in bytes, to find a packet again after a
            seek.
        end: second at which the last frame is no longer shown; 0 where packets have no times.
        tolerance: seconds by which a time may be rounded.
        has_order: whether the times are those of the frames; if not, they are to be dealt out, rising, to the frames as
            they are decoded (AVI with B-frames).
        shifts: seconds to be added to the file's time after each restart of its clock; the first is that of the
            beginning, the negative time of the first frame.
        audio_end: second at which the audio ends; 0 without audio.
        activity: second of each packet with bytes, of video and audio, rising and distinct.
    """

    times: Float64[np.ndarray, " n"]
    is_key: Bool[np.ndarray, " n"]
    repeats: Float64[np.ndarray, " r"]
    identities: Int64[np.ndarray, "n 3"]
    end: float
    tolerance: float
    has_order: bool
    shifts: tuple[float, ...]
    audio_end: float
    activity: Float64[np.ndarray, " p"]

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
    try:
        for packet in container.demux(streams):
            if packet.is_discard or (not packet.size and packet.dts is None and packet.pts is None):
                continue  # not to be shown, or the mark of the end
            ticks = (NO_TIME if value is None else value for value in (packet.pts, packet.dts))
            rows[packet.stream.index].append((*ticks, packet.size, packet.duration or 0, packet.is_keyframe))
    except DECODE_ERRORS:
        pass  # cut short: what came until then
    tables = [np.array(rows[stream.index], np.int64).reshape(-1, 5) for stream in streams]
    return _build(container.format.name, video, tables[0], audio, tables[-1])


def get_start_time(video: Any, first: Any) -> float:
    """Return the time at which the first frame of a file is shown, in the file's own seconds.

    Args:
        video: video stream.
        first: (pts, is a key frame) of the first packets, up to the first key frame.

    Returns:
        That of the stream; where it begins amid frames that cannot be decoded, that of its first key frame.
    """
    base = float(video.time_base or 0)
    keys = [pts for pts, is_key in first if is_key and pts != NO_TIME]
    return (keys[0] if keys and not first[0][1] else video.start_time or 0) * base


def max_audio_gap(format_name: str) -> float:
    """Return the longest time between two audio packets that is a gap and not a jump of the clock.

    Args:
        format_name: FFmpeg's names of the container's format.

    Returns:
        Seconds.
    """
    return _MAX_GAP if set(format_name.split(",")) & set(_BROADCAST_FORMATS) else _MAX_SILENCE


def _build(format_name: str, video: Any, rows: Rows, audio: Any, audio_rows: Rows) -> PacketTable:
    base, names = float(video.time_base or 0), format_name.split(",")
    rate = video.average_rate or video.guessed_rate
    period = 1 / float(rate) if rate and 0 < rate <= 1000 else 0.04
    max_gap = _MAX_GAP if set(names) & set(_BROADCAST_FORMATS) else np.inf
    pts, dts, size, duration, is_key = rows.T
    num_leading = int(is_key.argmax()) if is_key.any() else 0
    start = get_start_time(video, list(zip(pts.tolist(), is_key.tolist(), strict=True))[: num_leading + 1])
    has_order = names[0] not in _UNTIMED or not video.codec_context.has_b_frames
    is_avi = names[0] == "avi"
    starts = np.where((dts != NO_TIME) & ((pts == NO_TIME) | is_avi | (not has_order)), dts, pts) * base
    lead = 0.0
    if (is_avi or not has_order) and len(starts):
        start = starts.min()  # the place of the first packet is that of the first frame
        lead = _find_lead(starts[size > 0], period)
        starts[1:] -= lead
    segments = _number_segments(pts, dts, base, max_gap)
    seconds = np.where(duration > 0, duration * base, period)
    times, shifts, end = np.empty(len(rows)), [-start], 0.0
    for segment in range(int(segments.max(initial=-1)) + 1):
        own = segments == segment
        if segment:
            shifts.append(end - float(starts[own].min()))
        times[own] = starts[own] + shifts[-1]
        if names[0] == "mpeg":
            times[own] = _space_evenly(times[own], period)
        end = max(end, float((times[own] + seconds[own]).max()))
    audio_times = _place_audio(audio, audio_rows, shifts, max_audio_gap(format_name))
    audio_end, is_frame = float(audio_times[:, 1].max(initial=0.0)), size > 0
    repeats = np.sort(times[~is_frame])
    if is_avi:
        repeats = _fill_slots(times[is_frame], period, min(audio_end, period * (video.duration or 0) - lead))
        end = max(end, repeats.max(initial=0.0) + period) if len(repeats) else end
    return PacketTable(
        times=times[is_frame],
        is_key=is_key[is_frame].astype(bool),
        repeats=repeats,
        identities=rows[is_frame, :3],
        end=end,
        tolerance=max(1e-6, 0.51 * min(base, _COARSE_TICK)),
        has_order=bool(has_order),
        shifts=tuple(shifts),
        audio_end=audio_end,
        activity=np.unique(np.concatenate([times[is_frame], audio_times[:, 0]])),
    )


def _find_lead(starts: Float64[np.ndarray, " n"], period: float) -> float:
    """Return the seconds of empty places behind the first frame of an AVI, if these are the only ones.

    FFmpeg writes them there, and not before it, where the audio begins a little before the images.
    """
    steps = np.round(np.diff(starts[:_MAX_LEAD_FRAMES]) / period)
    is_lead = len(steps) > 1 and 1 < steps[0] <= _MAX_LEAD and (steps[1:] == 1).all()
    return (float(steps[0]) - 1) * period if is_lead else 0.0


def _space_evenly(times: Float64[np.ndarray, " n"], period: float) -> Float64[np.ndarray, " n"]:
    """Return times that are even where all are at most a frame off.

    In a program stream a packet may hold several frames and say the time of one; which, FFmpeg guesses.
    """
    order = np.argsort(times, kind="stable")
    even = np.empty_like(times)
    even[order] = times.min() + np.arange(len(times)) * period
    return even if (np.abs(even - times) < 1.01 * period).all() else times


def _fill_slots(times: Float64[np.ndarray, " n"], period: float, end: float) -> Float64[np.ndarray, " r"]:
    """Return the times of the places of an AVI that hold no frame: FFmpeg passes over packets without bytes there."""
    if not len(times):
        return np.empty(0)
    count = round(max(float(times.max()) + period, end) / period)
    if count > _MAX_SLOTS_PER_FRAME * len(times):
        return np.empty(0)  # a header that lies
    return np.setdiff1d(np.arange(count), np.round(times / period).astype(int)) * period


def _place_audio(audio: Any, rows: Rows, shifts: list[float], max_gap: float) -> Float64[np.ndarray, "p 2"]:
    """Return the second at which each audio packet begins and ends, as far as it says so."""
    if audio is None or not len(rows):
        return np.empty((0, 2))
    base = float(audio.time_base)
    pts, dts, _, duration, _ = rows.T
    segments = _number_segments(pts, dts, base, max_gap)
    starts = np.where(pts == NO_TIME, dts, pts) * base
    is_known = (segments < len(shifts)) & (starts > NO_TIME * base / 2)
    starts = starts[is_known] + np.array(shifts)[segments[is_known]]
    return np.stack([starts, starts + duration[is_known] * base], axis=1)


def _number_segments(pts: Ticks, dts: Ticks, base: float, max_gap: float) -> Ticks:
    """Return for each packet the number of restarts of the clock before it."""
    is_known = (pts != NO_TIME) & (dts != NO_TIME)  # of both; a demuxer may have guessed dts from before a restart
    delay = np.where(is_known, pts * base - dts * base, 0.0)
    ticks = np.where((dts != NO_TIME).any() & (delay <= max_gap) & (delay > -_MAX_LATENESS), dts, pts)
    known = np.flatnonzero(ticks != NO_TIME)
    steps = np.diff(ticks[known]) * base
    is_restart = np.zeros(len(ticks), np.int64)
    is_restart[known[1:]] = (steps < -MAX_JITTER) | (steps > max_gap)
    return np.cumsum(is_restart)


def moving_image_streams(container: Any) -> Sequence[Any]:
    """List the video streams of a container that are no cover images.

    Args:
        container: open `av` container.

    Returns:
        Its streams of moving images, in order; empty where there are none.
    """
    return [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
