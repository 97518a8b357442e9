"""Audio as a file: whole, or an error."""

from pathlib import Path

import pytest
import soundfile
import torch

from soundspot.data.media.audio_writer import write_audio
from soundspot.types import Audio

NOISE = Audio(torch.linspace(-0.9, 0.9, 8000).sin(), 16000)


@pytest.mark.parametrize(("name", "subtype"), [("a.flac", "PCM_24"), ("a.wav", None)])
def test_a_file_is_that_which_libsndfile_writes(tmp_path: Path, name: str, subtype: str | None) -> None:
    write_audio(tmp_path / name, NOISE, subtype)
    soundfile.write(tmp_path / f"other-{name}", NOISE.waveform.numpy(), NOISE.rate, subtype)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"other-{name}").read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.flac").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        write_audio(tmp_path / "a.flac", NOISE)
