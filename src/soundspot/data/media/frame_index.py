"""Frames of a video by the times at which they are shown, and in their order."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from av.video.reformatter import VideoReformatter
from jaxtyping import Float64, Int64
from PIL import Image

from soundspot.data.media.frame_image import frame_to_image
from soundspot.data.media.packet_reader import Opened, PacketReader, Packets
from soundspot.data.media.packet_table import PacketTable
from soundspot.data.media.packet_times import deal_times

TimedImage = tuple[float, Image.Image]


class FrameIndex:
    """Access to the frames of a video stream; second 0 is the start of the first.

    Args:
        open_stream: function that opens the file anew, and returns its container and its video stream.
        opened: container and video stream of which nothing has been read.
        scan: function that reads the table of its packets from these.

    Attributes:
        damaged: number of packets and frames that were left out, the last time that all frames were decoded.
    """

    def __init__(self, open_stream: Callable[[], Opened], opened: Opened, scan: Callable[[], PacketTable]) -> None:
        self._open_stream, self._opened, self._scan = open_stream, opened, scan
        self.damaged = 0

    def close(self) -> None:
        """Close the file."""
        if "_reader" in self.__dict__:
            self._reader.close()

    @cached_property
    def table(self) -> PacketTable:
        """Table of the packets; where they do not say the order of frames, the decoder has."""
        table = self._scan()
        if table.has_order:
            return table
        reader = PacketReader(self._open_stream)
        decoded = reader.decode(reader.packets_from(0, table))
        order = [frame.pts for frame in decoded if frame.pts is not None]
        reader.close()
        times = deal_times(table.times, np.array(order, np.int64), table.period)
        end = float(times[np.isfinite(times)].max(initial=0.0)) + table.period
        return replace(table, times=times, has_order=True, end=max(table.end, end))

    @cached_property
    def _reader(self) -> PacketReader:
        return PacketReader(self._open_stream, self._opened)

    @cached_property
    def _order(self) -> tuple[Int64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
        """Number of the packet whose frame is shown, and since when, in the order in which frames are shown."""
        times = np.concatenate([self.table.times, self.table.repeats])
        order = np.argsort(times, kind="stable")
        is_visible = np.concatenate([self.table.is_visible, np.ones(len(self.table.repeats), bool)])
        order = order[np.isfinite(times[order]) & is_visible[order]]
        is_own = order < len(self.table.times)
        last_own = np.maximum.accumulate(np.where(is_own, np.arange(len(order)), -1))
        return order[last_own[last_own >= 0]], times[order[last_own >= 0]]

    def frames_at(self, times: Sequence[float | int]) -> list[TimedImage]:
        """Decode the frame that is shown at each time.

        Args:
            times: times in seconds, in any order; earlier than the first frame means the first, later than the last the
                last. What cannot be decoded is replaced by the last frame before it that can.

        Returns:
            (start time in seconds, upright RGB image) for each time; an empty list where no frame can be decoded.
        """
        numbers, starts = self._order
        if not len(numbers):
            return []
        positions = (np.searchsorted(starts, np.array(times) + self.table.tolerance, side="right") - 1).clip(0).tolist()
        images: dict[int, Image.Image] = {}
        for key, wanted in self._group_by_key({int(numbers[position]) for position in positions}):
            images |= self._decode_run(key, wanted)
        known = {
            position: (float(starts[position]), images[n])
            for position in positions
            if (n := int(numbers[position])) in images
        }
        if missing := sorted(set(positions) - known.keys()):
            known |= self._decode_passing(missing)
        return [known[position] for position in positions] if known else []

    def frame_after(self, time: float | int) -> Image.Image | None:
        """Decode the first frame that starts after a time.

        Args:
            time: time in seconds.

        Returns:
            Upright RGB image; None where there is no later frame, or it cannot be decoded.
        """
        _, starts = self._order
        position = int(np.searchsorted(starts, time + self.table.tolerance, side="right"))
        frames = self.frames_at(starts[position : position + 1].tolist())
        return frames[0][1] if frames and frames[0][0] > time else None

    def frames(self) -> Iterator[TimedImage]:
        """Decode all frames in order, in a container of their own; a packet without bytes shows the last one again.

        Yields:
            Start time in seconds, rising, and the frame, upright RGB. Frames without an own time are left out and
            counted in `damaged`.
        """
        table, left_out = self.table, 0
        repeats = iter(table.repeats.tolist())
        due, last, image = next(repeats, math.inf), -math.inf, None
        reader, reformatter = PacketReader(self._open_stream), VideoReformatter()
        try:
            for frame in reader.decode(reader.packets_from(0, table)):
                time = math.inf if frame.pts is None else float(table.times[frame.pts])
                if frame.pts is not None and not table.is_visible[frame.pts]:
                    continue
                while due < min(time, math.inf):
                    if image is not None and last < due:
                        yield due, image
                        last = due
                    due = next(repeats, math.inf)
                if last < time < math.inf:
                    last, image = time, frame_to_image(frame, reader.stream, reformatter)
                    yield time, image
                else:
                    left_out += 1
                self.damaged = reader.damaged + left_out
            while image is not None and due < math.inf:
                if last < due:
                    yield due, image
                due = next(repeats, math.inf)
        finally:
            self.damaged = reader.damaged + left_out
            reader.close()

    def _group_by_key(self, numbers: Iterable[int]) -> Iterator[tuple[int, set[int]]]:
        """Divide packets by the packet from which each can be decoded, in the order of the file."""
        times, keys = self.table.times, np.flatnonzero(self.table.is_key)
        groups: dict[int, set[int]] = {}
        for number in numbers:
            before = keys[(keys <= number) & (times[keys] <= times[number])]
            groups.setdefault(int(before[-1]) if len(before) else 0, set()).add(number)
        yield from sorted(groups.items())

    def _decode_run(self, key: int, wanted: set[int]) -> dict[int, Image.Image]:
        """Return the frames of the wanted packets; those between are skipped where no other frame needs them."""
        reader = self._reader
        end = max(wanted) + 1  # a frame of two fields has two packets

        def iter_run() -> Packets:
            for number, packet in reader.packets_from(key, self.table):
                yield number, packet
                if number >= end:
                    return

        frames, reformatter = reader.decode(iter_run(), wanted), VideoReformatter()
        return {frame.pts: frame_to_image(frame, reader.stream, reformatter) for frame in frames if frame.pts in wanted}

    def _decode_passing(self, positions: Sequence[int]) -> dict[int, TimedImage]:
        """Return for each position in the order of frames the last one up to it that can be decoded, else the first."""
        _, starts = self._order
        frames, remaining, last = dict[int, TimedImage](), list(positions), None
        for time, image in self.frames():
            while remaining and last is not None and time > starts[remaining[0]] + self.table.tolerance:
                frames[remaining.pop(0)] = last
            if not remaining:
                return frames
            last = time, image
        return frames | (dict.fromkeys(remaining, last) if last is not None else {})
