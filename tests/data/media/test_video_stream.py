"""Videos read from beginning to end: every picture at its moment, and the sound beside it, whatever the file lacks."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from clips import RATE, tone, write_video
from soundspot.config.frontend import PRESETS, AudioSpec
from soundspot.data.media.audio import extract_window, pad_to_window
from soundspot.data.media.audio_stream import InMemoryAudio, SlidingWindow
from soundspot.data.media.audio_track import AudioTrack
from soundspot.data.media.ffmpeg import VideoError
from soundspot.data.media.video import Video, open_video
from soundspot.errors import InputError
from soundspot.types import Audio


def moments(path: Path) -> list[float]:
    with open_video(path) as reel:
        return [moment for moment, _ in reel.frames()]


def heard(path: Path) -> np.ndarray:
    with AudioTrack(path) as track:
        return np.concatenate([samples for _, samples in track.iter_chunks()]).T


def pitch(samples: np.ndarray, rate: int) -> float:
    """The loudest frequency."""
    return float(np.abs(np.fft.rfft(samples * np.hanning(len(samples)))).argmax() * rate / len(samples))


def test_every_picture_comes_at_its_own_moment(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.3, 0.31, 1.2, 2.9]
    assert moments(write_video(tmp_path / "a.mp4", times=times)) == pytest.approx(times, abs=1e-3)


def test_moments_count_from_the_first_picture(tmp_path: Path) -> None:
    found = moments(write_video(tmp_path / "a.mkv", late=(1.0, 0.0)))
    assert found == pytest.approx(list(np.arange(75) / 25), abs=2e-3)


def test_pictures_are_upright_and_of_one_size(tmp_path: Path) -> None:
    with open_video(write_video(tmp_path / "a.mp4", turned=90, seconds=0.4)) as reel:
        assert {picture.size for _, picture in reel.frames()} == {(48, 64)}


@pytest.mark.parametrize(
    ("ratio", "turned", "size"), [(2, 0, (128, 48)), (2, 90, (48, 128)), (8 / 9, 0, (57, 48)), (200, 0, (64, 48))]
)
def test_pixels_are_square(ratio: float | int, turned: int, size: tuple[int, int], tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", turned=turned, seconds=0.4, ratio=ratio)
    with open_video(path) as reel, Video(path) as video:
        assert {picture.size for _, picture in reel.frames()} == {size}
        assert video.frames_at([0.2])[0][1].size == size


def test_the_last_picture_is_shown_as_long_as_the_file_says(tmp_path: Path) -> None:
    for lasts, end in ((None, 0.4), (2.0, 2.36)):
        with open_video(write_video(tmp_path / "a.mp4", seconds=0.4, lasts=lasts)) as reel:
            assert len(list(reel.frames())) == 10
            assert reel.end_time == pytest.approx(end, abs=0.01)


def test_a_single_picture(tmp_path: Path) -> None:
    assert moments(write_video(tmp_path / "a.mp4", times=[0.0])) == [0.0]


def test_packets_that_are_damaged_are_left_out_and_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", codecs=("mpeg4", "pcm_s16le"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 6000] = np.random.default_rng(0).bytes(6000)
    path.write_bytes(content)
    found = moments(path)
    assert 30 < len(found) <= 75
    assert found == sorted(set(found))


def test_a_file_that_is_cut_short_ends_there(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 5 < len(moments(path)) < 75


def test_the_sound_lies_where_the_pictures_say(tmp_path: Path) -> None:
    """The tone rises by 200 Hz each second of its own; pictures that begin later hear it later."""
    samples = heard(write_video(tmp_path / "a.mkv", late=(1.0, 0.0), codecs=("mpeg4", "pcm_s16le")))[0]
    assert len(samples) == pytest.approx(2 * RATE, abs=RATE * 0.03)
    assert pitch(samples[: RATE - 4000], RATE) == pytest.approx(400, abs=5)


def test_sound_that_begins_later_has_silence_in_front(tmp_path: Path) -> None:
    samples = heard(write_video(tmp_path / "a.mkv", late=(0.0, 0.8), codecs=("mpeg4", "pcm_s16le")))[0]
    first = np.flatnonzero(np.abs(samples) > 0.01)[0]
    assert first / RATE == pytest.approx(0.8, abs=0.01)


def test_a_hole_in_the_sound_is_silence_of_its_length(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for start, stop in ((0.0, 1.0), (2.5, 3.0)):
            part = tone(3.0)[round(start * RATE) : round(stop * RATE)]
            frame = av.AudioFrame.from_ndarray((part * 32767).astype(np.int16)[None], format="s16", layout="mono")
            frame.rate, frame.pts = RATE, round(start * RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    samples = heard(path)[0]
    assert len(samples) == pytest.approx(3 * RATE, abs=50)
    assert not samples[round(1.05 * RATE) : round(2.45 * RATE)].any()
    assert pitch(samples[round(2.55 * RATE) :], RATE) == pytest.approx(600, abs=8)


def noise(seconds: float, rate: int = 16000) -> Audio:
    return Audio(
        torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, round(seconds * rate)).astype(np.float32)), rate
    )


def test_the_window_is_centred_on_its_moment_and_moved_inward_at_the_ends() -> None:
    sound = noise(10)
    sliding = SlidingWindow(InMemoryAudio(sound), None, 2.0)
    for moment, start in ((0.0, 0.0), (0.5, 0.0), (3.0, 2.0), (3.3, 2.3), (8.0, 7.0), (9.7, 8.0), (10.2, 8.0)):
        first = round(start * 16000)
        assert torch.equal(sliding.window_at(moment).waveform, sound.waveform[first : first + 32000]), moment
    assert sliding.window_at(10.6).is_silent
    assert sliding.window_at(10.6).seconds == 2.0


def test_a_moment_far_away_is_reached() -> None:
    sound = noise(60)
    sliding = SlidingWindow(InMemoryAudio(sound), None, 1.0)
    sliding.window_at(0.5)
    assert torch.equal(sliding.window_at(50.0).waveform, sound.waveform[49 * 16000 + 8000 : 50 * 16000 + 8000])


def test_a_window_hands_on_all_its_samples() -> None:
    sound, chunks = noise(5), list[np.ndarray]()
    SlidingWindow(InMemoryAudio(sound), None, 1.0, on_samples=chunks.append).read_to(5.0)
    assert np.array_equal(np.concatenate(chunks), sound.waveform.numpy())


def test_a_sound_shorter_than_the_window_is_given_whole() -> None:
    assert SlidingWindow(InMemoryAudio(noise(1)), None, 3.0).window_at(0.2).seconds == 1.0


def test_resampling_on_the_way_is_resampling_at_once(tmp_path: Path) -> None:
    from soundspot.data.media.audio import resample

    sound = noise(5, 44100)
    at_once = resample(sound, 16000).waveform
    sliding = SlidingWindow(InMemoryAudio(sound), 16000, 1.0)
    for moment in (0.5, 1.7, 4.0):
        first = round(moment * 16000) - 8000
        assert torch.allclose(sliding.window_at(moment).waveform, at_once[first : first + 16000], atol=1e-5)


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_network_hears_exactly_what_was_framed(name: str) -> None:
    spec = PRESETS[name].audio
    part = noise(spec.seconds, spec.rate or 16000)
    assert torch.equal(extract_window(pad_to_window(part, spec), spec), part.waveform)


def test_a_short_sound_is_left_to_the_front_end() -> None:
    spec = AudioSpec(clip_seconds=10.0)
    short = noise(2)
    assert pad_to_window(short, spec) is short
    assert pad_to_window(noise(3), replace(spec, window="first")).waveform[:48000].equal(noise(3).waveform)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.touch(), "empty file"),
        (lambda path: path.write_text("<html>not found</html>"), "no reader of videos knows"),
        (lambda path: write_video(path, picture=False), "without moving images"),
    ],
)
def test_what_is_no_video_is_named(make, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    make(path)
    with pytest.raises(InputError, match=words):
        open_video(path)


def test_a_video_without_sound_offers_to_take_one(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", sound=False, seconds=0.4)
    with pytest.raises(VideoError, match=r"Give the sound as a file of its own") as told:
        AudioTrack(path)
    assert told.value.cause == "no sound"


def test_an_open_video_gives_frames_audio_duration_and_the_next_frame(tmp_path: Path) -> None:
    """In any order, as often as one likes; the audio begins with the first frame."""
    path = write_video(tmp_path / "a.mkv", times=[0.0, 0.5, 1.5], codecs=("mpeg4", "pcm_s16le"), late=(1.0, 0.0))
    with open_video(path) as video:
        times = [time for time, _ in video.frames()]
        assert times == pytest.approx([0.0, 0.5, 1.5], abs=2e-3)
        assert video.duration == pytest.approx(1.5, abs=0.1)
        assert pitch(video.audio.waveform[: RATE - 4000].numpy(), RATE) == pytest.approx(400, abs=5)
        frames = [image for _, image in video.frames()]
        assert len(frames) == 3
        assert video.frame_after(0.2).tobytes() == frames[1].tobytes()
        assert video.frame_after(1.5) is None
        assert [image.tobytes() for _, image in video.frames()] == [image.tobytes() for image in frames]
