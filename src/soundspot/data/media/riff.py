"""What the header of a WAV says: which samples there are, and how many, as far as it may be believed."""

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_PCM, _EXTENSIBLE = 1, 0xFFFE
_B_FORMAT = bytes.fromhex("00002107d3118644c8c1ca000000")  # the end of its GUIDs, of integers and of floats
_MAX_CHUNKS = 1000  # before the samples
_MAX_TRAILER = 1 << 16  # bytes of a last chunk of notes
_STREAMED = 0x7FFF0000  # bytes from which a length means "to the end": 0xFFFFFFFF, 0x7FFFF000...


@dataclass(frozen=True)
class WavHeader:
    """Header of a RIFF WAV.

    Attributes:
        num_channels: number of channels.
        rate: sample rate in Hz.
        num_bytes_per_second: bytes of a second of all channels, as the header has it.
        is_pcm16: whether samples are integers of 16 bits.
        is_b_format: whether the file says that its channels are a sound field in B-format.
        frame_size: bytes of one sample of all channels.
        offset: position in the file of the first sample, in bytes.
        size: bytes of samples that there are, whatever the header says.
        promised: bytes of samples that the header promises; 0 where it leaves their number open.
    """

    num_channels: int
    rate: int
    num_bytes_per_second: int
    is_pcm16: bool
    is_b_format: bool
    frame_size: int
    offset: int
    size: int
    promised: int


def read_wav_header(path: Path, content: bytes | None = None) -> WavHeader | None:
    """Read the header of a WAV.

    A length of 0, and one near the limits of its field, is that of a file written to a pipe: samples go on to the end.

    Args:
        path: path of the file.
        content: bytes of the file, where they were read from elsewhere.

    Returns:
        The header; None where the file is no RIFF WAV, or holds no samples.
    """
    with path.open("rb") if content is None else io.BytesIO(content) as file:
        end = file.seek(0, 2)
        file.seek(0)
        if (head := file.read(12))[:4] != b"RIFF" or head[8:] != b"WAVE":
            return None
        form = b""
        for _ in range(_MAX_CHUNKS):
            if len(head := file.read(8)) < 8:
                return None
            name, size = struct.unpack("<4sI", head)
            if name == b"data":
                offset = file.tell()
                trailer = 0 if 0 < size < _STREAMED else _measure_trailer(file, offset, end)
                return _describe(form, size, offset, end, trailer)
            if name == b"fmt ":
                form = file.read(min(size, 64))
                size -= len(form)
            file.seek(size + size % 2, 1)
    return None


def _measure_trailer(file: BinaryIO, offset: int, end: int) -> int:
    """Return the bytes of a last chunk of notes behind samples whose number the header leaves open."""
    file.seek(max(offset, end - _MAX_TRAILER))
    tail = file.read()
    for name in (b"LIST", b"id3 ", b"ID3 ", b"bext"):
        position = tail.rfind(name)
        if 0 <= position <= len(tail) - 8:
            size = struct.unpack_from("<I", tail, position + 4)[0]
            if position + 8 + size + size % 2 == len(tail):
                return len(tail) - position
    return 0


def short_wav_notes(path: Path, header: WavHeader) -> tuple[str, ...]:
    """Say that a WAV holds less than its header promises.

    Args:
        path: path of the file.
        header: its header.

    Returns:
        A sentence; nothing where it holds all of it.
    """
    if header.promised <= header.size or not header.num_bytes_per_second:
        return ()
    seconds, promised = (size / header.num_bytes_per_second for size in (header.size, header.promised))
    return (f"{path.name} ends after {seconds:.2f} s, and its header promises {promised:.2f} s: it is cut short.",)


def _describe(form: bytes, size: int, offset: int, end: int, trailer: int) -> WavHeader | None:
    if len(form) < 16:
        return None
    tag, channels, rate, bytes_per_second, frame_size, bits = struct.unpack_from("<HHIIHH", form)
    is_extensible = tag == _EXTENSIBLE and len(form) >= 40
    kind = struct.unpack_from("<H", form, 24)[0] if is_extensible else tag
    is_b_format = is_extensible and form[26:40] == _B_FORMAT
    promised = size if 0 < size <= max(end - offset, _STREAMED - 1) else 0
    available = min(promised, end - offset) if promised else end - offset - trailer
    is_pcm16 = kind == _PCM and bits == 16 and frame_size == 2 * channels > 0 and rate > 0
    return WavHeader(channels, rate, bytes_per_second, is_pcm16, is_b_format, frame_size, offset, available, promised)
