"""Any file with a sound gives the same mono waveform; what is no sound is named; windows are cut where they should."""

import io
import struct

import av
import numpy as np
import pytest
import soundfile
import torch

from soundspot.config.frontend import PRESETS, AudioSpec
from soundspot.data.media.audio import (
    AudioFile,
    as_audio,
    crop_or_tile,
    extract_window,
    mix_audio,
    open_audio,
    open_windows,
    read_audio,
    resample,
)
from soundspot.data.media.audio_track import AudioTrack
from soundspot.errors import InputError
from soundspot.types import Audio

RATE = 16000


def tone(seconds: float = 1.0, rate: int = RATE, pitch: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def pitch_of(sound: Audio) -> float:
    spectrum = np.abs(np.fft.rfft(sound.waveform.numpy()))
    return float(spectrum.argmax() * sound.rate / len(sound.waveform))


def ramp(samples: int, rate: int = 10) -> Audio:
    """Its samples say where they come from."""
    return Audio(torch.arange(samples, dtype=torch.float32) / 1000, rate)


def write_video(path, sound: bool, picture: bool = True) -> None:
    with av.open(str(path), "w") as container:
        if picture:
            video = container.add_stream("mpeg4", rate=10)
            video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        if sound:
            audio = container.add_stream("aac", rate=RATE, layout="mono")
        for _ in range(10 if picture else 0):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            container.mux(video.encode(frame))
        if picture:
            container.mux(video.encode(None))
        if sound:
            frame = av.AudioFrame.from_ndarray(tone()[None], format="fltp", layout="mono")
            frame.sample_rate = RATE
            container.mux(audio.encode(frame))
            container.mux(audio.encode(None))


@pytest.mark.parametrize(("suffix", "tolerance"), [("wav", 1e-4), ("flac", 1e-4), ("ogg", 0.05), ("mp3", 0.05)])
def test_every_format_gives_the_same_waveform(tmp_path, suffix, tolerance):
    soundfile.write(tmp_path / f"a.{suffix}", tone(), RATE)
    sound = read_audio(tmp_path / f"a.{suffix}")
    assert sound.rate == RATE
    assert sound.waveform.dtype == torch.float32
    assert np.abs(sound.waveform.numpy() - tone()).max() < tolerance


def test_wav_is_read_as_the_releases_read_it(tmp_path):
    steps = np.array([0, 1, -32768, 32767], np.int16)
    soundfile.write(tmp_path / "a.wav", steps, RATE)
    assert np.array_equal(read_audio(tmp_path / "a.wav").waveform.numpy(), steps / np.float32(32768))


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "sound.m4a"])
def test_the_sound_of_a_video(tmp_path, name):
    write_video(tmp_path / name, sound=True, picture=name.startswith("clip"))
    sound = read_audio(tmp_path / name)
    assert sound.rate == RATE
    assert sound.seconds == pytest.approx(1.0, abs=0.15)  # AAC pads
    assert pitch_of(sound) == pytest.approx(440, abs=3)
    assert sound.waveform.abs().max().item() == pytest.approx(0.5, abs=0.05)


def test_a_track_is_chosen_by_its_number(tmp_path):
    with av.open(str(tmp_path / "two.mkv"), "w") as container:
        streams = [container.add_stream("pcm_s16le", rate=RATE, layout="mono") for _ in range(2)]
        for stream, pitch in zip(streams, (440.0, 880.0), strict=True):
            frame = av.AudioFrame.from_ndarray((tone(pitch=pitch) * 32767).astype(np.int16)[None], "s16", "mono")
            frame.sample_rate = RATE
            container.mux([*stream.encode(frame), *stream.encode(None)])
    for track, pitch in ((None, 440), (0, 440), (1, 880)):
        assert pitch_of(read_audio(tmp_path / "two.mkv", track=track)) == pytest.approx(pitch, abs=3)
    with pytest.raises(InputError, match=r"found 2 audio tracks, expected one of number 2\. Count them from 0"):
        read_audio(tmp_path / "two.mkv", track=2)


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_any_rate_is_resampled(tmp_path, rate):
    soundfile.write(tmp_path / "a.flac", tone(1.0, rate), rate)
    sound = read_audio(tmp_path / "a.flac", rate=RATE)
    assert sound.rate == RATE
    assert len(sound.waveform) == RATE
    assert np.abs(sound.waveform.numpy() - tone())[200:-200].max() < 1e-3


