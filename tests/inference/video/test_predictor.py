"""A located video: each picture has the answer that it has alone, and what is written is whole, in time and in sync."""

import json
import resource
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from clips import RATE, tone, write_video
from schemas import check_output
from soundspot.cli.locate import format_summary
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.config.presence_calibration import PresenceCalibration
from soundspot.data.media.audio import read_audio
from soundspot.data.media.ffmpeg import VideoError
from soundspot.data.media.rle import decode_mask
from soundspot.data.media.video import open_video
from soundspot.errors import InputError, OutputError, RecipeError
from soundspot.inference.batch_localizer import Features, ImageInput, Precision
from soundspot.inference.localizer import Localizer
from soundspot.inference.result import LocalizationMap
from soundspot.inference.video.frame_batches import BATCH_SIZE
from soundspot.inference.video.predictor import CPU_BATCH_SIZE, LocatedVideo
from soundspot.inference.video.presence import SecondPresence, merge_seconds
from soundspot.inference.video.smoothing import MapSmoother, RunningRange, interpolate_maps
from soundspot.inference.video.timeline import PROBABILITY, LoudnessMeter, decimate, find_true_runs, make_ticks
from soundspot.methods import create
from soundspot.types import Audio
from soundspot.utils.atomic_io import DiskFullError
from tiny import DENSEAV, denseav_front_end

TINY = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}


def localizer_of(audio: AudioSpec, threshold: float | None = None) -> Localizer:
    torch.manual_seed(0)
    method = create("alignment", image=TINY, audio=TINY, front_end=InputSpec(ImageSpec(32), audio))
    return Localizer(method, threshold)


@pytest.fixture(scope="module")
def localizer() -> Localizer:
    return localizer_of(AudioSpec(16000, 0.5))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("clip") / "a.mkv", 2.0, codecs=("mpeg4", "pcm_s16le"))


@pytest.fixture
def own(localizer: Localizer, clip: Path) -> LocatedVideo:
    return localizer.locate_video(clip)


def test_a_smaller_input_gives_the_maps_of_that_front_end(clip: Path, localizer: Localizer) -> None:
    smaller = next(iter(localizer.locate_video(clip, size=48)))
    method = create("alignment", image=TINY, audio=TINY, front_end=InputSpec(ImageSpec(48), AudioSpec(16000, 0.5)))
    method.load_state_dict(localizer.method.state_dict())
    same = next(iter(Localizer(method).locate_video(clip)))
    assert (
        smaller.map.scores.shape == same.map.scores.shape != next(iter(localizer.locate_video(clip))).map.scores.shape
    )
    assert torch.allclose(smaller.map.scores, same.map.scores, atol=0.02)  # of another filter
    with pytest.raises(InputError, match="size: found 8, expected at least 32"):
        localizer.locate_video(clip, size=8)


def test_the_size_for_videos_is_that_of_the_checkpoint(clip: Path) -> None:
    localizer = localizer_of(AudioSpec(16000, 0.5))
    localizer.video_size = 48
    stored = next(iter(localizer.locate_video(clip)))
    assert torch.equal(stored.map.scores, next(iter(localizer.locate_video(clip, size=48))).map.scores)


def test_an_encoder_of_one_size_takes_no_other(clip: Path, localizer: Localizer) -> None:
    fixed = localizer_of(AudioSpec(16000, 0.5))
    fixed.method.image_encoder = torch.nn.Identity()
    with pytest.raises(InputError, match="whose image encoder takes 32 pixels only"):
        fixed.locate_video(clip, size=48)


@pytest.mark.parametrize("spec", [AudioSpec(16000, 0.5), AudioSpec(16000, 0.5, clip_seconds=1.2)])
def test_each_picture_has_the_answer_that_it_has_alone(spec: AudioSpec, clip: Path) -> None:
    localizer = localizer_of(spec)
    sound = torch.from_numpy(tone(2.0))
    found = list(localizer.locate_video(clip, audio_hop=1 / 25))
    assert len(found) == 50
    for moment in (found[0], found[20], found[49]):
        length = round((spec.clip_seconds or spec.seconds) * RATE)
        first = round(moment.time * RATE) - length // 2
        if moment in (found[0], found[49]):  # the window is moved inward; what lies around it is not heard
            around = (length - round(0.5 * RATE)) // 2
            first = -around if moment is found[0] else 2 * RATE - round(0.5 * RATE) - around
        part = torch.zeros(length)
        start, stop = max(first, 0), min(first + length, 2 * RATE)
        part[start - first : stop - first] = sound[start:stop]
        alone = localizer.locate(moment.map.image, Audio(part, RATE))
        assert torch.allclose(moment.map.scores, alone.scores, atol=2e-3)
        assert (moment.map.size, moment.map.region) == (alone.size, alone.region)


