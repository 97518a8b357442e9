"""What people's files hold, by the commands and by the page: the right values are those of `media_cases`."""

import json
import math
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

import soundspot
from media_facts import check_audio, in_window, read_numbers, red_center
from media_files import (
    AUDIBLE,
    AUDIO,
    CORNERS,
    HEIC,
    NUMBERED,
    SCREEN,
    TRANSPARENT,
    UNKNOWN,
    VIDEOS,
    VIDEOS_WITH_AUDIO,
    Right,
)
from media_writers import corner_image, number_image
from soundspot.app.limits import Deadline, LimitError, Limits, check_duration
from soundspot.app.search_tab import _read_samples
from soundspot.app.service import locate_audios
from soundspot.cli.main import main
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.data.media.audio import Audio
from soundspot.data.validation.validator import validate_data
from soundspot.errors import InputError
from soundspot.inference.localizer import Localizer
from soundspot.inference.result import LocalizationMap
from soundspot.methods import create
from soundspot.search import Index
from soundspot.search.result import Hit

TINY = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}
SECONDS = 0.5  # of audio that the tiny model takes


def name_of(file: str) -> str:
    """A name that differs by more than its suffix: `next_frame-h264_ts.ts`."""
    path = Path(file)
    return f"{file.replace('/', '-').replace('.', '_')}{path.suffix}"


FIRST_OF_THEIR_KIND = (  # the others, which go the same way, are slow tests
    "flac_of_unknown_length/piped.flac", "mp3_longer_than_guessed/joined.mp3", "chained_ogg/chained.opus",
    "telephone_codecs_in_wav/gsm.wav", "ambisonics/field.wav", "speech_in_the_center/center.mp4", SCREEN,
    "default_track/two.mkv", "unknown_track_first/spatial.mp4", "audio_outlasts_images/short.mp4",
    "names_of_cameras/VTS_01_1.VOB", "repeated_frames/screen.avi", "next_frame/h264.avi", "next_frame/h264_b.ts",
)  # fmt: skip


def each(files: tuple[str, ...]) -> pytest.MarkDecorator:
    """A test for each file."""
    marks = [() if file in FIRST_OF_THEIR_KIND else pytest.mark.slow for file in files]
    files = [pytest.param(file, marks=mark, id=name_of(file)) for file, mark in zip(files, marks, strict=True)]
    return pytest.mark.parametrize("file", files)