def test_eight_channels_become_their_mean_or_the_first(tmp_path):
    channels = np.stack([tone() * gain for gain in np.linspace(0.1, 0.8, 8)], axis=1)
    soundfile.write(tmp_path / "a.wav", channels, RATE, subtype="FLOAT")
    assert np.allclose(read_audio(tmp_path / "a.wav", channels="mean").waveform, tone() * 0.45, atol=1e-6)
    assert np.allclose(read_audio(tmp_path / "a.wav", channels="left").waveform, tone() * 0.1, atol=1e-6)


def test_silence_is_read_and_flagged(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    assert read_audio(tmp_path / "silent.wav").is_silent
    soundfile.write(tmp_path / "loud.wav", tone(), RATE)
    assert not read_audio(tmp_path / "loud.wav").is_silent


def test_floats_that_overshoot_are_cut_and_integers_in_disguise_refused(tmp_path):
    soundfile.write(tmp_path / "hot.wav", tone() * 3, RATE, subtype="FLOAT")
    assert read_audio(tmp_path / "hot.wav").waveform.abs().max() == 1
    with pytest.raises(InputError, match=r"samples as large as 16384, expected values in \[-1, 1\]\. Divide"):
        as_audio((tone() * 32768, RATE))


def test_what_is_no_sound_is_named_with_a_remedy(tmp_path):
    soundfile.write(tmp_path / "none.wav", np.zeros(0), RATE)
    soundfile.write(tmp_path / "nan.wav", np.array([0, np.nan, np.inf]), RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "cut.flac", tone(5) + np.random.RandomState(0).randn(80000) * 0.1, RATE)
    whole = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("not a sound")
    write_video(tmp_path / "mute.mp4", sound=False)
    expected = "a sound file (wav, flac, ogg, mp3, m4a...) or a video with sound"
    for name, said in [
        ("none.wav", "found a sound of no samples (zero length), expected at least one. Play it"),
        ("nan.wav", "found NaN or infinite values in 2 of 3 samples, expected numbers in [-1, 1]. Export"),
        ("cut.flac", "found 2.30 s of sound (cut short), expected the 5.00 s its header promises"),
        ("empty.wav", f"found an empty file (0 bytes), expected {expected}. Fetch"),
        ("text.wav", "found a file that no reader of sounds knows ("),
        ("mute.mp4", f"found a file without sound (it holds: video), expected {expected}. Give the sound"),
        ("missing.wav", f"found no such file, expected {expected}. Check the path."),
    ]:
        with pytest.raises(InputError) as error:
            read_audio(tmp_path / name)
        assert str(error.value).startswith(f"{tmp_path / name}: {said}"), error.value


def test_a_sound_comes_as_path_pair_or_sound(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(), RATE, subtype="FLOAT")
    stereo = np.stack([tone(), tone()])
    whole = np.round(tone() * 32768).astype(np.int16)
    given = [tmp_path / "a.wav", (tone(), RATE), (torch.from_numpy(tone()), RATE), (stereo, RATE), (stereo.T, RATE),
             (whole, RATE), (whole.astype(np.int32) << 16, RATE), Audio(torch.from_numpy(tone()), RATE)]  # fmt: skip
    for sound in given:
        assert np.abs(as_audio(sound).waveform.numpy() - tone()).max() < 1e-4
    eight_bit = np.array([0, 128, 255], np.uint8)
    assert as_audio((eight_bit, RATE)).waveform.tolist() == [-1, 0, 127 / 128]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((16000, np.zeros(9)), "found a pair (rate, waveform), expected (waveform, rate). Exchange the two."),
        (np.zeros(9), "given as ndarray, expected a path, an Audio or a pair (waveform, rate)"),
        ((np.zeros((2, 3, 4)), RATE), "shape (2, 3, 4)"),
        ((np.zeros(9, bool), RATE), "type bool"),
        ((np.zeros(9), 0), "a rate of 0, expected a whole number of Hz"),
        ((np.zeros(9), 0.5), "a rate of 0.5"),
        ((np.zeros(0), RATE), "the waveform: found a sound of no samples"),
        ((np.full(9, np.nan), RATE), "the waveform: found NaN or infinite values in 9 of 9"),
    ],
)
def test_what_cannot_be_a_sound_is_refused(given, said):
    with pytest.raises(InputError) as error:
        as_audio(given)
    assert said in str(error.value)