def test_the_map_follows_the_sound(localizer: Localizer, clip: Path) -> None:
    """Another sound at the same picture is another map, and the sound's code is not made anew for each picture."""
    found = list(localizer.locate_video(clip))
    other = list(localizer.locate_video(clip, audio=(np.random.default_rng(0).uniform(-1, 1, 32000), 16000)))
    assert not torch.allclose(found[5].map.scores, other[5].map.scores, atol=1e-4)


def test_fewer_maps_are_interpolated(localizer: Localizer, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[int] = []
    encode = localizer.encode_images
    monkeypatch.setattr(localizer, "encode_images", lambda some, size: shown.append(len(some)) or encode(some, size))
    found = list(localizer.locate_video(clip, maps_per_second=5))
    assert (len(found), sum(shown)) == (50, 10)
    middle = (found[10].map.scores + found[15].map.scores) / 2
    assert torch.allclose(
        found[12].map.scores, found[10].map.scores + 0.4 * 2 * (middle - found[10].map.scores), atol=1e-5
    )


def test_a_running_mean_forgets_with_time() -> None:
    smooth = MapSmoother(0.5)
    assert torch.equal(smooth(0.0, torch.zeros(1, 1)), torch.zeros(1, 1))
    assert float(smooth(0.5, torch.ones(1, 1))) == pytest.approx(1 - np.exp(-1))
    assert float(MapSmoother(0.0)(0.1, torch.ones(1, 1))) == 1.0


def test_between_two_moments_maps_are_linear() -> None:
    maps = torch.tensor([0.0, 1.0, 4.0])[:, None, None]
    assert interpolate_maps([1.0, 2.0, 4.0], maps, [0.0, 1.0, 1.5, 2.0, 3.0, 9.0]).flatten().tolist() == [
        0,
        0,
        0.5,
        1,
        2.5,
        4,
    ]
    assert interpolate_maps([1.0], maps[:1], [0.0, 3.0]).flatten().tolist() == [0, 0]


def test_heat_keeps_its_range_for_a_while() -> None:
    heat = RunningRange()
    strong, weak = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 0.5]])
    assert heat(0.0, LocalizationMap(strong, (1, 2))).tolist() == [[0, 1]]
    assert float(heat(0.04, LocalizationMap(weak, (1, 2))).max()) == pytest.approx(0.5, abs=0.01)
    assert float(heat(60.0, LocalizationMap(weak, (1, 2))).max()) == pytest.approx(1.0, abs=0.01)
    assert heat(60.1, LocalizationMap(weak, (1, 2), threshold=0.9)) is None


@pytest.mark.parametrize(("precision", "expected"), [("float32", CPU_BATCH_SIZE), ("bfloat16", BATCH_SIZE)])
def test_batches_are_smaller_in_float32_on_a_cpu(
    localizer: Localizer, clip: Path, monkeypatch: pytest.MonkeyPatch, precision: Precision, expected: int
) -> None:
    sizes: list[int] = []
    encode = Localizer.encode_images

    def spy(self: Localizer, images: Sequence[ImageInput], size: int | None = None) -> Features:
        sizes.append(len(images))
        return encode(self, images, size)

    monkeypatch.setattr(Localizer, "encode_images", spy)
    assert len([*LocatedVideo(Localizer(localizer.method, precision=precision), clip)]) == sum(sizes) > BATCH_SIZE
    assert set(sizes[:-1]) == {expected}


# What is written.