each_audible = each(AUDIBLE)
each_video = each(VIDEOS_WITH_AUDIO)


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit status."""

    status: int
    out: str
    err: str


def soundspot_command(*arguments: object) -> Answer:
    """Run a command in this process."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = int(stop.code or 0)
    return Answer(status, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with fresh weights."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    front_end = InputSpec(ImageSpec(32), AudioSpec(16000, SECONDS))
    save_checkpoint(create("alignment", image=TINY, audio=TINY, front_end=front_end), path)
    return path


@pytest.fixture(scope="session")
def localizer(model: Path) -> Localizer:
    return Localizer.load(model)


@pytest.fixture(scope="session")
def audio_of(right: Right) -> Callable[[str], Audio]:
    """The audio of a file by `read_audio`, which test_media_cases holds against the right values; read once."""
    return cache(lambda file: soundspot.read_audio(right.root / file))


@pytest.fixture(scope="session")
def map_of(localizer: Localizer, photo: Path, audio_of: Callable[[str], Audio]) -> Callable[[str], LocalizationMap]:
    """The map of the audio of a file in the photo."""
    encoded = localizer.encode_image(photo)
    return cache(lambda file: localizer.predict(encoded, (audio_of(file).waveform, audio_of(file).rate)))


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(corner_image()).save(path)
    return path


@pytest.fixture(scope="session")
def media(right: Right, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that links to all of the videos, without a name twice."""
    return link_files(right, tmp_path_factory.mktemp("media"), (*VIDEOS_WITH_AUDIO, UNKNOWN))


def link_files(right: Right, folder: Path, files: tuple[str, ...]) -> Path:
    for file in files:
        (folder / name_of(file)).hardlink_to(right.root / file)
    return folder


# soundspot locate
@each_video
def test_locate_a_video(right: Right, model: Path, tmp_path: Path, file: str) -> None:
    """The overlay shows the frames of the video at their times, with its audio."""
    expected, path = right[file], right.root / file
    overlay, records = tmp_path / "overlay.mp4", tmp_path / "records.json"
    options = ("--model", model, "-o", overlay, "--frame-records", records, "--maps-per-second", 2)
    answer = soundspot_command("locate", path, *options)
    assert answer.status == 0, answer.err
    times, images, samples, rate = read_overlay(overlay)
    end, count = max(expected["video_seconds"], expected["audio_seconds"]), expected["frames"]
    assert len(images) == count or end > count / 25
    assert times[:count] == pytest.approx([n / 25 for n in range(count)], abs=0.004)
    assert end - 0.6 < times[-1] < end or len(images) == count
    if file in NUMBERED:
        numbers = read_numbers(images)
        assert numbers[:count] == [n // expected["repeat"] for n in range(count)]
        assert set(numbers[count:]) <= {count - 1}
    check_audio(samples, rate, {**in_window(expected, 0.0, end), "audio_rate": rate})
    frames = json.loads(records.read_text())["frames"]
    assert [frame["time"] for frame in frames] == pytest.approx(times, abs=0.004)
    assert "damaged" not in answer.out
    if "tracks" in expected:
        assert "track" in answer.out


def test_the_audio_track_is_chosen_by_an_option(right: Right, model: Path, tmp_path: Path) -> None:
    path, overlay = right.root / "default_track/two.mkv", tmp_path / "overlay.mp4"
    answer = soundspot_command("locate", path, "--model", model, "-o", overlay, "--audio-track", 0)
    assert answer.status == 0, answer.err
    assert np.abs(read_overlay(overlay)[2]).max() < 0.01  # the first track is silent


def test_a_video_that_cannot_be_located_is_named(right: Right, model: Path, tmp_path: Path) -> None:
    answer = soundspot_command("locate", right.root / UNKNOWN, "--model", model, "-o", tmp_path / "overlay.mp4")
    assert answer.status == 2
    assert UNKNOWN in answer.err
    assert "codec" in answer.err


def read_overlay(path: Path) -> tuple[list[float], list[Image.Image], np.ndarray, int]:
    """Times and images of a video as players have them, and its samples with their rate."""
    with av.open(str(path)) as container:
        frames = [(float(frame.time or 0), frame.to_image()) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        rate, start = stream.rate, None
        chunks = []
        for frame in container.decode(stream):
            start = float(frame.time or 0) if start is None else start
            chunks.append(frame.to_ndarray().mean(axis=0))  # AAC is decoded to planes
    first = frames[0][0]
    samples = np.concatenate([np.zeros(max(0, round(((start or 0.0) - first) * rate))), *chunks])
    return [time - first for time, _ in frames], [image for _, image in frames], samples, rate


@pytest.mark.parametrize("file", [*CORNERS, *TRANSPARENT, SCREEN], ids=name_of)
def test_frames_that_are_located(right: Right, localizer: Localizer, file: str) -> None:
    """The results carry the frames as a viewer sees them."""
    tone = Audio(0.5 * torch.sin(torch.arange(64000) / 5), 16000)
    video = localizer.locate_video(right.root / file, audio=tone)
    frames = [(frame.time, frame.map.image) for frame in video]
    expected = right[file]
    assert len(frames) == expected["frames"]
    for time, image in frames:
        if file in CORNERS:
            assert image.size == expected["size"]
            assert red_center(image) == pytest.approx(expected["red_center"], abs=1.5)
        elif file in TRANSPARENT:
            corner = np.asarray(image)[4:60, 40:60].reshape(-1, 3).mean(axis=0)
            assert any(corner == pytest.approx(color, abs=8) for color in expected["right_colors"])
        else:
            is_bright = expected["bright_from"] - 0.001 < time < expected["bright_until"] - 0.001
            assert (np.asarray(image).mean() > 128) == is_bright, time


@each_audible
def test_locate_in_an_image(
    right: Right,
    model: Path,
    photo: Path,
    map_of: Callable[[str], LocalizationMap],
    audio_of: Callable[[str], Audio],
    tmp_path: Path,
    file: str,
) -> None:
    answer = soundspot_command("locate", photo, right.root / file, "--model", model, "-o", tmp_path / "out.npz")
    assert answer.status == 0, answer.err
    np.testing.assert_allclose(np.load(tmp_path / "out.npz")["scores"][0], map_of(file).scores, atol=1e-5)
    assert all(note in answer.out for note in audio_of(file).notes)


def test_an_unknown_codec_is_named_for_an_image(right: Right, model: Path, photo: Path, tmp_path: Path) -> None:
    answer = soundspot_command("locate", photo, right.root / UNKNOWN, "--model", model, "-o", tmp_path / "out.npz")
    assert answer.status == 2
    assert "codec" in answer.err


# soundspot data extract
@pytest.fixture(scope="session")
def extracted(media: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, bytes]]]:
    """Files of each sample of the shards, by window and by key."""
    shards: dict[str, dict[str, dict[str, bytes]]] = {}
    for window, frames in (("first", "at:0,0.4,1.4"), ("at:1", "middle")):
        folder = tmp_path_factory.mktemp("shards") / "out"
        options = ("--window", window, "--frames", frames, "--seconds", 10, "--workers", 0, "--quality", 95)
        answer = soundspot_command("data", "extract", media, folder, *options)
        assert answer.status == 0, answer.err
        shards[window] = read_shards(folder) | {"journal": {"": (folder / "journal.jsonl").read_bytes()}}
    return shards


def read_shards(folder: Path) -> dict[str, dict[str, bytes]]:
    """Files of each sample of a folder of shards, by suffix."""
    samples: dict[str, dict[str, bytes]] = {}
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as archive:
            for member in archive:
                key, _, suffix = member.name.removeprefix("./").partition(".")
                content = archive.extractfile(member)
                assert content is not None
                samples.setdefault(key, {})[suffix] = content.read()
    return samples


@each_video
def test_extract(right: Right, extracted: dict[str, dict[str, dict[str, bytes]]], file: str) -> None:
    expected, key = right[file], Path(name_of(file)).stem
    sample = extracted["first"][key]
    check_audio(*soundfile.read(BytesIO(sample["flac"])), {**in_window(expected, 0.0, 10.0), "audio_rate": 16000})
    values = json.loads(sample["json"])
    duration = max(expected["video_seconds"], expected["audio_seconds"])
    assert values["duration"] == pytest.approx(duration, abs=0.05)
    if file in NUMBERED:
        images = [Image.open(BytesIO(sample[f"{n}.jpg"])) for n in range(3)]
        last, repeat = expected["frames"] - 1, expected["repeat"]
        assert read_numbers(images) == [min(n, last) // repeat for n in (0, 10, 35)]
        assert values["frame_times"] == pytest.approx([min(n, last) / 25 for n in (0, 10, 35)], abs=0.004)
    if expected["audio_seconds"] < 1.5:
        return
    sample = extracted["at:1"][key]
    check_audio(*soundfile.read(BytesIO(sample["flac"])), {**in_window(expected, 1.0, 10.0), "audio_rate": 16000})
    if file in NUMBERED:
        number = min(int(duration / 2 * 25 + 1e-3), last) // repeat
        assert read_numbers([Image.open(BytesIO(sample["jpg"]))]) == [number]


def test_what_cannot_be_extracted_is_named(extracted: dict[str, dict[str, dict[str, bytes]]]) -> None:
    for window in extracted.values():
        lines = [json.loads(line) for line in window["journal"][""].splitlines()]
        [message] = [json.dumps(line) for line in lines if name_of(UNKNOWN) in json.dumps(line)]
        assert "codec" in message


def test_shards_that_webdataset_reads(right: Right, tmp_path: Path) -> None:
    """No name of a sample begins with a folder of two underscores on either side, which webdataset passes over."""
    answer = soundspot_command("data", "extract", right.root / "dunder_folder/clips", tmp_path / "out", "--workers", 0)
    assert answer.status == 0, answer.err
    names = set()
    for shard in (tmp_path / "out").glob("*.tar"):
        with tarfile.open(shard) as archive:
            names |= {member.name for member in archive if member.isfile()}
    keys = {name.removeprefix("./").partition(".")[0] for name in names}
    assert len(keys) == right["dunder_folder/clips"]["samples_that_webdataset_reads"]
    assert not [name for name in names if re.match(r"__[^/]*__(/|$)", name)]


# soundspot search
@pytest.fixture(scope="session")
def index(right: Right, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    """An index of all files, by the command."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "media").mkdir()
    link_files(right, folder / "media", (*AUDIO, *VIDEOS, HEIC))
    options = ("--model", model, "--index", folder / "index", "--stride", 1, "--workers", 0)
    answer = soundspot_command("search", "index", folder / "media", *options)
    assert answer.status == 0, answer.err
    (folder / "answer.txt").write_text(answer.out)
    with Index.open(folder / "index") as opened:
        yield opened


def hits_of(index: Index, file: str, **query: Any) -> list[Hit]:
    """Hits of all windows of a file, best first."""
    hits = index.query(**query, k=100_000, per_window=True)
    return [hit for hit in hits if hit.path.name == name_of(file)]


@each_audible
def test_search_by_audio(right: Right, index: Index, audio_of: Callable[[str], Audio], file: str) -> None:
    """The windows of a file are those of its whole length; each is found by what is there."""
    audio = audio_of(file)
    windows = hits_of(index, file, audio=audio, modalities=["audio"])
    times = sorted(hit.time for hit in windows if hit.time is not None)
    seconds = right[file]["audio_seconds"]
    if file in AUDIO:
        last = seconds - SECONDS
        assert times == pytest.approx([*range(math.ceil(last - 0.1)), last], abs=0.12)
    else:
        duration = max(seconds, right[file]["video_seconds"])
        centers = (np.arange(round(duration)) + 0.5) * duration / round(duration)
        assert times == pytest.approx(np.clip(centers - SECONDS / 2, 0, duration - SECONDS).tolist(), abs=0.07)
    for time in {times[len(times) // 2], times[-1]}:
        first = round(time * audio.rate)
        window = Audio(audio.waveform[first : first + round(SECONDS * audio.rate)], audio.rate)
        [score] = [hit.score for hit in hits_of(index, file, audio=window, modalities=["audio"]) if hit.time == time]
        assert score > 0.98


@each(NUMBERED)
def test_search_by_image(right: Right, index: Index, file: str) -> None:
    """Each frame of a video is found by the number that it carries."""
    expected = right[file]
    windows = hits_of(index, file, image=number_image(0), modalities=["image"])
    count = expected["frames"]
    for time in {hit.time for hit in windows if hit.time is not None}:
        number = min(int(time * 25 + 1e-3), count - 1) // expected["repeat"]
        best, *others = hits_of(index, file, image=number_image(number), modalities=["image"])
        assert best.score > 0.97
        ties = [hit.time for hit in (best, *others) if best.score - hit.score < 1e-4]
        assert time in ties


def test_what_is_indexed_is_counted(right: Right, index: Index) -> None:
    """Of all files only a photograph may be left out, in a format that this machine may not read; it is named."""
    text = (index.folder.parent / "answer.txt").read_text()
    status = index.status()
    assert status.problems == []
    assert {failure.path.name for failure in status.failures} <= {name_of(HEIC)}
    assert all("soundspot[heic]" in failure.message for failure in status.failures)
    assert sum(status.files.values()) + len(status.failures) == len(AUDIO) + len(VIDEOS) + 1
    assert "codec" in text  # of the video whose audio is missing


def test_a_folder_of_a_camera(right: Right, model: Path, tmp_path: Path) -> None:
    """Five videos and a photograph; what is passed over is counted."""
    folder, right_counts = right.root / "names_of_cameras", right["names_of_cameras/."]
    answer = soundspot_command("search", "index", folder, "--model", model, "--index", tmp_path / "i", "--workers", 0)
    with Index.open(tmp_path / "i") as opened:
        files, failures = opened.status().files, opened.status().failures
    assert files["video"] == right_counts["videos"], answer.out
    assert files["image"] + len(failures) == right_counts["images"], answer.out
    answer = soundspot_command("data", "extract", folder, tmp_path / "shards", "--workers", 0)
    assert f"{right_counts['videos']} samples" in answer.out
    options = ("--model", model, "-o", tmp_path / "located", "--maps-per-second", 2)
    answer = soundspot_command("locate", folder, *options)
    assert answer.status == 0, answer.err
    assert len(list((tmp_path / "located").glob("*.timeline.png"))) == right_counts["videos"]


# soundspot data check
def test_a_catalog_of_these_files(right: Right, tmp_path: Path) -> None:
    """The validator decodes all of them: one error, the codec that nobody can decode, and notes on what was chosen."""
    (tmp_path / "audio").mkdir()
    files = [file for file in (*AUDIBLE, UNKNOWN) if file != "names_of_cameras/00002.m2ts"]  # a copy
    link_files(right, tmp_path / "audio", tuple(files))
    Image.fromarray(corner_image()).save(tmp_path / "photo.png")
    image = {"file": "photo.png", "category": "tone", "split": "train", "group": "photo", "width": 128, "height": 96,
             "boxes": [[0, 0, 50, 40]]}  # fmt: skip
    audio = [
        {"file": f"audio/{name_of(file)}", "category": "tone", "split": "train", "group": file,
         "seconds": right[file].get("audio_seconds", 1.0)}
        for file in files
    ]  # fmt: skip
    (tmp_path / "annotations.json").write_text(json.dumps({"version": 1, "images": [image], "audio": audio}))
    problems = validate_data(tmp_path, read_files=True).problems
    [error] = [str(problem) for problem in problems if problem.severity != "note"]
    assert name_of(UNKNOWN) in error
    assert "codec" in error
    notes = "\n".join(str(problem) for problem in problems if problem.severity == "note")
    assert all(name_of(file) in notes for file in AUDIBLE if "tracks" in right[file])
    answer = soundspot_command("data", "check", tmp_path, "--read-files")
    assert answer.status == 2
    assert "codec" in answer.out


# The page
@each_audible
def test_the_page_locates(
    right: Right,
    localizer: Localizer,
    photo: Path,
    map_of: Callable[[str], LocalizationMap],
    audio_of: Callable[[str], Audio],
    file: str,
) -> None:
    answer = locate_audios(localizer, str(photo), [str(right.root / file)], Limits(), Deadline(60))
    assert answer.errors == ()
    result = answer.maps[Path(file).name]
    np.testing.assert_allclose(result.scores, map_of(file).scores, atol=1e-5)
    assert set(audio_of(file).notes) <= set(result.notes)


def test_the_page_names_an_unknown_codec(right: Right, localizer: Localizer, photo: Path) -> None:
    answer = locate_audios(localizer, str(photo), [str(right.root / UNKNOWN)], Limits(), Deadline(60))
    assert answer.maps == {}
    assert "codec" in answer.errors[0]


@each_audible
def test_the_page_counts_the_seconds_that_there_are(right: Right, localizer: Localizer, photo: Path, file: str) -> None:
    """Limits hold by the true length, whatever a header says."""
    path, seconds = str(right.root / file), right[file]["audio_seconds"]
    check_duration(path, seconds + 0.5, "sound", "Cut it.")
    limits = Limits(max_audio_seconds=seconds - 0.5)
    answer = locate_audios(localizer, str(photo), [path], limits, Deadline(60))
    assert answer.maps == {}
    assert "lasts" in answer.errors[0]


@each(VIDEOS)
def test_the_page_limits_videos_by_their_true_length(right: Right, file: str) -> None:
    path, expected = str(right.root / file), right[file]
    seconds = max(expected.get("video_seconds", 0.0), expected.get("audio_seconds", 0.0)) or expected["frames"] / 25
    check_duration(path, max(seconds, 1.0) + 0.5, "video", "Cut it.")
    with pytest.raises(LimitError):
        check_duration(path, seconds / 2, "video", "Cut it.")


@each_audible
def test_the_page_plays_a_hit(right: Right, index: Index, file: str) -> None:
    """What is played of a hit is the audio from its time on."""
    time = max(0.0, right[file]["audio_seconds"] - 1.2)
    path = index.root / name_of(file)
    played = _read_samples(Hit(path, "audio" if file in AUDIO else "video", 1.0, time, "audio"))
    assert played is not None
    rate, samples = played
    check_audio(samples / 32768, rate, in_window(right[file], time, 10.0))


def test_the_page_plays_nothing_of_an_unknown_codec(right: Right) -> None:
    assert _read_samples(Hit(right.root / UNKNOWN, "video", 1.0, 0.0)) is None


def test_a_photograph_of_a_phone_by_the_page(right: Right, localizer: Localizer) -> None:
    audio = str(right.root / "names_of_cameras/clip.mp4")
    try:
        answer = locate_audios(localizer, str(right.root / HEIC), [audio], Limits(), Deadline(60))
    except InputError as error:
        assert "soundspot[heic]" in str(error)  # noqa: PT017 (both are right)
    else:
        assert answer.errors == ()
