"""Sound of many channels, through each reader: eight and more crashed the process that read them."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from soundspot.data.media.audio import read_audio
from soundspot.data.media.audio_track import AudioTrack
from soundspot.data.media.ffmpeg import PcmConverter, array_to_frame
from soundspot.data.media.video import Video

RATE = 16000
LAYOUTS = {"stereo": 2, "7.1": 8, "hexadecagonal": 16}
TONE = 0.4 * np.sin(np.arange(RATE) * 0.1)


@pytest.fixture(params=LAYOUTS)
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A second of pictures and sound, the tone in the first channel alone; a colon in its name."""
    path = tmp_path / "12:30 clip.mkv"
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=10)
        pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
        sounds = container.add_stream("pcm_s16le", rate=RATE, layout=request.param)
        for _ in range(10):
            picture = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            container.mux(pictures.encode(picture))
        container.mux(pictures.encode(None))
        samples = np.zeros((RATE, LAYOUTS[request.param]), np.int16)
        samples[:, 0] = 32767 * TONE
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout=request.param)
        frame.rate, frame.pts, frame.time_base = RATE, 0, Fraction(1, RATE)
        container.mux(sounds.encode(frame))
        container.mux(sounds.encode(None))
    return path


def test_every_channel_is_read_by_every_reader(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clip.parent)
    name = Path(clip.name)  # relative, as people give it: what stands before its colon is no protocol
    with AudioTrack(name) as track:
        whole = np.concatenate([samples for _, samples in track.iter_chunks()]).T
    np.testing.assert_allclose(whole[0], TONE, atol=1e-4)
    assert not whole[1:].any()
    np.testing.assert_allclose(read_audio(name, channels="mean").waveform.numpy(), TONE / len(whole), atol=1e-4)
    mono = TONE * {1: 1, 16: 1 / 16}.get(len(whole), 0.5)  # the left loudspeaker; of 16 Matroska says nothing
    np.testing.assert_allclose(read_audio(name).waveform.numpy(), mono, atol=1e-4)
    with Video(name) as video:
        np.testing.assert_allclose(video.read_audio(0.0, 1.0, RATE).waveform.numpy(), mono, atol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_frame_gives_back_what_it_was_made_of(layout: str) -> None:
    made = np.random.default_rng(0).uniform(-1, 1, (LAYOUTS[layout], 100)).astype(np.float32)
    frame = array_to_frame(made, layout)
    frame.rate = RATE
    np.testing.assert_array_equal(np.concatenate(PcmConverter()(frame), axis=1), made)
