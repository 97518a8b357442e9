"""Writers of small valid files: numbered images, signals, audio, videos with any tracks, HEIC, Ogg and Theora.

They know nothing of soundspot. The images of most videos carry their index: `read_number(image)` reads it back.
Coders add up to 0.06 s of audio, and put it off by up to 0.03 s.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from PIL import Image

Signal = Callable[[np.ndarray], np.ndarray]  # seconds (n,) -> samples in [-1, 1], (n,) or (n, channels)

# Images
BITS, SQUARE = 10, 16  # a number image is 160 x 64: for each bit a column of two squares, the lowest bit on the left


def number_image(number: int) -> np.ndarray:
    """Draw a number below 1024: white over black stands for 1, black over white for 0; uint8 (64, 160, 3)."""
    bits = (number >> np.arange(BITS)) & 1
    squares = np.kron(np.stack([bits, 1 - bits]), np.ones((2 * SQUARE, SQUARE)))
    return np.repeat((20 + 215 * squares).astype(np.uint8)[..., None], 3, axis=2)


def read_number(image: Image.Image | np.ndarray) -> int:
    """Read the number of a `number_image` that was coded, resized or covered by a half-transparent heat map.

    Raises:
        ValueError: a column shows no contrast, so that this is no such image, or it is another one's blend.
    """
    pixels = np.asarray(image, dtype=np.float64)
    gray = pixels[..., :3].mean(axis=-1) if pixels.ndim == 3 else pixels
    height, width = gray.shape

    def level(row: int, column: int) -> float:  # the middle half of a square, away from its edges
        y, x = (row + 0.25) * height / 2, (column + 0.25) * width / BITS
        return float(gray[round(y) : round(y + height / 4), round(x) : round(x + width / BITS / 2)].mean())

    contrast = np.array([level(0, column) - level(1, column) for column in range(BITS)])
    if (np.abs(contrast) < 24).any():
        raise ValueError(f"no number: the contrast of its columns is {contrast.round().tolist()}, expected 24 or more")
    return int(((contrast > 0) << np.arange(BITS)).sum())


def corner_image() -> np.ndarray:
    """A gray image, 128 x 96, whose upper left 50 x 40 pixels are red."""
    image = np.full((96, 128, 3), 90, np.uint8)
    image[:40, :50] = (230, 40, 40)
    return image


# Signals
def sine(hertz: float, level: float = 0.5) -> Signal:
    """A steady tone."""
    return lambda t: level * np.sin(2 * np.pi * hertz * t)


def silence(t: np.ndarray) -> np.ndarray:
    """No sound at all."""
    return np.zeros_like(t)


def clicks(seconds: Iterable[float], level: float = 0.5) -> Signal:
    """Silence, but for a burst of 1 kHz and 50 ms that begins at each of `seconds`."""
    starts = list(seconds)
    return lambda t: sum(sine(1000, level)(t - start) * ((t >= start) & (t < start + 0.05)) for start in starts)


def chord(t: np.ndarray) -> np.ndarray:
    """Forty tones from 200 to 1340 Hz, none a multiple of another: no two windows of it are alike.

    A pure function of time, so that a test can compute what any window must hold. Its phase tells a shift of 0.1 ms.
    """
    order = np.arange(40)
    phases = 2 * np.pi * (np.outer(t, 200 + 29.2317 * order) + (order * order * 0.381966) % 1)
    return 0.04 * np.sin(phases).sum(axis=1)


def sample(signal: Signal, seconds: float, rate: int) -> np.ndarray:
    """Samples of a signal, float32 (n, channels)."""
    samples = np.asarray(signal(np.arange(round(seconds * rate)) / rate), np.float32)
    return samples[:, None] if samples.ndim == 1 else samples


# Files
@dataclass(frozen=True)
class AudioTrack:
    """An audio track of a video; `default` is its mark in the container, None for the container's own choice."""

    signal: Signal
    codec: str = "aac"
    rate: int = 48000
    layout: str = "mono"
    default: bool | None = None


def encode_audio(stream: Any, samples: np.ndarray, rate: int, layout: str) -> list[Any]:
    """Packets of an audio stream that holds `samples` (n, channels) and nothing else."""
    packets = []
    for start in range(0, len(samples), 1024):
        part = np.ascontiguousarray(samples[start : start + 1024].reshape(1, -1), np.float32)
        frame = av.AudioFrame.from_ndarray(part, format="flt", layout=layout)
        frame.rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        packets += stream.encode(frame)
    return [*packets, *stream.encode(None)]


