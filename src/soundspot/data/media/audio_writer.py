"""Write audio as a file."""

import io
from pathlib import Path

import soundfile

from soundspot.types import Audio


def write_audio(path: Path, audio: Audio, subtype: str | None = None) -> None:
    """Write audio as a file in the format of its suffix.

    It is encoded in memory: libsndfile, given a path, leaves a shorter file on a full disk and says nothing.

    Args:
        path: path of the file, such as `a.flac` or `a.wav`.
        audio: mono audio.
        subtype: libsndfile's name of the encoding, such as `PCM_24`; None: that of the format.

    Raises:
        OSError: the file cannot be written.
    """
    content = io.BytesIO()
    soundfile.write(content, audio.waveform.numpy(), audio.rate, subtype, format=path.suffix[1:].upper())
    path.write_bytes(content.getvalue())
