"""A Localizer: one answer however it is asked, a method left as it was, and clear words for bad input."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torch import Tensor, nn

from soundspot.cli.locate import locate
from soundspot.config.checkpoint import describe_checkpoint
from soundspot.config.frontend import PRESETS, AudioSpec, ImageSpec, InputSpec
from soundspot.data.media.image import visible_region
from soundspot.errors import CheckpointError, InputError, OutputError
from soundspot.inference import localizer as module
from soundspot.inference.localizer import Localizer
from soundspot.methods.base import Method
from soundspot.types import Audio
from soundspot.utils.device import select_best_device
from tiny import serve_denseav

TOY = "toy.safetensors"


class Toy(Method):
    """Two convolutions with dropout: enough to see whether evaluation mode is kept."""

    name = "toy"

    def __init__(self, resize: str = "squash") -> None:
        nn.Module.__init__(self)
        self.front_end = InputSpec(ImageSpec(64, resize), AudioSpec(16000, 0.5, n_fft=256, hop=128))
        self.image_encoder = nn.Sequential(nn.Conv2d(3, 8, 8, 8), nn.Dropout(0.5))
        self.audio_encoder = nn.Sequential(nn.Conv2d(1, 8, 16, 8), nn.Dropout(0.5))


@pytest.fixture
def method() -> Toy:
    torch.manual_seed(0)
    return Toy()


@pytest.fixture
def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8))


@pytest.fixture
def tones() -> list[Audio]:
    t = torch.arange(16000) / 16000
    return [Audio(0.5 * torch.sin(2 * torch.pi * f * t), 16000) for f in (220.0, 880.0, 3000.0)]


def test_asking_at_once_and_encoding_first_agree(method, photo, tones):
    localizer = Localizer(method)
    code = localizer.encode_image(photo)
    for sound in tones:
        at_once, later = localizer(photo, sound), localizer.predict(code, sound)
        assert torch.equal(at_once.scores, later.scores)
        assert at_once.size == (90, 120)
        assert at_once.scores.shape == (8, 8)
    assert not torch.equal(localizer.predict(code, tones[0]).scores, localizer.predict(code, tones[2]).scores)


class Telling(Toy):
    """Tells two sources apart, of which it hears the second of every picture alone."""

    def locate_sources(self, encoded_images, encoded_audio):
        maps = self.similarity_map(encoded_images, encoded_audio)
        heard = torch.tensor([False, True]).expand(len(maps), -1)
        return torch.stack([maps, -maps], dim=1), heard


def test_sources_are_those_that_are_heard_and_one_where_they_are_not_told_apart(method, photo, tones):
    localizer, telling = Localizer(method), Localizer(Telling())
    (one,) = localizer.locate_sources(photo, tones[0])
    assert torch.equal(one.scores, localizer(photo, tones[0]).scores)
    assert one.size == (90, 120)
    (second,) = telling.locate_sources(telling.encode_image(photo), tones[0])
    torch.testing.assert_close(second.scores, -telling(photo, tones[0]).scores)
    maps, heard = telling.source_maps(telling.encode_images([photo] * 2), telling.encode_audio(tones[:2]))
    assert maps.shape == (2, 2, 8, 8)
    assert heard.tolist() == [[False, True]] * 2


def test_many_at_once_are_what_each_is_alone(method, photo, tones):
    localizer = Localizer(method)
    pictures = [photo, photo.rotate(90, expand=True), photo.crop((0, 0, 40, 60))]
    maps = localizer.maps(localizer.encode_images(pictures), localizer.encode_audio(tones))
    alone = torch.stack([localizer(picture, sound).scores for picture, sound in zip(pictures, tones, strict=True)])
    torch.testing.assert_close(maps, alone, atol=1e-6, rtol=0)
    assert localizer.saliency(localizer.encode_images(pictures)).shape == (3, 8, 8)
    for embedded in (localizer.embed_images(pictures), localizer.embed_audio(tones)):
        torch.testing.assert_close(embedded.norm(dim=-1), torch.ones(3))


@pytest.mark.parametrize("training", [False, True])
def test_the_method_and_chance_are_left_as_they_were(method, photo, tones, training):
    method.train(training)
    method.image_encoder[0].eval()
    before, state = [part.training for part in method.modules()], torch.get_rng_state()
    localizer = Localizer(method)
    first, second = localizer(photo, tones[0]), localizer(photo, tones[0])
    assert torch.equal(first.scores, second.scores)  # dropout is off while asking
    assert [part.training for part in method.modules()] == before
    assert torch.equal(torch.get_rng_state(), state)
    assert not first.scores.requires_grad


def test_half_precision_answers_in_float32(method, photo, tones):
    exact, quick = (Localizer(method, precision=p)(photo, tones[0]).scores for p in ("float32", "bfloat16"))
    assert quick.dtype == torch.float32
    torch.testing.assert_close(quick, exact, atol=0.05, rtol=0)


def test_silence_is_answered_and_flagged(method, photo):
    result = Localizer(method, threshold=-2.0)(photo, Audio(torch.zeros(16000), 16000))
    assert result.is_silent
    assert result.present is False
    assert "silent" in result.notes[0]
    json.dumps(result.to_dict())


def test_a_short_sound_is_answered_and_noted(method, photo):
    result = Localizer(method)(photo, (0.1 * np.ones(1600, np.float32), 16000))
    assert result.notes == ("The sound lasts 0.1 s and was repeated to fill the 0.5 s the model hears.",)
    for fill, words in (("silence", "was followed by silence to fill"), ("none", "")):
        audio = AudioSpec(16000, 0.5, window_function="waveform", fill=fill)
        method.front_end = InputSpec(method.front_end.image, audio)
        assert words in " ".join(Localizer(method).short_audio_notes(Audio(torch.ones(1600), 16000)))


@pytest.mark.parametrize(("size", "seen"), [((120, 90), (0.125, 0, 0.875, 1)), ((50, 100), (0, 0.25, 1, 0.75))])
def test_a_centre_crop_is_placed_where_it_was_taken(size, seen):
    assert visible_region(size, ImageSpec(90, "crop")) == pytest.approx(seen, abs=0.01)
    assert visible_region(size, ImageSpec(90, "squash")) == (0, 0, 1, 1)


def test_the_crop_reaches_the_result(photo, tones):
    whole = Localizer(Toy("crop"))(photo, tones[0]).upsample()
    assert whole.shape == (90, 120)
    assert (whole[:, :14] == whole.min()).all()
    assert (whole[:, 106:] == whole.min()).all()


def test_a_batch_with_what_is_no_sound_is_refused(method):
    localizer = Localizer(method)
    for audio in ([torch.zeros(9000)], [Audio(torch.zeros(9000), 16000), torch.zeros(9000)]):
        with pytest.raises(InputError, match="found audio given as Tensor, expected a path, an Audio or a pair"):
            localizer.encode_audio(audio)


def test_separating_is_asking_with_each_sound(method, photo, tones):
    localizer = Localizer(method)
    found = localizer.locate_each(photo, {"low": tones[0], "high": tones[2]})
    for name, sound in (("low", tones[0]), ("high", tones[2])):
        assert torch.equal(found.maps[name].scores, localizer(photo, sound).scores)
    again = localizer.locate_each(localizer.encode_image(photo), tones)
    assert list(again.maps) == ["sound 1", "sound 2", "sound 3"]
    assert torch.equal(again.maps["sound 1"].scores, found.maps["low"].scores)


def test_the_best_device_is_one_that_there_is():
    torch.zeros(1, device=select_best_device())


@pytest.fixture
def files(tmp_path, photo, tones, method, monkeypatch) -> Path:
    """A folder with a picture and sounds, and a checkpoint that loads as the toy method."""
    photo.save(tmp_path / "photo.png")
    for name, sound in zip("abc", tones, strict=True):
        soundfile.write(tmp_path / f"{name}.wav", sound.waveform.numpy(), sound.rate)
    monkeypatch.setattr(module, "load_checkpoint", lambda path: (method, {"threshold": 0.1}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("calibration", "spread"), [({}, None), ({"codec_spread": 9.0}, 9.0)])
def test_what_codecs_do_is_loaded_with_the_threshold(files, method, monkeypatch, capsys, calibration, spread) -> None:
    header = {"threshold": 0.1, "calibration": calibration}
    monkeypatch.setattr(module, "load_checkpoint", lambda path: (method, header))
    assert module.Localizer.load(TOY).locate("photo.png", "a.wav").codec_spread == spread
    locate(Path("photo.png"), ["a.wav"], TOY, Path("one.png"), device="cpu")
    assert ("note: The peak is near the threshold" in capsys.readouterr().out) is bool(spread)


def test_a_probability_is_loaded_with_the_threshold(files, method, monkeypatch, capsys) -> None:
    header = {"threshold": 0.1, "calibration": {"presence": {"kind": "logistic", "slope": 0.0, "intercept": 0.0}}}
    monkeypatch.setattr(module, "load_checkpoint", lambda path: (method, header))
    assert module.Localizer.load(TOY).locate("photo.png", "a.wav").presence_probability == 0.5
    locate(Path("photo.png"), ["a.wav"], TOY, Path("one.png"), device="cpu")
    assert "(probability of presence 0.50)" in capsys.readouterr().out
    header["calibration"]["refinement"] = {"refine": ["iqr"], "alpha": 0.4}
    assert module.Localizer.load(TOY).calibration is None  # it was fitted on other maps
    header["calibration"] = {"presence": {"kind": "logistic", "slope": math.inf}}
    with pytest.raises(CheckpointError, match="calibration of presence"):
        module.Localizer.load(TOY)


def test_locate_writes_and_tells(files, capsys):
    locate(
        Path("photo.png"),
        ["a.wav"],
        TOY,
        Path("one.png"),
        mask=Path("mask.png"),
        boxes=True,
        device="cpu",
    )
    assert "a.wav: peak" in capsys.readouterr().out
    locate(Path("photo.png"), ["a.wav", "b.wav"], TOY, Path("two.png"), device="cpu")
    locate(Path("photo.png"), ["a.wav", "b.wav"], TOY, Path("two.npz"), device="cpu")
    capsys.readouterr()
    locate(
        Path("photo.png"),
        ["c.wav"],
        TOY,
        Path("three.json"),
        json=True,
        device="cpu",
        mask_threshold="share:0.1",
    )
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(Path("three.json").read_text())
    assert printed[0]["sound"] == "c.wav"
    assert set(printed[0]) >= {"size", "peak", "confidence", "present", "boxes", "notes"}
    with Image.open("one.png") as one, Image.open("mask.png") as mask, Image.open("two.png") as two:
        assert one.size == mask.size == (120, 90)
        assert mask.mode == "1"
        assert two.width > 4 * 320  # the picture, a map of each, and all in one
    with np.load("two.npz") as stored:
        assert stored["scores"].shape == (2, 8, 8)


def test_locate_tells_the_sources_of_a_mixture(files, monkeypatch, capsys):
    monkeypatch.setattr(module, "load_checkpoint", lambda path: (Telling(), {}))
    locate(Path("photo.png"), ["a.wav", "b.wav"], TOY, Path("two.json"), per_source=True, device="cpu")
    found = json.loads(Path("two.json").read_text())
    assert [(one["sound"], one["source"]) for one in found] == [("a.wav", 1), ("b.wav", 1)]
    assert not any("class" in one for one in found)
    assert "b.wav (1): peak" in capsys.readouterr().out
    for classes, own in ((["cat", "dog"], 2), (["cat", "dog", "owl"], 3), (["cat", "dog"], 0)):  # of the maps, or not
        monkeypatch.setattr(Telling, "classes", own, raising=False)
        monkeypatch.setattr(module, "load_checkpoint", lambda path, classes=classes: (Telling(), {"classes": classes}))
        locate(
            Path("photo.png"),
            ["a.wav"],
            TOY,
            Path("one.json"),
            per_source=True,
            device="cpu",
            overwrite=True,
        )
        (one,) = json.loads(Path("one.json").read_text())
        assert one.get("class") == ("dog" if own == 2 else None)
        assert ("a.wav (1), dog: peak" in capsys.readouterr().out) == (own == 2)
    monkeypatch.setattr(
        Telling, "locate_sources", lambda self, *codes: (torch.zeros(1, 2, 8, 8), torch.zeros(1, 2).bool())
    )
    with pytest.raises(InputError, match="found no audible source"):
        locate(Path("photo.png"), ["a.wav"], TOY, Path("none.png"), per_source=True, device="cpu")
    assert not Path("none.png").exists()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"image": Path("no.png")}, InputError, "no.png: found no such file"),
        ({"audio": ["no.wav"]}, InputError, "no.wav: found no such file"),
        ({"output": Path("photo.png")}, OutputError, "photo.png exists already. Pass --overwrite"),
        ({"output": Path("no/out.png")}, OutputError, "the folder no does not exist"),
        ({"output": Path("out.tiff")}, OutputError, "cannot write .tiff; use .png"),
        ({"mask": Path("mask.jpg")}, OutputError, "cannot write .jpg; use .png"),
        ({"mask": Path("m.png"), "audio": ["a.wav", "b.wav"]}, OutputError, "there may be several"),
        ({"mask": Path("m.png"), "per_source": True}, OutputError, "there may be several"),
        ({"mask_threshold": "most"}, InputError, "found the mask threshold 'most'"),
    ],
)
def test_locate_refuses_and_leaves_nothing_behind(files, change, error, message):
    before = sorted(files.iterdir())
    with pytest.raises(error, match=message):
        locate(**{"model": TOY, "image": Path("photo.png"), "audio": ["a.wav"], "device": "cpu", **change})
    assert sorted(files.iterdir()) == before


def test_a_picture_may_be_a_tensor(method, tones):
    picture: Tensor = torch.rand(3, 30, 40)
    assert Localizer(method).locate(picture, tones[0]).size == (30, 40)


@pytest.mark.parametrize("name", ["cdua", "cuda:99", "meta:x"])
def test_a_device_that_is_not_there_is_told(name):
    with pytest.raises(InputError, match=f"device '{name}' cannot be used"):
        Localizer(Toy(), device=name)


def test_a_released_model_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """From the hub's own two files, with either preprocessing; nothing else is fetched."""
    pytest.importorskip("transformers", reason="the extra `hub` is not installed")
    method, fetched = serve_denseav(tmp_path / "hub", monkeypatch)
    localizer = Localizer.load("denseav-sound")
    assert fetched == [("mhamilton723/DenseAV-sound", f"{name}") for name in ("config.json", "model.safetensors")]
    assert (localizer.model_name, localizer.checkpoint) == ("denseav-sound", "hub:mhamilton723/DenseAV-sound")
    assert localizer.front_end == PRESETS["denseav"]
    assert describe_checkpoint(localizer.checkpoint) == {"checkpoint": "hub:mhamilton723/DenseAV-sound"}
    assert torch.equal(localizer.method.state_dict()["audio_cls"], method.state_dict()["audio_cls"])
    demo = Localizer.load("denseav-sound-language@demo")
    assert demo.front_end == PRESETS["denseav@demo"]
    photo = np.zeros((64, 96, 3), np.uint8)
    assert demo.locate(photo, (np.ones(3200, np.float32), 16000)).scores.shape == (28, 42)
