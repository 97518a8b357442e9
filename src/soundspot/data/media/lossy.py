"""Audio as it comes back from lossy codecs, in memory: AAC, MP3 and Opus at the bit rates that people's files have."""

import io
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from soundspot.data.media.audio import read_audio, resample
from soundspot.types import Audio

_BLOCK = 4096  # samples of a frame that an encoder is given


@dataclass(frozen=True)
class Codec:
    """A lossy codec with its settings.

    Attributes:
        name: name for messages.
        encoder: FFmpeg's encoder.
        container: FFmpeg's container format.
        bit_rate: bits per second of one channel.
        rate: sample rate in Hz at which audio is encoded.
    """

    name: str
    encoder: str
    container: str
    bit_rate: int
    rate: int


CODECS = (
    Codec("aac", "aac", "ipod", 64_000, 44_100),
    Codec("mp3", "libmp3lame", "mp3", 64_000, 44_100),
    Codec("opus", "libopus", "ogg", 32_000, 48_000),
)


def pass_through_codec(audio: Audio, codec: Codec) -> Audio:
    """Encode audio by a lossy codec, and decode it as a file of it would be.

    Args:
        audio: mono audio of any rate.
        codec: codec and settings.

    Returns:
        The decoded audio at the codec's rate; codecs may add some hundredths of a second of silence. The same input
        gives the same output, by the same build of FFmpeg. Samples beyond 1 are scaled down for the codec.
    """
    import av

    scale = max(1.0, float(audio.waveform.abs().max()))
    samples = resample(Audio(audio.waveform / scale, audio.rate), codec.rate).waveform.numpy()
    content = io.BytesIO()
    with av.open(content, "w", format=codec.container) as container:
        stream = container.add_stream(codec.encoder, rate=codec.rate, layout="mono")
        stream.bit_rate = codec.bit_rate
        resampler = av.AudioResampler(stream.format, stream.layout, codec.rate)
        for start in range(0, len(samples), _BLOCK):
            block = np.ascontiguousarray(samples[None, start : start + _BLOCK], np.float32)
            frame = av.AudioFrame.from_ndarray(block, format="flt", layout="mono")
            frame.rate, frame.pts, frame.time_base = codec.rate, start, Fraction(1, codec.rate)
            for converted in resampler.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    decoded = read_audio(f"{codec.name} in memory", content=content.getvalue())
    return Audio(decoded.waveform * scale, decoded.rate)