def test_everything_is_written_in_one_run(own: LocatedVideo, tmp_path: Path) -> None:
    seen: list[tuple[float, float]] = []
    names = {
        "overlay": "o.mp4",
        "contact_sheet": "s.jpg",
        "timeline": "t.png",
        "frame_records": "f.json",
        "maps": "m.npz",
    }
    told = own.save(**{kind: tmp_path / name for kind, name in names.items()}, progress=lambda *at: seen.append(at))
    assert {path.name for path in tmp_path.iterdir()} == set(names.values())
    assert (told.num_frames, told.num_absent, told.notes) == (50, None, ())
    assert told.seconds == pytest.approx(2.0, abs=0.05)
    assert seen[-1] == pytest.approx((1.96, 2.0), abs=0.05)
    stored, moments = np.load(tmp_path / "m.npz"), list(own)
    assert np.allclose(stored["scores"], torch.stack([moment.map.scores for moment in moments]).numpy(), atol=1e-6)
    assert np.allclose(stored["times"], [moment.time for moment in moments])
    assert (stored["size"].tolist(), set(stored["present"].tolist())) == ([48, 64], {-1})
    with Image.open(tmp_path / "s.jpg") as sheet, Image.open(tmp_path / "t.png") as timeline:
        assert sheet.width > sheet.height
        assert timeline.size == (1200, 360)


def test_the_frames_hold_boxes_and_masks(own: LocatedVideo, tmp_path: Path) -> None:
    own.save(frame_records=tmp_path / "f.json")
    told = json.loads((tmp_path / "f.json").read_text())
    moment = list(own)[7]
    line = told["frames"][7]
    assert (len(told["frames"]), told["size"], told["notes"]) == (50, [48, 64], [])
    assert line["boxes"] == [list(box) for box in moment.map.boxes()]
    counts = line["mask"]["counts"]
    mask = np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(64, 48).T
    assert np.array_equal(mask, moment.map.mask().numpy())


def test_presence_is_told_per_second_with_its_probability(clip: Path, tmp_path: Path) -> None:
    localizer = localizer_of(AudioSpec(16000, 0.5))
    localizer.threshold, localizer.calibration = -9.0, PresenceCalibration("logistic", 2.0, 0.5)
    video = localizer.locate_video(clip)
    summary = video.save(frame_records=tmp_path / "f.json", timeline=tmp_path / "t.png")
    frames = [*localizer.locate_video(clip)]
    means = [np.mean([f.map.presence_probability for f in frames if int(f.time) == second]) for second in (0, 1)]
    assert [second.probability for second in summary.presence] == pytest.approx(means)
    content = json.loads((tmp_path / "f.json").read_text())
    check_output(content, "frame-records")
    rounded = [{"second": n, "present": True, "presence_probability": round(means[n], 4)} for n in (0, 1)]
    assert content["seconds"] == rounded
    assert content["frames"][7]["presence_probability"] == round(frames[7].map.presence_probability, 4)
    assert f"  0:00 - 0:02 present (probability of presence {np.mean(means):.2f})" in format_summary(clip, summary, 1.0)
    with Image.open(tmp_path / "t.png") as timeline:
        assert (np.asarray(timeline.convert("RGB")) == PROBABILITY).all(axis=2).any()


def test_runs_of_seconds_are_merged() -> None:
    values = [(0, True, 0.9), (1, True, 0.7), (2, False, 0.1), (5, False, 0.3), (6, True, None)]
    runs = merge_seconds(SecondPresence(second, 1, *rest) for second, *rest in values)
    assert [(r.second, r.num_seconds, r.present, r.probability) for r in runs] == [
        (0, 2, True, pytest.approx(0.8)),
        (2, 4, False, pytest.approx(0.2)),
        (6, 1, True, None),
    ]


def test_the_overlay_keeps_the_moments_of_its_pictures(localizer: Localizer, tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.3, 0.31, 1.2, 1.9]
    localizer.locate_video(write_video(tmp_path / "a.mp4", 2.0, times=times)).save(tmp_path / "o.mp4")
    with open_video(tmp_path / "o.mp4") as reel:
        assert [moment for moment, _ in reel.frames()] == pytest.approx(times, abs=1e-3)


