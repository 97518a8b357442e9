"""Packets of a video stream by their number in the file, and the frames that they decode to.

The decoder is given the number of each packet in place of its time, and gives it back with the frame, so that each
frame is known for what it is, whatever container it comes from.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from soundspot.data.media.ffmpeg import DECODE_ERRORS, av
from soundspot.data.media.packet_table import NO_TIME, PacketTable

_MARKS_REFERENCES = ("h264", "mpeg4", "mpeg2video", "mpeg1video")  # codecs whose frames say whether others need them
_WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # decoders that see the transparency of WebM
_SEEK_MARGINS = (0.0, 3.0)  # seconds before a packet at which it is looked for, as some containers land behind it

Packets = Iterator[tuple[int, Any]]
Opened = tuple[Any, Any]  # container and video stream
_UNKNOWN = 1 << 62  # number of the next packet, after all


class PacketReader:
    """An open container that is read through once, or from packet to packet.

    Args:
        open_stream: function that opens the file anew, and returns its container and its video stream.
        opened: container and stream that have been read already, to seek in; None: the file is opened anew.

    Attributes:
        stream: the video stream.
        damaged: number of packets so far that could not be decoded.
    """

    def __init__(self, open_stream: Callable[[], Opened], opened: Opened | None = None) -> None:
        self._open_stream = open_stream
        self.damaged = 0
        self._container: Any = None
        self._next = 0  # number of the packet that `_packets` yields next
        self._restart(opened)
        if opened is not None:
            self._next = _UNKNOWN

    def close(self) -> None:
        """Close the container."""
        self._container.close()

    def decode(self, packets: Packets, wanted: Collection[int] = ()) -> Iterator[Any]:
        """Decode packets.

        Args:
            packets: number and packet, from one on at which decoding can begin.
            wanted: numbers of packets whose frames are wanted, where others may be left out if no other frame needs
                them; empty: all are.

        Yields:
            Decoded `av` frames in the order in which they are shown; `pts` is the number of the packet.
        """
        codec = self._codec
        is_threaded = self.stream.thread_type != av.codec.context.ThreadType.NONE
        can_skip = bool(wanted) and codec.name in _MARKS_REFERENCES and not is_threaded
        try:
            for number, packet in packets:
                packet.pts = number
                if can_skip:
                    codec.skip_frame = "DEFAULT" if number in wanted else "NONREF"
                yield from self._decode_packet(packet)
            yield from self._decode_packet(None)
        finally:
            codec.skip_frame = "DEFAULT"
            codec.flush_buffers()

    def packets_from(self, first: int, table: PacketTable) -> Packets:
        """Yield packets from a number on.

        They are read on from where the last ones ended, or from a seek that has led to the packet itself; where neither
        does, from the beginning of the file.

        Args:
            first: number of the first packet.
            table: packets of the file.

        Yields:
            Number and packet.
        """
        is_near = first - self._next >= 0 and not table.is_key[self._next : first].any()
        if not is_near and not self._seek(first, table) and first < self._next:
            self._restart()
        for number, packet in self._packets:
            self._next = number + 1
            if number >= first:
                yield number, packet

    def _restart(self, opened: Opened | None = None) -> None:
        """Open the file anew, at its first packet, or take what is open."""
        if self._container is not None:
            self._container.close()
        self._container, self.stream = opened or self._open_stream()
        own = self.stream.codec_context
        decoder = _WITH_ALPHA.get(own.name)
        has_alpha = decoder in av.codecs_available and self.stream.metadata.get("alpha_mode") == "1"
        self._codec = av.CodecContext.create(decoder, "r") if has_alpha else own
        self._packets: Packets = enumerate(self._iter_packets())
        self._next = 0

    def _seek(self, first: int, table: PacketTable) -> bool:
        """Seek to a packet; return whether that has led to it."""
        presentation, decoding, size = table.identities[first].tolist()
        ticks = presentation if decoding == NO_TIME else decoding
        if ticks == NO_TIME or not table.can_seek:
            return False
        self._next = _UNKNOWN  # until it is known where a seek leads
        for margin in _SEEK_MARGINS:
            try:
                self._container.seek(int(ticks - margin / self.stream.time_base), stream=self.stream)
            except DECODE_ERRORS:
                return False
            for packet in self._iter_packets():
                pts, dts = (NO_TIME if value is None else value for value in (packet.pts, packet.dts))
                if (pts, dts, packet.size) == (presentation, decoding, size):
                    self._packets, self._next = self._number(first, packet), first
                    return True
                if dts != NO_TIME and decoding != NO_TIME and dts > decoding:
                    break
        return False

    def _number(self, first: int, packet: Any) -> Packets:
        yield first, packet
        yield from enumerate(self._iter_packets(), first + 1)

    def _iter_packets(self) -> Iterator[Any]:
        """Yield the packets that a table counts, up to where the file is cut short."""
        try:
            for packet in self._container.demux(self.stream):
                if packet.size:
                    yield packet
        except DECODE_ERRORS:
            self.damaged += 1

    def _decode_packet(self, packet: Any) -> list[Any]:
        try:
            return list(self._codec.decode(packet))
        except DECODE_ERRORS:
            self.damaged += 1
            return []
