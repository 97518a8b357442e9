"""What people's files hold, by every door of the library: `media_cases` has the files and what is right for each."""

from typing import Any

import pytest

import soundspot
from media_facts import check_audio, in_window, mean_color, read_numbers, red_center, rms_of_seconds
from media_files import (
    AUDIBLE,
    AUDIO,
    CORNERS,
    HEIC,
    MASKS,
    NUMBERED,
    SCREEN,
    TRANSPARENT,
    UNKNOWN,
    VIDEOS,
    VIDEOS_WITH_AUDIO,
    Right,
)
from soundspot.data.media.audio import crop_or_tile, open_audio
from soundspot.errors import InputError


def ids(file: str) -> str:
    return file.replace("/", "-")


each_video = pytest.mark.parametrize("file", VIDEOS_WITH_AUDIO, ids=ids)
each_audible = pytest.mark.parametrize("file", AUDIBLE, ids=ids)
each_numbered = pytest.mark.parametrize("file", NUMBERED, ids=ids)
each_corner = pytest.mark.parametrize("file", CORNERS, ids=ids)
each_transparent = pytest.mark.parametrize("file", TRANSPARENT, ids=ids)


def test_every_file_of_the_cases_has_a_test(right: Right) -> None:
    media = {file for file in right if (right.root / file).is_file() and not file.startswith("recall_of_a_deaf_model/")}
    assert media == {*AUDIO, *VIDEOS, *MASKS, HEIC}


# The readers of Python
@each_audible
def test_read_audio(right: Right, file: str) -> None:
    audio = soundspot.read_audio(right.root / file)
    check_audio(audio.waveform, audio.rate, in_window(right[file], 0.0, 1e9))
    check_field(audio.waveform, audio.rate, right[file], getattr(audio, "notes", ()))


def check_field(samples: Any, rate: int, expected: dict[str, Any], notes: Any) -> None:
    """No second of a sound field is silent; its level stays where the file says that it is one, else a note may say."""
    if "says_that_it_is_a_field" in expected:
        levels = rms_of_seconds(samples, rate)[:6]
        if expected["says_that_it_is_a_field"]:
            assert min(levels) / max(levels) == pytest.approx(1, abs=0.05)
        else:
            assert min(levels) / max(levels) > 0.25 or any("channels" in note for note in notes)


@each_audible
def test_a_window_of_an_opened_audio(right: Right, file: str) -> None:
    audio = open_audio(right.root / file)
    begin, seconds = 0.7, min(1.0, right[file]["audio_seconds"] - 0.8)
    if seconds > 0.3:
        window = crop_or_tile(audio, seconds, begin)
        check_audio(window, audio.rate, in_window(right[file], begin, seconds))
    window = crop_or_tile(audio, right[file]["audio_seconds"] - 0.1, 0.1)
    check_audio(window, audio.rate, in_window(right[file], 0.1, 1e9))


def test_a_track_is_chosen(right: Right) -> None:
    path = right.root / "default_track/two.mkv"
    assert soundspot.read_audio(path, track=0).is_silent
    with soundspot.open_video(path, audio_track=0) as video:
        assert video.audio.is_silent
        assert video.read_audio(0.5, 1.0, None).is_silent
    check_audio(*samples_of(soundspot.read_audio(path, track=1)), right["default_track/two.mkv"])
    assert any("2" in note and "track" in note for note in soundspot.read_audio(path).notes)


def samples_of(audio: Any) -> tuple[Any, int]:
    return audio.waveform, audio.rate


def test_a_track_of_an_unknown_codec_is_named(right: Right) -> None:
    path = right.root / UNKNOWN
    with pytest.raises(InputError, match="codec"):
        soundspot.read_audio(path)
    with pytest.raises(InputError, match="codec"):
        open_audio(path)
    with soundspot.open_video(path) as video:
        for read in (lambda: video.audio, lambda: video.read_audio(0.0, 1.0, None)):
            with pytest.raises(InputError, match="codec"):
                read()
    with pytest.raises(InputError, match="codec"):
        soundspot.read_audio(right.root / "unknown_track_first/spatial.mp4", track=0)