def test_resampling_keeps_at_least_one_sample():
    assert len(resample(Audio(torch.ones(1), 96000), 8000).waveform) == 1


def test_cut_takes_the_middle_the_start_or_the_last_window():
    sound = ramp(100)
    assert (crop_or_tile(sound, 3.0) * 1000).round().tolist() == list(range(35, 65))
    assert (crop_or_tile(sound, 3.0, 1.0) * 1000).round().tolist() == list(range(10, 40))
    assert (crop_or_tile(sound, 3.0, 99.0) * 1000).round().tolist() == list(range(70, 100))
    assert torch.equal(crop_or_tile(sound, 3.0, 7.0), crop_or_tile(sound, 3.0, 99.0))


def test_a_tenth_of_a_second_is_tiled_from_any_start():
    short = ramp(4)
    assert (crop_or_tile(short, 1.0) * 1000).round().tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    assert (crop_or_tile(short, 1.0, 0.3) * 1000).round().tolist() == [3, 0, 1, 2, 3, 0, 1, 2, 3, 0]
    tenth = Audio(torch.from_numpy(tone(0.1)), RATE)
    for preset in PRESETS.values():
        assert len(extract_window(tenth, preset.audio)) == round(preset.audio.seconds * (preset.audio.rate or RATE))


@pytest.mark.parametrize(("seconds", "first"), [(10, 35), (30, 35), (5, 35)])
def test_the_alignment_window_lies_from_3_5_to_6_5_of_ten_tiled_seconds(seconds, first):
    spec = AudioSpec(rate=None, seconds=3.0, clip_seconds=10.0)
    expected = [x % (10 * seconds) for x in range(first, first + 30)]
    assert (extract_window(ramp(10 * seconds), spec) * 1000).round().tolist() == expected


@pytest.mark.parametrize("seconds", [4, 10, 12])
def test_the_rolled_window_has_the_middle_of_the_file_in_its_middle(seconds):
    spec = AudioSpec(rate=None, seconds=10.0, window="rolled")
    rolled = (extract_window(ramp(10 * seconds), spec) * 1000).round()
    assert rolled[50] == 5 * seconds
    assert len(rolled) == 100


def test_a_window_is_resampled_unless_the_file_keeps_its_rate():
    sound = Audio(torch.from_numpy(tone(5, 8000)), 8000)
    assert len(extract_window(sound, AudioSpec(seconds=3.0))) == 48000
    assert len(extract_window(sound, AudioSpec(rate=None, seconds=3.0))) == 24000


def test_a_mixture_holds_every_sound_at_one_level():
    low, high = Audio(torch.from_numpy(tone(2.0)), RATE), Audio(torch.from_numpy(0.01 * tone(0.5, 8000, 1000.0)), 8000)
    mixed = mix_audio([low, high])
    assert (mixed.rate, mixed.seconds) == (RATE, 2.0)
    power = torch.fft.rfft(mixed.waveform).abs()
    assert power[2 * 440].item() == pytest.approx(power[2 * 1000].item(), rel=0.02)
    together = torch.stack([one.waveform.square().mean() for one in (low, high)]).mean()
    assert mixed.waveform.square().mean().item() == pytest.approx(together.item(), rel=0.02)


