"""Videos of every container: frames at moments, upright; windows of sound; what is wrong with a file is told."""

from pathlib import Path

import av
import numpy as np
import pytest

from clips import write_video
from soundspot.data.media.ffmpeg import VideoError
from soundspot.data.media.packet_reader import PacketReader
from soundspot.data.media.video import Video
from soundspot.errors import InputError

KINDS = {
    "a.mp4": ("mpeg4", "aac"),
    "h264.mp4": ("libx264", "aac"),
    "a.mkv": ("libx264", "flac"),
    "a.webm": ("libvpx", "libopus"),
    "a.avi": ("mpeg4", "mp3"),
    "a.mov": ("mpeg4", "pcm_s16le"),
    "a.ts": ("libx264", "aac"),
}


def shade(picture) -> float:
    """How far the video is, from 0 to 1, by the colour of its lower part."""
    return float(np.asarray(picture)[16:, :, 0].mean() / 255)


def pitch(sound) -> float:
    spectrum = np.abs(np.fft.rfft(sound.waveform.numpy()))
    return float(spectrum.argmax() * sound.rate / len(sound.waveform))


@pytest.mark.parametrize("name", KINDS)
def test_frames_and_sounds_are_those_of_their_moment(name: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / name, codecs=KINDS[name])
    with Video(path) as video:
        assert video.duration == pytest.approx(3, abs=0.1)  # FFmpeg leaves a place without a frame in an AVI
        found = video.frames_at([2.5, 0.0, 1.5, 99.0])  # any order; behind the end: the last
        assert [time for time, _ in found] == pytest.approx([2.5, 0, 1.5, 2.96], abs=0.07)
        assert [shade(picture) for _, picture in found] == pytest.approx([2.5 / 3, 0, 0.5, 2.96 / 3], abs=0.06)
        second = video.read_audio(1.2, 0.6, 16000)
        assert (second.rate, len(second.waveform)) == (16000, 9600)
        assert pitch(second) == pytest.approx(400, abs=5)
        assert pitch(video.read_audio(2.2, 0.6, 16000)) == pytest.approx(600, abs=5)
        assert video.read_audio(2.5, 10, 16000).seconds == pytest.approx(0.5, abs=0.1)  # it ends
        assert shade(video.frames_at([0.5])[0][1]) == pytest.approx(0.5 / 3, abs=0.06)  # and begins again


@pytest.mark.parametrize("name", ["a.mp4", "h264.mp4", "a.mkv", "a.webm", "a.mov"])
def test_pictures_and_sounds_share_a_beginning(name: str, tmp_path: Path) -> None:
    """Second 0 is that of the first picture, wherever the streams begin in the file."""
    with Video(write_video(tmp_path / name, codecs=KINDS[name], late=(0, 1))) as video:
        heard = video.read_audio(0.5, 1.0, 16000)
        assert len(heard.waveform) == 16000
        assert heard.waveform[:7500].abs().max() < 0.02
        assert heard.waveform[8500:].abs().max() > 0.3
        assert pitch(video.read_audio(1.2, 0.6, 16000)) == pytest.approx(200, abs=5)
        assert pitch(video.read_audio(2.2, 0.6, 16000)) == pytest.approx(400, abs=5)
        with pytest.raises(VideoError, match=r"no sound from 0\.20 s to 0\.70 s") as caught:
            video.read_audio(0.2, 0.5, 16000)
        assert caught.value.cause == "no sound in the window"
    with Video(write_video(tmp_path / "late" / name, codecs=KINDS[name], late=(1, 0))) as video:
        assert shade(video.frames_at([0.5])[0][1]) == pytest.approx(0.5 / 3, abs=0.06)
        assert pitch(video.read_audio(0.2, 0.6, 16000)) == pytest.approx(400, abs=5)
        assert pitch(video.read_audio(1.2, 0.6, 16000)) == pytest.approx(600, abs=5)