def test_the_overlay_of_an_odd_size_grows_by_a_pixel(localizer: Localizer, tmp_path: Path) -> None:
    path = odd(tmp_path / "a.mkv")
    localizer.locate_video(path).save(tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as made:
        stream = made.streams.video[0]
        assert (stream.width, stream.height, stream.codec_context.name) == (66, 50, "h264")
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert made.streams.audio[0].codec_context.name == "aac"


def odd(path: Path) -> Path:
    """65 x 49 pixels, ten bits a channel."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("ffv1", rate=25)
        video.width, video.height, video.pix_fmt = 65, 49, "yuv444p10le"
        audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for n in range(10):
            pixels = np.full((49, 65, 3), 25 * n, np.uint8)
            container.mux(
                video.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv444p10le"))
            )
        sound = av.AudioFrame.from_ndarray((tone(0.4) * 32767).astype(np.int16)[None], format="s16", layout="mono")
        sound.rate = RATE
        container.mux(video.encode())
        container.mux(audio.encode(sound))
        container.mux(audio.encode())
    return path


@pytest.mark.parametrize("late", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5)])
def test_sound_and_picture_stay_together(late: tuple[float, float], localizer: Localizer, tmp_path: Path) -> None:
    """The tone changes at each second of its own: it does so at the same picture of the overlay."""
    path = write_video(tmp_path / "a.mkv", 3.0, codecs=("mpeg4", "pcm_s16le"), late=late)
    localizer.locate_video(path, maps_per_second=2).save(tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as made:
        frames = list(made.decode(audio=0))
        samples, rate = np.concatenate([frame.to_ndarray()[0] for frame in frames]), frames[0].rate
        offset = frames[0].time - made.streams.video[0].start_time * made.streams.video[0].time_base
    change = 1.0 + late[1] - late[0]
    for side, expected in ((-0.3, 200), (0.05, 400)):
        first = round((change + side - offset) * rate)
        window = samples[first : first + rate // 4]
        loudest = np.abs(np.fft.rfft(window * np.hanning(len(window)))).argmax() * rate / len(window)
        assert loudest == pytest.approx(expected, abs=10)


@pytest.mark.parametrize("lasts", [None, 1.0])
def test_sound_ends_with_the_last_picture(lasts: float | None, localizer: Localizer, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 0.4, lasts=lasts)
    video = localizer.locate_video(path, audio=Audio(torch.from_numpy(tone(20.0)), RATE))
    assert video.save(tmp_path / "o.mp4").seconds == pytest.approx(0.36 + (lasts or 0.04), abs=0.01)
    with av.open(str(tmp_path / "o.mp4")) as made:
        heard = sum(frame.samples for frame in made.decode(audio=0)) / made.streams.audio[0].rate
    assert heard == pytest.approx(0.36 + (lasts or 0.04), abs=0.05)


def test_pictures_may_be_an_hour_apart(localizer: Localizer, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 8000, times=[0.0, 3600.0, 7200.0], sound=False)
    localizer.locate_video(path, audio=Audio(torch.from_numpy(tone(1.0)), RATE)).save(tmp_path / "o.mp4")
    with open_video(tmp_path / "o.mp4") as made:
        assert [moment for moment, _ in made.frames()] == pytest.approx([0, 3600, 7200], abs=0.01)


@pytest.mark.parametrize("colours", [2, 1, 5])
def test_colours_stay_what_they_are(colours: int, localizer: Localizer, tmp_path: Path) -> None:
    """YUV goes to RGB and back by the file's own rule, which the overlay names too."""
    planes = np.zeros((72, 64), np.uint8)
    planes[:48], planes[48:60], planes[60:] = 120, 90, 200
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "8"})
        video.width, video.height, video.pix_fmt, video.codec_context.colorspace = 64, 48, "yuv420p", colours
        for _ in range(3):
            container.mux(video.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(video.encode())
    silence = Audio(torch.zeros(8000), 16000)
    localizer.locate_video(tmp_path / "a.mp4", audio=silence).save(tmp_path / "o.mp4")
    with av.open(str(tmp_path / "o.mp4")) as made:
        frame = next(made.decode(video=0))
    assert frame.colorspace == colours
    assert np.abs(frame.to_ndarray(format="yuv420p").astype(int) - planes).max() <= 3


def test_nothing_is_drawn_where_nothing_is_heard(clip: Path, tmp_path: Path) -> None:
    """Silence is never present: no heat, no box, and a timeline that says so."""
    video = localizer_of(AudioSpec(16000, 0.5)).locate_video(clip, audio=Audio(torch.zeros(32000), 16000))
    told = video.save(tmp_path / "o.mp4", frame_records=tmp_path / "f.json")
    assert told.num_absent == told.num_frames
    assert not any(line["boxes"] for line in json.loads((tmp_path / "f.json").read_text())["frames"])
    with open_video(tmp_path / "o.mp4") as made, open_video(clip) as plain:
        pairs = zip(made.frames(), plain.frames(), strict=True)
        assert all(np.abs(np.asarray(a, int) - np.asarray(b, int)).mean() < 6 for (_, a), (_, b) in pairs)


@pytest.mark.parametrize("stop", [0, 20])
def test_a_run_that_is_stopped_leaves_nothing(stop: int, own: LocatedVideo, tmp_path: Path) -> None:
    class Stopped(Exception):
        pass

    calls = iter(range(1000))

    def seen(done: float, of: float) -> None:
        if next(calls) == stop:
            raise Stopped

    (tmp_path / "o.mp4").write_bytes(b"before")
    with pytest.raises(Stopped):
        own.save(tmp_path / "o.mp4", maps=tmp_path / "m.npz", progress=seen)
    assert [path.name for path in tmp_path.iterdir()] == ["o.mp4"]
    assert (tmp_path / "o.mp4").read_bytes() == b"before"


def test_a_full_disk_is_told_and_leaves_nothing(own: LocatedVideo, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(DiskFullError, match=r"o\.mp4|m\.npz"):
            own.save(tmp_path / "o.mp4", maps=tmp_path / "m.npz")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def test_the_files_are_opened_once_whatever_is_written(
    localizer: Localizer, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    open_container = av.open

    def counted(file: str, mode: str = "r", **options: Any) -> Any:
        opened.append(mode)
        return open_container(file, mode, **options)

    monkeypatch.setattr(av, "open", counted)
    names = {"overlay": "o.mp4", "contact_sheet": "s.jpg", "timeline": "t.png", "frame_records": "f.json"}
    localizer.locate_video(clip).save(**{kind: tmp_path / name for kind, name in names.items()})
    assert sorted(opened) == ["r", "r", "r", "w"]  # for its packets, its frames, its audio


# Bad input.


def test_pictures_that_cannot_be_encoded_are_told(localizer: Localizer, tmp_path: Path) -> None:
    clip = write_video(tmp_path / "a.mkv", 0.1, codecs=("ffv1", "pcm_s16le"), size=(17000, 16))
    with pytest.raises(OutputError, match=r"o\.mp4: could not be encoded"):
        localizer.locate_video(clip).save(tmp_path / "o.mp4")
    assert list(tmp_path.iterdir()) == [clip]


def test_a_video_without_sound_takes_another(localizer: Localizer, clip: Path, tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 0.4, sound=False)
    with pytest.raises(VideoError, match="audio=") as told:
        localizer.locate_video(path)
    assert told.value.cause == "no sound"
    assert len(list(localizer.locate_video(path, audio=clip))) == 10


def test_sound_that_ends_early_is_silence_after_it(clip: Path) -> None:
    video = localizer_of(AudioSpec(16000, 0.5)).locate_video(clip, audio=(np.ones(8000, np.float32) / 2, 16000))
    silent = [moment.map.is_silent for moment in video]
    assert silent == sorted(silent)
    assert 20 < silent.index(True) < 30


def test_a_short_sound_is_told(localizer: Localizer, tmp_path: Path) -> None:
    video = localizer.locate_video(write_video(tmp_path / "a.mp4", 0.24, times=[0.0]))
    assert len(list(video)) == 1
    assert "repeated" in " ".join(video.notes)


def test_a_video_that_is_cut_short_is_told(localizer: Localizer, tmp_path: Path) -> None:
    path, cut = tmp_path / "o.mp4", tmp_path / "cut.mp4"
    localizer.locate_video(write_video(tmp_path / "a.mp4", 6.0), maps_per_second=1).save(path)
    cut.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    video = localizer.locate_video(cut, maps_per_second=5)
    assert 0 < len(list(video)) < 140
    assert "cut short" in " ".join(video.notes)


@pytest.mark.parametrize(
    "wrong",
    [{"maps_per_second": 0}, {"maps_per_second": -1}, {"smooth": -0.1}, {"audio_hop": 0}, {"smooth": float("nan")}],
)
def test_options_out_of_range_are_refused(wrong: dict, localizer: Localizer, clip: Path) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        localizer.locate_video(clip, **wrong)


def test_a_model_of_vectors_follows_no_video(clip: Path) -> None:
    localizer = localizer_of(AudioSpec(16000, 0.5))
    spec = localizer.method.front_end
    localizer.method.front_end = replace(spec, audio=replace(spec.audio, embedding_dim=8))
    with pytest.raises(InputError, match="takes waveforms"):
        localizer.locate_video(clip)


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({}, "found no file to write"),
        ({"overlay": "o.avi"}, r"\.avi"),
        ({"overlay": "nowhere/o.mp4"}, "does not exist"),
        ({"contact_sheet": "a.png", "timeline": "a.png"}, "same name"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused_at_once(named, words, own: LocatedVideo, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=words):
        own.save(**{kind: tmp_path / name for kind, name in named.items()})


def test_a_video_is_never_its_own_overlay(own: LocatedVideo, clip: Path) -> None:
    with pytest.raises(OutputError, match="the video itself"):
        own.save(clip)


# The timeline's parts.


def test_parts_of_the_timeline() -> None:
    assert find_true_runs(np.array([True, False, True, True])) == [(0, 1), (2, 4)]
    assert make_ticks(0, 10, 5) == [0, 2, 4, 6, 8, 10]
    assert make_ticks(0.12, 0.31, 4) == pytest.approx([0.15, 0.2, 0.25, 0.3])
    steps = [np.full((1, 100), value, np.float32) for value in (0.0, 0.5)]
    for max_blocks in (1024, 128):
        meter = LoudnessMeter(100, max_blocks)
        for step in steps:
            meter.add(step)
        assert meter.rms(2.0, 4).tolist() == pytest.approx([0, 0, 0.5, 0.5])
    values = np.random.default_rng(0).normal(size=10_007)
    kept = decimate(values, 500)
    assert len(kept) < 1200
    assert {int(values.argmin()), int(values.argmax()), 10_006} <= set(kept.tolist())
    assert np.array_equal(decimate(values[:700], 500), np.arange(700))


def test_contours_go_through_a_video_and_all_its_files(clip: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="OpenCV is absent: grabcut is not tested")
    localizer = localizer_of(AudioSpec(16000, 0.5), threshold=2.0)
    first = next(iter(localizer.locate_video(clip, maps_per_second=2, contour="grabcut")))
    assert first.map.contours == ()  # absent
    localizer.threshold, localizer.contour = -2.0, "grabcut"
    video = localizer.locate_video(clip, maps_per_second=2)
    first = next(iter(video))
    assert [contour.segmenter for contour in first.map.contours] == ["grabcut"] * len(first.map.boxes())
    video.save(frame_records=tmp_path / "f.json", events=tmp_path / "e.coco.json")
    records = json.loads((tmp_path / "f.json").read_text())
    check_output(records, "frame-records")
    assert records["contour"] == "grabcut"
    assert records["frames"][0]["contours"] == [contour.to_dict() for contour in first.map.contours]
    annotations = json.loads((tmp_path / "e.coco.json").read_text())["annotations"]
    assert all(decode_mask(annotation["segmentation"], "e.coco.json").any() for annotation in annotations)
    traced = [frame.map.contours for frame in video]
    assert len({id(contours) for contours in traced}) <= 1 + 5 * video.seconds < len(traced)
    with pytest.raises(RecipeError, match="unknown segmenter 'sam3'"):
        localizer.locate_video(clip, contour="sam3")


def test_maps_move_with_the_audio_tokens_of_one_window(clip: Path) -> None:
    """DenseAV: a clip of the window's length is encoded once, and each frame has the token of its own moment."""
    pytest.importorskip("transformers", reason="the extra `hub` is not installed")
    method = create("denseav", front_end=denseav_front_end(2.0, "denseav@demo"), **DENSEAV)
    localizer, calls = Localizer(method.eval()), list[int]()
    encode = localizer.encode_audio
    localizer.encode_audio = lambda audio: calls.append(len(audio)) or encode(audio)  # type: ignore[method-assign]
    frames = list(localizer.locate_video(clip))
    assert sum(calls) == 1
    encoded = encode([Audio(read_audio(clip, 16000).waveform, 16000)])
    count = int((encoded[..., -1] > 0).sum())
    for frame in frames[:: len(frames) // 6]:
        assert frame.map.image is not None
        moment = localizer.audio_at(encoded, torch.tensor([frame.time / 2.0]))
        alone = localizer.maps(localizer.encode_images([frame.map.image]), moment)[0]
        torch.testing.assert_close(frame.map.scores, alone, rtol=1e-3, atol=1e-4)
    still = frames[0].map.image
    tokens = [localizer.audio_at(encoded, torch.tensor([(n + 0.5) / count])) for n in range(count)]
    maps = [localizer.maps(localizer.encode_images([still]), token)[0] for token in tokens]
    assert not torch.allclose(maps[0], maps[count // 2], atol=1e-4)