def write_audio(
    path: Path,
    samples: np.ndarray,
    rate: int,
    codec: str,
    layout: str = "mono",
    *,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> None:
    """Write an audio file with one of FFmpeg's encoders."""
    with av.open(str(path), "w", options=container_options or {}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout, options=options or {})
        container.mux(encode_audio(stream, samples, rate, layout))


def write_video(
    path: Path,
    images: Sequence[np.ndarray],
    tracks: Sequence[AudioTrack] = (),
    *,
    codec: str = "libx264",
    audio_seconds: float | None = None,
    fps: int = 25,
    gop: int = 25,
    b_frames: int = 0,
    pixels: str = "yuv420p",
    repeat: int = 1,
    starts: tuple[float, float] = (0.0, 0.0),
    jump: tuple[float, float] = (0.0, 0.0),
    format: str | None = None,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> None:
    """Write a video of RGB or RGBA images; its audio is as long as they are unless `audio_seconds` says otherwise.

    Each image is shown `repeat` times, by packets without bytes behind its own. The clock of the images begins at
    `starts[0]` and that of the audio at `starts[1]`; at the second `jump[0]` both go on `jump[1]` seconds later.
    """
    fixed = {  # no key frames and no fewer B-frames than asked for
        "libx264": {"b-adapt": "0", "sc_threshold": "0"},
        "libx265": {"x265-params": "b-adapt=0:scenecut=0:log-level=none"},
    }
    with av.open(str(path), "w", format=format, options=container_options or {}) as container:
        video = container.add_stream(codec, rate=fps, options=fixed.get(codec, {}) | (options or {}))
        video.height, video.width = images[0].shape[:2]
        video.pix_fmt = pixels
        if codec not in ("png", "prores_ks"):  # these have no groups of pictures
            video.codec_context.gop_size, video.codec_context.max_b_frames = gop, b_frames
        streams = []
        for track in tracks:
            stream = container.add_stream(track.codec, rate=track.rate, layout=track.layout)
            if track.codec == "wmav2":
                stream.bit_rate = 128_000  # it has none by itself
            if track.default is not None:
                stream.disposition = av.stream.Disposition.default if track.default else av.stream.Disposition(0)
            streams.append(stream)
        packets = []
        for number, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgba" if image.shape[2] == 4 else "rgb24")
            frame.pts, frame.time_base = number * repeat, Fraction(1, fps)
            packets += video.encode(frame)
        packets += video.encode(None)
        for packet, extra in [(packet, extra) for packet in packets for extra in range(1, repeat)]:
            again = av.Packet(b"")
            again.stream, again.time_base = video, packet.time_base
            again.pts = again.dts = packet.dts + extra
            packets.append(again)
        seconds = len(images) * repeat / fps if audio_seconds is None else audio_seconds
        for stream, track in zip(streams, tracks, strict=True):
            packets += encode_audio(stream, sample(track.signal, seconds, track.rate), track.rate, track.layout)
        for packet in packets:
            put_off(packet, starts[0 if packet.stream is video else 1], jump)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            container.mux(packet)


def put_off(packet: Any, start: float, jump: tuple[float, float]) -> None:
    """Move the time of a packet by `start`, and from second `jump[0]` on by `jump[1]` more."""
    seconds = start + (jump[1] if float(packet.pts * packet.time_base) >= jump[0] else 0.0)
    ticks = round(seconds / packet.time_base)
    packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks


def numbered_video(path: Path, count: int, tracks: Sequence[AudioTrack] = (), first: int = 0, **kwargs: Any) -> None:
    """Write a video whose image n is `number_image(first + n)`."""
    write_video(path, [number_image(number) for number in range(first, first + count)], tracks, **kwargs)


def box(kind: str, *parts: bytes) -> bytes:
    """A box of the MP4 family."""
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind.encode()) + body


def write_heic(path: Path, image: np.ndarray) -> None:
    """Write a still image as phones do: one HEVC key frame as the primary item of a HEIF file (ISO 23008-12)."""
    movie = path.with_suffix(".mp4")
    write_video(movie, [image], codec="libx265", fps=1)
    content = movie.read_bytes()
    at = content.index(b"hvcC") - 4
    configuration = content[at : at + struct.unpack_from(">I", content, at)[0]]
    with av.open(str(movie)) as container:
        data = bytes(next(container.demux(video=0)))
    movie.unlink()
    height, width = image.shape[:2]

    def meta(offset: int) -> bytes:
        return box(
            "meta",
            bytes(4),
            box("hdlr", bytes(8), b"pict", bytes(13)),
            box("pitm", bytes(4), struct.pack(">H", 1)),
            box("iloc", bytes(4), struct.pack(">BBHHHHII", 0x44, 0, 1, 1, 0, 1, offset, len(data))),
            box("iinf", bytes(4), struct.pack(">H", 1), box("infe", b"\2\0\0\0", struct.pack(">HH", 1, 0), b"hvc1\0")),
            box(
                "iprp",
                box("ipco", configuration, box("ispe", bytes(4), struct.pack(">II", width, height))),
                box("ipma", bytes(4), struct.pack(">IHBBB", 1, 1, 2, 0x81, 0x02)),
            ),
        )

    head = box("ftyp", b"heic", bytes(4), b"mif1heic")
    path.write_bytes(head + meta(len(head) + len(meta(0)) + 8) + box("mdat", data))


# Ogg and Theora
def ogg_checksum(page: bytes) -> int:
    """The sum of an Ogg page whose own field is zero: CRC-32 by 0x04C11DB7, unreflected, from 0 (RFC 3533)."""
    total = 0
    for byte in page:
        total ^= byte << 24
        for _ in range(8):
            total = (total << 1) ^ (0x104C11DB7 if total & 0x80000000 else 0)
    return total


def ogg_page(packet: bytes, serial: int, sequence: int, granule: int, flags: int = 0) -> bytes:
    """A page that holds one whole packet; flags: 2 begins a stream, 4 ends it."""
    lacing = bytes([255] * (len(packet) // 255) + [len(packet) % 255])
    head = struct.pack("<4sBBqIIIB", b"OggS", 0, flags, granule, serial, sequence, 0, len(lacing))
    page = bytearray(head + lacing + packet)
    struct.pack_into("<I", page, 22, ogg_checksum(page))
    return bytes(page)


def split_ogg(content: bytes) -> list[bytes]:
    """The pages of an Ogg file."""
    pages, at = [], 0
    while at < len(content):
        lacing = content[at + 27 : at + 27 + content[at + 26]]
        pages.append(content[at : at + 27 + len(lacing) + sum(lacing)])
        at += len(pages[-1])
    return pages


def pack_bits(fields: Iterable[tuple[int, int]]) -> bytes:
    """Pack (value, width) pairs, highest bit first; the last byte is filled with zeros."""
    text = "".join(f"{value:0{width}b}" for value, width in fields if width)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[at : at + 8], 2) for at in range(0, len(text), 8))


def theora_packets(fps: int) -> tuple[list[bytes], bytes, bytes]:
    """The three headers of a Theora stream of 32 x 32 pixels, and key frames of luma 48 and 208.

    An encoder of plain images, after the Theora specification: the first block has the one coefficient that is coded,
    which the prediction spreads, so two tokens are enough and every Huffman table is the same two leaves.
    """
    size = [(2, 16), (2, 16), (32, 24), (32, 24), (0, 8), (0, 8)]  # in macroblocks, in pixels, offset
    speed = [(fps, 32), (1, 32), (1, 24), (1, 24)]  # frames a second, shape of a pixel
    identification = pack_bits([(3, 8), (2, 8), (1, 8), *size, *speed, (0, 8), (0, 24), (0, 6), (6, 5), (0, 2), (0, 3)])
    comment = struct.pack("<I5sI", 5, b"cases", 0)
    end_of_16, large_value = 5, 21  # tokens: the end of 16 to 31 blocks; a value of 37 to 68
    scales = [(6, 4), *[(100, 7)] * 64] * 2
    matrices = [(1, 9), *[(16, 8)] * 128, (0, 1), (62, 6), (0, 1)]  # two that are alike: of a single one readers differ
    planes = [(0, 1), (0, 1), *[(0, 1), (1, 1)] * 3]  # each as the one before
    tables = [(0, 1), (1, 1), (end_of_16, 5), (1, 1), (large_value, 5)] * 80
    setup = pack_bits([(0, 3), *scales, *matrices, *planes, *tables])

    def frame(negative: int) -> bytes:
        head = [(0, 1), (0, 1), (0, 6), (0, 1), (0, 3)]  # a key frame of quality 0
        first = [(0, 8), (1, 1), (negative, 1), (40 - 37, 5)]  # block 0: 40 steps up or down
        rest = [(0, 1), (24 - 16, 4), (0, 8)]  # 23 blocks end here, and block 0 behind its first coefficient
        return pack_bits([*head, *first, *rest])

    headers = [b"\x80theora" + identification, b"\x81theora" + comment, b"\x82theora" + setup]
    return headers, frame(1), frame(0)


def write_theora(path: Path, bright: range, count: int, fps: int, audio: Path) -> None:
    """Write dark frames with a bright spell, where packets without bytes repeat the last frame; Vorbis beside them."""
    headers, dark_frame, bright_frame = theora_packets(fps)
    pages, key = [], 0
    for number in range(count):
        packet = b""
        if number in (0, bright.start, bright.stop):
            packet, key = (bright_frame if number == bright.start else dark_frame), number
        granule = (key + 1) << 6 | (number - key)
        pages.append(((number + 1) / fps, ogg_page(packet, 1, 3 + number, granule, 4 * (number == count - 1))))
    rate = soundfile.info(audio).samplerate
    first, *others = split_ogg(audio.read_bytes())
    pages += [(struct.unpack_from("<q", page, 6)[0] / rate, page) for page in others]
    head = [ogg_page(headers[0], 1, 0, 0, 2), first, ogg_page(headers[1], 1, 1, 0), ogg_page(headers[2], 1, 2, 0)]
    path.write_bytes(b"".join([*head, *(page for _, page in sorted(pages, key=lambda pair: pair[0]))]))