def decoded(path: Path) -> tuple[np.ndarray, list[np.ndarray]]:
    """All frames in order, as they come, and since when each is shown; an AVI says no times."""
    with av.open(str(path)) as container:
        begin = float(container.streams.video[0].start_time * container.streams.video[0].time_base)
        frames = [(float(frame.time), frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    times = np.array([time for time, _ in frames]) - begin
    return np.arange(len(frames)) / 25 if path.suffix == ".avi" else times, [pixels for _, pixels in frames]


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("many-b.mp4", "libx264", {}),
        ("open.mkv", "libx264", {"g": "12", "x264-params": "open-gop=1:bframes=3:b-pyramid=normal"}),
        ("short.mp4", "libx264", {"g": "3", "bf": "2"}),
        ("b.avi", "mpeg4", {"g": "12", "bf": "2"}),
        ("b.mpg", "mpeg2video", {"g": "12", "bf": "2"}),
        ("hidden.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
        ("stream.ts", "libx264", {"g": "12"}),
    ],
)
def test_frames_are_those_that_decoding_all_gives(name: str, codec: str, options: dict, tmp_path: Path) -> None:
    """What is passed over changes no pixel, whatever frames are made from; several moments are one pass."""
    ground = np.random.default_rng(0).integers(0, 256, (80, 130, 3), np.uint8)
    with av.open(str(tmp_path / name), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for n in range(40):
            pixels = np.ascontiguousarray(ground[n % 30 : n % 30 + 48, n : n + 64])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    times, frames = decoded(tmp_path / name)
    with Video(tmp_path / name) as video:
        for moments in ([0.0], [1.1], [1.59, 0.3], [n / 100 for n in range(0, 170, 7)]):
            for moment, (since, picture) in zip(moments, video.frames_at(moments), strict=True):
                place = np.searchsorted(times, moment + 1e-6, side="right").clip(1) - 1
                assert since == pytest.approx(times[place], abs=1e-3)
                assert (np.asarray(picture) == frames[place]).all()


def test_frames_of_a_variable_rate_are_shown_until_the_next_one(tmp_path: Path) -> None:
    path = write_video(tmp_path / "vfr.mkv", times=[0.0, 0.1, 0.2, 1.7, 2.4])
    with Video(path) as video:
        assert [time for time, _ in video.frames_at([0.15, 1.0, 1.69, 1.71, 2.3, 2.9])] == [
            0.1,
            0.2,
            0.2,
            1.7,
            1.7,
            2.4,
        ]


@pytest.mark.parametrize(("turned", "bar"), [(0, "top"), (90, "left"), (-90, "right"), (180, "bottom")])
def test_pictures_are_upright(turned: int, bar: str, tmp_path: Path) -> None:
    with Video(write_video(tmp_path / "a.mp4", turned=turned)) as video:
        pixels = np.asarray(video.frames_at([1.0])[0][1]).astype(float).min(axis=2)
    assert pixels.shape == ((48, 64) if turned in (0, 180) else (64, 48))
    sides = {"top": pixels[:6], "bottom": pixels[-6:], "left": pixels[:, :6], "right": pixels[:, -6:]}
    assert max(sides, key=lambda side: sides[side].mean()) == bar


def test_what_is_no_video_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "words.mp4").write_text("no video")
    whole = write_video(tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 2])  # an mp4's table of contents is at its end
    for name, told in {"none.mp4": "no such file", "empty.mp4": "0 bytes"}.items():
        with pytest.raises(InputError, match=told):
            Video(tmp_path / name)
    for name in ("words.mp4", "cut.mp4"):
        with pytest.raises(VideoError, match="no reader of videos knows") as caught:
            Video(tmp_path / name)
        assert caught.value.cause == "unreadable"
    write_video(tmp_path / "sound.m4a", picture=False)
    with pytest.raises(VideoError, match="it holds: audio") as caught:
        Video(tmp_path / "sound.m4a")
    assert caught.value.cause == "no frames"
    mute = write_video(tmp_path / "mute.mp4", sound=False)
    with Video(mute) as video, pytest.raises(VideoError, match="without sound") as caught:
        video.read_audio(0, 1, 16000)
    assert caught.value.cause == "no sound"
    with Video(tmp_path / "whole.mp4") as video, pytest.raises(VideoError, match=r"no sound from 7\.00 s to 8\.00 s"):
        video.read_audio(7, 1, 16000)


def test_a_header_that_lies_is_not_believed(tmp_path: Path) -> None:
    """A matroska file cut short still promises what it once held; what is there is read."""
    whole = write_video(tmp_path / "whole.mkv", codecs=("libx264", "flac")).read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 2])
    with Video(tmp_path / "cut.mkv") as video:
        length = video.duration
        assert video.header_duration == pytest.approx(3, abs=0.1)
        assert 0.3 < length < 2.5
        (time, picture), (last, _) = video.frames_at([length / 2, 2.9])
        assert time == pytest.approx(length / 2, abs=0.06)
        assert shade(picture) == pytest.approx(time / 3, abs=0.06)
        assert last < length
        assert 0 < video.read_audio(0, 3, 16000).seconds < 2.9


def test_notes_are_told_of_a_file_that_had_to_be_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where seeking fails: the container that the file was opened by is closed then."""
    monkeypatch.setattr(PacketReader, "_seek", lambda *_: False)
    with Video(write_video(tmp_path / "a.avi", 1.0)) as video:
        before = video.notes
        for time in (0.9, 0.0):
            assert video.frames_at([time])[0][0] == pytest.approx(time, abs=0.05)
        assert video.notes == before
