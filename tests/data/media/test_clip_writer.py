"""A short video whose sound lasts as long as its frames, whatever pieces it comes in."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from soundspot.data.media.clip_writer import write_clip
from soundspot.data.media.video import open_video
from soundspot.types import Audio

RATE = 16000


@pytest.mark.parametrize("num_pieces", [1, 8, 16])
def test_the_sound_lasts_as_long_as_the_frames(tmp_path: Path, num_pieces: int) -> None:
    waveform = torch.rand(RATE // 2) - 0.5
    pieces = [Audio(piece, RATE) for piece in waveform.chunk(num_pieces)]
    write_clip(tmp_path / "a.mp4", [Image.new("RGB", (32, 16), "red")] * 8, 16, pieces)
    with open_video(tmp_path / "a.mp4") as video:
        assert [time for time, _ in video.frames()] == pytest.approx([number / 16 for number in range(8)])
        assert video.audio.seconds == pytest.approx(0.5, abs=1024 / RATE)  # a frame of AAC


def test_a_piece_that_begins_with_the_last_frame_is_written(tmp_path: Path) -> None:
    """29 / 25 * 48000 is a little less than the 55680 samples that it stands for."""
    frames = [Image.new("RGB", (32, 16))] * 30
    pieces = [Audio(torch.zeros(55680), 48000), Audio(torch.full((1920,), 0.5), 48000)]
    write_clip(tmp_path / "a.mp4", frames, 25, pieces)
    with open_video(tmp_path / "a.mp4") as video:
        assert video.audio.waveform.abs().max() > 0.2