def test_a_mixture_of_one_sound_is_that_sound_and_silence_adds_nothing():
    one = Audio(torch.from_numpy(tone(0.5)), RATE)
    torch.testing.assert_close(mix_audio([one]).waveform, one.waveform)
    quiet = Audio(torch.zeros(4), RATE)
    torch.testing.assert_close(mix_audio([one, quiet]).waveform, one.waveform / 2)
    assert mix_audio([quiet, quiet]).is_silent


def test_a_mixture_does_not_overshoot():
    clicks = [Audio(torch.eye(100)[0], RATE), Audio(torch.full((100,), 0.9), RATE)]
    assert mix_audio(clicks).waveform.abs().max().item() == pytest.approx(1)
    with pytest.raises(InputError, match="no sounds to mix"):
        mix_audio([])


# Opened, and decoded where it is cut.


def stored(kind: str, subtype: str | None = None, channels: int = 1, seconds: float = 2.0) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (round(seconds * 8000), channels))
    soundfile.write(file, noise, 8000, subtype, format=kind)
    return file.getvalue()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize(
    ("kind", "subtype"), [("WAV", "PCM_16"), ("WAV", "PCM_24"), ("WAV", "FLOAT"), ("FLAC", "PCM_16"), ("OGG", None)]
)
def test_a_window_of_an_opened_sound_is_that_of_the_whole(kind: str, subtype: str | None, channels: int) -> None:
    content = stored(kind, subtype, channels)
    opened, whole = open_audio("some", content), read_audio("some", content=content)
    assert isinstance(opened, AudioFile) == (kind != "OGG"), "what is not exact to the sample is read at once"
    assert (opened.rate, opened.seconds) == (8000, 2.0)
    for seconds, start in ((0.5, None), (0.5, 0.7), (0.5, 99.0), (2.0, 0.0), (5.0, None), (5.0, 1.1)):
        torch.testing.assert_close(
            crop_or_tile(opened, seconds, start), crop_or_tile(whole, seconds, start), rtol=0, atol=0
        )


def test_a_wav_that_is_cut_short_is_what_there_is_by_every_reader(tmp_path) -> None:
    content = stored("WAV")
    (tmp_path / "some.wav").write_bytes(content[: len(content) // 2])
    opened, whole = open_audio(tmp_path / "some.wav"), read_audio(tmp_path / "some.wav")
    assert opened.seconds == whole.seconds == pytest.approx(1, abs=0.01)
    torch.testing.assert_close(opened.read_segment().waveform, whole.waveform, rtol=0, atol=0)
    assert whole.notes == opened.notes
    assert "some.wav ends after 1.00 s, and its header promises 2.00 s" in whole.notes[0]


def test_a_length_that_a_header_tells_wrong_is_not_believed(tmp_path) -> None:
    soundfile.write(tmp_path / "cut.mp3", tone(5), RATE)
    whole = (tmp_path / "cut.mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(whole[: len(whole) // 2])
    assert "cut.mp3 ends after 2." in read_audio(tmp_path / "cut.mp3").notes[0]
    soundfile.write(tmp_path / "a.flac", tone(3), RATE)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    for samples in (0, RATE, 10**7, 2**32 - 1):  # unknown, too few, too many
        content[22:26] = struct.pack(">I", samples)
        (tmp_path / "a.flac").write_bytes(content)
        for opened in (open_audio(tmp_path / "a.flac"), read_audio(tmp_path / "a.flac")):
            assert np.abs(opened.waveform.numpy() - tone(3)).max() < 1e-4
            assert bool(opened.notes) == (samples > 3 * RATE)
    assert open_windows(tmp_path / "a.flac").seconds == pytest.approx(3)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
@pytest.mark.parametrize("size", [0, 10**8, 0x7FFFF000, 0xFFFFFFFF])
def test_a_wav_of_any_promise_is_read_to_its_end(tmp_path, subtype: str, size: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE, subtype=subtype)
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", size)
    path.write_bytes(content)
    for audio in (read_audio(path), open_windows(path).read_segment(0, RATE)):
        assert np.abs(audio.waveform.numpy() - tone()).max() < 1e-4


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_notes_behind_the_samples_are_not_heard(tmp_path, size: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), RATE)
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"data") + 4, size)
    path.write_bytes(content + b"LIST" + struct.pack("<I", 2000) + b"\x7f" * 2000)
    assert np.abs(read_audio(path).waveform.numpy() - tone()).max() < 1e-4
    path.write_bytes(content[:44] + b"LIST" + struct.pack("<I", 2000) + b"\x7f" * 2000)
    with pytest.raises(InputError, match="no samples"):
        read_audio(path)