@each_numbered
def test_frames_in_order(right: Right, file: str) -> None:
    expected = right[file]
    with soundspot.open_video(right.root / file) as video:
        frames = list(video.frames())
        assert video.damaged == 0
        assert video.duration == pytest.approx(expected["video_seconds"], abs=0.05)
    assert read_numbers(image for _, image in frames) == [n // expected["repeat"] for n in range(expected["frames"])]
    assert [time for time, _ in frames] == pytest.approx([n / 25 for n in range(expected["frames"])], abs=0.004)


@each_numbered
def test_frames_by_time(right: Right, file: str) -> None:
    expected = right[file]
    count, repeat = expected["frames"], expected["repeat"]
    numbers = sorted({0, 1, 9, 10, 22, count // 2, count - 2, count - 1} & set(range(count)))
    with soundspot.open_video(right.root / file) as video:
        for shift in (0.0, 0.02):  # the time of a frame, and the middle of it
            times = [n / 25 + shift for n in numbers]
            assert read_numbers(image for _, image in video.frames_at(times)) == [n // repeat for n in numbers]
            for n, time in zip(numbers, times, strict=True):
                image = video.frame_after(time)
                next_numbers = [] if image is None else read_numbers([image])
                assert next_numbers == [(n + 1) // repeat] * (n + 1 < count), time
        if "number_at_end" in expected:
            assert read_numbers([video.frames_at([5.0])[0][1]]) == [expected["number_at_end"]]


@each_video
def test_audio_of_a_video(right: Right, file: str) -> None:
    expected = right[file]
    with soundspot.open_video(right.root / file) as video:
        audio = video.audio
        check_audio(audio.waveform, audio.rate, in_window(expected, 0.0, 1e9))
        window = expected.get("window", {})
        starts = expected.get("window_starts", [window.get("start", 0.5), 0.0])
        for start in starts:
            seconds = window.get("audio_seconds", min(1.0, expected["audio_seconds"] - start))
            part = video.read_audio(start, seconds, None)
            check_audio(part.waveform, part.rate, in_window(expected, start, seconds))
        end = video.read_audio(expected["audio_seconds"] - 0.5, 10.0, None)
        check_audio(end.waveform, end.rate, in_window(expected, expected["audio_seconds"] - 0.5, 10.0))


@each_corner
def test_mirrored_and_turned_frames(right: Right, file: str) -> None:
    expected = right[file]
    with soundspot.open_video(right.root / file) as video:
        frames = [image for _, image in video.frames()]
        frames += [video.frames_at([0.2])[0][1], video.frame_after(0.0), *video.frame_pair(0.2)]
    assert len(frames) == expected["frames"] + 4
    for image in frames:
        assert image.size == expected["size"]
        assert red_center(image) == pytest.approx(expected["red_center"], abs=1.5)


@each_transparent
def test_transparent_frames(right: Right, file: str) -> None:
    expected = right[file]
    with soundspot.open_video(right.root / file) as video:
        frames = [image for _, image in video.frames()]
        frames += [video.frames_at([0.2])[0][1], video.frame_after(0.0)]
    assert len(frames) == expected["frames"] + 2
    for image in frames:
        check_opaque(image, expected)


def check_opaque(image: Any, expected: dict[str, Any]) -> None:
    """The hidden color of a transparent half is not seen."""
    assert mean_color(image, (4, 4, 28, 60)) == pytest.approx(expected["left_color"], abs=expected["color_tolerance"])
    background = mean_color(image, (36, 4, 60, 60))
    assert any(background == pytest.approx(color, abs=8) for color in expected["right_colors"])


def test_packets_without_bytes_repeat_the_last_frame(right: Right) -> None:
    expected = right[SCREEN]
    with soundspot.open_video(right.root / SCREEN) as video:
        frames = list(video.frames())
        assert (video.damaged, len(frames)) == (expected["damaged_packets"], expected["frames"])
        assert video.duration == pytest.approx(expected["video_seconds"], abs=0.05)
        is_bright = [
            mean_color(image, (0, 0, 32, 32))[0] > 128 for _, image in video.frames_at([1.98, 2.02, 2.18, 2.22])
        ]
    assert is_bright == [False, True, True, False]
    bright = [time for time, image in frames if mean_color(image, (0, 0, 32, 32))[0] > 128]
    assert bright == pytest.approx([expected["bright_from"] + n / 25 for n in range(5)], abs=0.004)


def test_read_image_of_a_phone(right: Right) -> None:
    try:
        image = soundspot.read_image(right.root / HEIC)
    except InputError as error:
        assert "HEIC" in str(error)  # noqa: PT017 (both are right)
        assert "soundspot[heic]" in str(error)  # noqa: PT017
    else:
        assert image.size == right[HEIC]["size"]
        assert red_center(image) == pytest.approx(right[HEIC]["red_center"], abs=1.5)