def test_what_libsndfile_alone_knows_is_read_by_every_door(tmp_path) -> None:
    soundfile.write(tmp_path / "a.htk", tone(), RATE, format="HTK")
    whole = read_audio(tmp_path / "a.htk")
    assert np.abs(whole.waveform.numpy() - tone()).max() < 1e-4
    assert torch.equal(open_windows(tmp_path / "a.htk").read_segment(0, RATE).waveform, whole.waveform)


def test_channels_that_cancel_are_replaced_by_the_loudest_second_by_second(tmp_path) -> None:
    left = tone(3)
    right = np.concatenate([-left[:RATE], left[RATE : 2 * RATE], -0.8 * left[2 * RATE :]])
    soundfile.write(tmp_path / "a.wav", np.stack([left, right], axis=1), RATE, subtype="FLOAT")
    mono = read_audio(tmp_path / "a.wav").waveform.numpy()
    assert np.abs(mono - left).max() < 1e-6, "the left channel, the mean (the same), the left channel"
    assert np.abs(read_audio(tmp_path / "a.wav", channels="mean").waveform.numpy()[:RATE]).max() < 1e-6
    opened = open_audio(tmp_path / "a.wav")
    for first, count in ((100, 500), (RATE - 50, 100), (2 * RATE + 7, RATE - 7)):
        assert np.array_equal(opened.read_segment(first, count).waveform.numpy(), mono[first : first + count])
    assert np.abs(as_audio((np.stack([left, -left]), RATE)).waveform.numpy() - left).max() < 1e-6


def test_a_flac_that_is_cut_short_is_refused() -> None:
    content = stored("FLAC")
    with pytest.raises(
        InputError, match=r"some\.flac: found .* \(cut short\), expected the 2\.00 s its header promises"
    ):
        open_audio("some.flac", content[: len(content) // 2])


def test_what_is_no_sound_cannot_be_opened() -> None:
    with pytest.raises(InputError, match=r"some: found a file that no reader of sounds knows"):
        open_audio("some", b"no sound at all")


@pytest.mark.parametrize("kind", ["flac", "ogg", "mp3", "mp4"])
def test_a_sound_is_decoded_no_further_than_it_may_last(tmp_path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Whatever its header says; and one that lasts no longer is what it is without a bound."""
    path = tmp_path / f"long.{kind}"
    if kind == "mp4":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("aac", rate=RATE, layout="stereo")
            frame = av.AudioFrame.from_ndarray(np.stack([tone(8.0), -0.5 * tone(8.0)]), format="fltp", layout="stereo")
            frame.sample_rate = RATE
            container.mux([*stream.encode(frame), *stream.encode(None)])
    else:
        soundfile.write(path, np.stack([tone(8.0), -0.5 * tone(8.0)], axis=1), RATE)
    whole = read_audio(path)
    torch.testing.assert_close(read_audio(path, max_seconds=9).waveform, whole.waveform, rtol=0, atol=0)
    heard, own = [], AudioTrack.iter_chunks

    def counted(self: AudioTrack, start: float = 0.0):
        return ((position, heard.append(len(chunk)) or chunk) for position, chunk in own(self, start))

    monkeypatch.setattr(AudioTrack, "iter_chunks", counted)
    with pytest.raises(InputError, match=rf"long.{kind}: found a sound that lasts longer than 0.5 s"):
        read_audio(path, max_seconds=0.5)
    assert sum(heard) <= 2 * RATE, "channels are compared by seconds"
