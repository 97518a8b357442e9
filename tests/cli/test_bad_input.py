"""A user's mistake ends in exit code 2, one message that names what was found and what to do, and nothing written."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from safetensors.torch import save_file

from conftest import ROOT
from schemas import check_output

MINE = ("neighbors", "mine", "catalog")
DEBUG = ROOT / "recipes" / "alignment" / "debug.yaml"


def refused(answer, *words: str) -> str:
    """The message, once it is seen to be one and to have left nothing behind."""
    assert answer.code == 2, answer.err
    assert answer.err.startswith("soundspot: ")
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert not answer.written
    for word in words:
        assert word in answer.err
    return answer.err


# Pictures and sounds.


@pytest.fixture
def ask(soundspot, checkpoint: Path, picture: Path, sound: Path, tmp_path: Path) -> Callable:
    """ask(image=..., audio=...) -> what `soundspot locate` answers."""

    def locate(
        image: Path = picture, audio: Path | str = sound, weights: Path = checkpoint, *more: object, out="out.png"
    ):
        return soundspot("locate", image, audio, "--model", weights, "-o", tmp_path / out, "--device", "cpu", *more)

    return locate


def noise(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).uniform(-0.5, 0.5, (round(seconds * rate), channels)).astype("float32")


@pytest.fixture
def write(tmp_path: Path) -> Callable:
    def sound_file(waveform: np.ndarray, rate: int = 16000) -> Path:
        soundfile.write(tmp_path / "given.wav", waveform, rate, subtype="FLOAT")
        return tmp_path / "given.wav"

    return sound_file


def test_a_missing_picture(ask, tmp_path) -> None:
    refused(
        ask(tmp_path / "no.jpg"), f"{tmp_path / 'no.jpg'}: found no such file", "expected an image", "Check the path"
    )


def test_what_is_no_picture(ask, tmp_path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    refused(ask(tmp_path / "text.jpg"), "text.jpg: found a file of no known image format", "expected a whole image")


def test_a_truncated_picture(ask, picture, tmp_path) -> None:
    (tmp_path / "cut.png").write_bytes(picture.read_bytes()[:400])
    refused(ask(tmp_path / "cut.png"), "cut.png: found a broken or truncated image", "save it again")


def test_a_picture_of_a_hundred_megapixels(ask, tmp_path) -> None:
    Image.new("1", (10_000, 10_001)).save(tmp_path / "huge.png")
    refused(
        ask(tmp_path / "huge.png"), "huge.png: found 10000 x 10001 pixels", "at most 80 megapixels", "Make it smaller"
    )


def test_a_missing_sound(ask, picture, tmp_path) -> None:
    refused(ask(picture, tmp_path / "no.wav"), f"{tmp_path / 'no.wav'}: found no such file", "expected a sound file")


def test_what_is_no_sound(ask, picture, tmp_path) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    refused(
        ask(picture, tmp_path / "text.wav"), "text.wav: found a file that no reader of sounds knows", "save it again"
    )


def test_a_truncated_sound(ask, picture, sound, tmp_path) -> None:
    (tmp_path / "cut.flac").write_bytes(sound.read_bytes()[:2000])
    refused(ask(picture, tmp_path / "cut.flac"), "cut.flac: found")


def test_a_sound_of_no_length(ask, picture, write) -> None:
    refused(ask(picture, write(np.zeros(0))), "given.wav: found a sound of no samples", "expected at least one")


def test_a_sound_with_nan(ask, picture, write) -> None:
    waveform = noise(1, 16000)
    waveform[7] = np.nan
    refused(ask(picture, write(waveform)), "given.wav: found NaN or infinite values in 1 of 16000 samples", "again")


def test_one_bad_sound_among_several_leaves_nothing_of_the_others(ask, picture, sound, checkpoint, write) -> None:
    refused(ask(picture, sound, checkpoint, write(np.zeros(0))), "found a sound of no samples")


@pytest.mark.parametrize(
    ("seconds", "rate", "channels"), [(1, 8000, 1), (1, 96000, 1), (1, 16000, 8), (0.1, 16000, 1)], ids=str
)
def test_odd_sounds_are_answered(ask, picture, write, tmp_path, seconds, rate, channels) -> None:
    answer = ask(picture, write(noise(seconds, rate, channels), rate))
    assert answer.code == 0, answer.err
    assert answer.written == {tmp_path / "out.png"}
    assert ("was repeated to fill" in answer.out) == (seconds < 0.5)


def test_silence_is_answered_and_flagged(ask, picture, write, tmp_path) -> None:
    answer = ask(picture, write(np.zeros(16000)))
    assert answer.code == 0, answer.err
    assert "not in the image" in answer.out
    assert "note: The sound is silent" in answer.out
    assert answer.written == {tmp_path / "out.png"}


# Checkpoints.


def test_a_missing_checkpoint(ask, picture, sound, tmp_path) -> None:
    refused(ask(picture, sound, tmp_path / "no.safetensors"), "no.safetensors: no such checkpoint", "soundspot train")


@pytest.mark.parametrize("kept", [10, 2000, -100], ids=["its first bytes", "part of its header", "all but its end"])
def test_a_truncated_checkpoint(ask, picture, sound, checkpoint, kept) -> None:
    checkpoint.write_bytes(checkpoint.read_bytes()[:kept])
    refused(ask(), f"{checkpoint}: cannot be read as safetensors", "If it was cut short, copy it again")


def test_a_file_of_weights_that_is_not_ours(ask, picture, sound, tmp_path) -> None:
    save_file({"conv1.weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    refused(
        ask(picture, sound, tmp_path / "other.safetensors"), "does not name a method", "soundspot checkpoint import"
    )


def test_a_checkpoint_of_another_shape(ask, checkpoint) -> None:
    from safetensors import safe_open

    with safe_open(checkpoint, "pt") as file:
        header, weights = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    weights["image_encoder.conv1.weight"] = torch.zeros(9, 3, 7, 7)
    weights.pop("p_v.0.weight")
    save_file(weights, checkpoint, metadata=header)
    refused(
        ask(),
        f"{checkpoint} does not fit",
        "1 missing (first: p_v.0.weight)",
        "1 of another shape",
        "expected [4, 3,",
        "If an older version of soundspot wrote it, load it with that one, or train it anew",
    )


# Outputs.


def test_an_output_that_is_there_is_kept(ask, picture, sound, checkpoint, tmp_path) -> None:
    (tmp_path / "out.png").write_text("mine")
    refused(ask(), "out.png exists already", "--overwrite")
    answer = ask(picture, sound, checkpoint, "--overwrite")
    assert answer.code == 0
    assert answer.written == {tmp_path / "out.png"}


def test_outputs_that_cannot_be_written(ask, picture, sound, checkpoint) -> None:
    refused(ask(out="nowhere/out.png"), "nowhere does not exist", "Make it")
    refused(ask(out="out.tiff"), "cannot write .tiff", ".png")
    refused(ask(picture, sound, checkpoint, "--mask-threshold", "most"), "found the mask threshold 'most'")


@pytest.mark.parametrize("command", ["mine", "scenes", "evaluate"])
def test_a_folder_of_somebodys_is_never_replaced(soundspot, checkpoint, catalogue, tmp_path, command) -> None:
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter.txt").write_text("years of work")
    arguments = {
        "mine": (*MINE, folder, "--model", checkpoint, "--root", catalogue, "--k", 2, "--overwrite"),
        "scenes": ("data", "scenes", "scenes-single", folder, "--length", 1, "--overwrite"),
        "evaluate": ("evaluate", "scenes-interactive", "--model", checkpoint, "--output", folder),
    }
    refused(soundspot(*arguments[command]), f"{folder}", "exists already")


# Annotations.

SPOILED = {
    "a box outside": (lambda e: e.update(boxes=[[5, 5, 40, 20]]), "found box [5, 5, 40, 20] outside the image"),
    "an inverted box": (lambda e: e.update(boxes=[[20, 5, 5, 20]]), "inverted or empty, expected x0 < x1"),
    "a missing picture": (lambda e: e.update(file="images/none.png"), "found no file 'images/none.png'"),
    "a missing mask": (lambda e: e.update(mask="masks/none.png"), "found no mask 'masks/none.png'"),
}


def spoil(catalogue: Path, change: Callable) -> None:
    path = catalogue / "annotations.json"
    document = json.loads(path.read_text())
    change(document["images"][2])
    path.write_text(json.dumps(document))


def train(soundspot, catalogue: Path, *more: object):
    data = json.dumps({"name": "catalog", "root": str(catalogue), "options": {"split": "train"}})
    output = ("--output", catalogue.parent / "run", "--quiet", "--train.epochs", 1, "--train.batch_size", 4)
    return soundspot("train", DEBUG, "--data", data, *output, *more)


@pytest.mark.parametrize("case", SPOILED)
def test_wrong_annotations_are_refused_and_explained(soundspot, checkpoint, catalogue, case) -> None:
    change, words = SPOILED[case]
    spoil(catalogue, change)
    refused(train(soundspot, catalogue), "annotations.json", "images[2]", words)
    evaluated = soundspot("evaluate", "catalog", "--model", checkpoint, "--root", catalogue, "--device", "cpu")
    refused(evaluated, "images[2]", words)

    checked = soundspot("data", "check", catalogue)
    assert checked.code == 2
    assert words in checked.out
    assert f"{catalogue}: found 1 error" in checked.err
    assert not checked.written


def test_a_folder_that_is_no_catalogue(soundspot, tmp_path) -> None:
    refused(train(soundspot, tmp_path / "nowhere"), "found no such folder, expected a catalog")
    checked = soundspot("data", "check", tmp_path)
    assert checked.code == 2
    assert "found a folder without annotations.json" in checked.out


def test_a_catalogue_check_in_json(soundspot, catalogue) -> None:
    answer = soundspot("data", "check", catalogue, "--json")
    assert answer.code == 0
    assert json.loads(answer.out)["problems"] == []
    *_, total = json.loads(answer.out)["tables"]["entries"]
    assert total == {"category": "all", "images train": 8, "audio train": 8}
    spoil(catalogue, SPOILED["an inverted box"][0])
    answer = soundspot("data", "check", catalogue, "--json")
    assert answer.code == 2
    told = json.loads(answer.out)
    check_output(told, "data-check")
    assert (told["errors"], told["warnings"]) == (1, 0)
    assert told["problems"][0]["location"].startswith("images[2]")


def test_a_check_that_reads_files_finds_what_is_broken(soundspot, catalogue, picture) -> None:
    picture.write_bytes(picture.read_bytes()[:400])
    assert soundspot("data", "check", catalogue).code == 0
    answer = soundspot("data", "check", catalogue, "--read_files")
    assert answer.code == 2
    assert f"images/{picture.name}: found a broken or truncated image" in answer.out


# Recipes and runs.


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--train.lrr", 1), "unknown key 'train.lrr'. Did you mean 'lr'?"),
        (("--train.lr", "fast"), "train.lr: Expected a float. Got value: fast"),
        (("--method.name", "algnment"), "unknown method 'algnment'. Did you mean 'alignment'?"),
        (("--method.tua", 1), "method 'alignment' has no option 'tua'. Did you mean 'tau'?"),
        (("--method.name", "xyzzy"), "sspl, sspl_pcm. One of your own has a name after `--import FILE.py`."),
        (("--image.encoder", "resnet81"), "unknown encoder 'resnet81'. Did you mean 'resnet18'?"),
        (("--image.widht", 3), "encoder 'resnet' has no option 'widht'. Did you mean 'width'?"),
        (("--image.weights", "none.pth"), "none.pth: no such file"),
        (("--front_end.preset", "ezvls"), "unknown front end 'ezvls'. Did you mean 'ezvsl'?"),
        (("--data.options.splt", "train"), "the data set 'catalog' has no option 'splt'. Did you mean 'split'?"),
        (("--data.name", "catalogue"), "unknown data set 'catalogue'. It is called 'catalog' now."),
        (("--train.batch_size", 9), "the training set has 8 samples and a batch 9; lower `train.batch_size`"),
        (("--views.semantic", "true"), "there are no neighbors: give `neighbors.table`"),
        (("--views.semantic", "true", "--neighbors.mining_schedule", "[0]"), "asks for 1000 neighbors"),
    ],
    ids=lambda value: value[0].removeprefix("--") if isinstance(value, tuple) else "",
)
def test_a_recipe_that_cannot_be_carried_out_starts_nothing(soundspot, catalogue, flags, words) -> None:
    refused(train(soundspot, catalogue, *flags), words)


def test_a_recipe_that_is_not_there(soundspot, tmp_path) -> None:
    refused(soundspot("train", tmp_path / "none.yaml"), "none.yaml: no such recipe")


def test_a_run_that_is_there_survives_a_recipe_that_cannot_be_carried_out(soundspot, catalogue, tmp_path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text("method: {name: alignment}\n")
    (tmp_path / "run" / "best.safetensors").write_text("weeks of work")
    refused(train(soundspot, catalogue, "--overwrite", "--data.root", tmp_path / "nowhere"), "found no such folder")


@pytest.mark.parametrize("flags", [[], ["--overwrite"], ["--resume"]], ids=["plain", "overwrite", "resume"])
def test_a_folder_that_is_no_run_is_never_trained_into(soundspot, catalogue, tmp_path, flags) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "letter.txt").write_text("dear")
    refused(train(soundspot, catalogue, *flags), "run: holds something that is not a run", "train elsewhere")


def test_neighbours_of_another_data_set(soundspot, checkpoint, catalogue, tmp_path) -> None:
    mined = soundspot(
        *MINE, tmp_path / "table", "--model", checkpoint, "--root", catalogue, "--k", 3, "--device", "cpu"
    )
    assert mined.code == 0, mined.err
    again = soundspot(
        *MINE, tmp_path / "table", "--model", checkpoint, "--root", catalogue, "--k", 3, "--device", "cpu"
    )
    refused(again, "table: exists already", "--overwrite")
    semantic = ("--views.semantic", "true", "--neighbors.table", tmp_path / "table", "--neighbors.k", 3)
    scenes = ("--data", '{"name": "scenes", "options": {"length": 8, "size": 64, "regenerate": false}}')
    said = refused(
        train(soundspot, catalogue, *semantic, *scenes), "made for another data set", "soundspot neighbors mine"
    )
    assert str(tmp_path / "table") in said


def test_neighbours_that_cannot_be_mined(soundspot, checkpoint, catalogue, tmp_path) -> None:
    def mine(*more: object):
        return soundspot(*MINE, tmp_path / "table", "--root", catalogue, "--device", "cpu", *more)

    refused(mine("--model", checkpoint, "--k", 8), "expected 1 to 7", "Lower `k`")
    refused(mine("--model", tmp_path / "none.safetensors"), "none.safetensors: no such checkpoint")
    refused(mine("--image-embeddings", "x.npy"), "give --image-embeddings and --audio-embeddings together")
    np.save(tmp_path / "few.npy", np.ones((5, 3), np.float32))
    few = ("--image-embeddings", tmp_path / "few.npy", "--audio-embeddings", tmp_path / "few.npy", "--k", 2)
    refused(mine(*few), "5 image and 5 audio embeddings for a data set of 8 samples")
    (tmp_path / "text.npy").write_text("no array")
    refused(mine(*few, "--image-embeddings", tmp_path / "text.npy"), "cannot be read as .npy")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_breaks_in_the_middle_of_a_run_is_named(soundspot, catalogue, picture, workers) -> None:
    """The run has begun and can go on by --resume once the file is mended, so its folder stays."""
    picture.write_bytes(picture.read_bytes()[:400])
    answer = train(soundspot, catalogue, "--train.workers", workers)
    assert answer.code == 2
    assert answer.err.startswith(f"soundspot: {picture}: found a broken or truncated image")
    assert answer.err.count("\n") == 1
    assert not list((catalogue.parent / "run").glob("*.safetensors"))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("scnes-single",), "unknown data set 'scnes-single'. Did you mean 'scenes-single'?"),
        (("scenes-single", "--protocol", "corected"), "unknown protocol 'corected'. Did you mean 'corrected'?"),
        (("catalog",), "needs a folder; give it as `root` (`--root FOLDER`)"),
        (
            ("scenes-single", "--options", '{"lenght": 3}'),
            "'scenes-single' has no option 'lenght'. Did you mean 'length'?",
        ),
        (
            ("scenes-single", "--options.distractors", "[1,2,3]"),
            "found distractors: [1, 2, 3], expected two whole numb",
        ),
        (("scenes-single", "--options.object_size", 0.3), "found object_size: 0.3, expected two numbers"),
    ],
    ids=["data", "protocol", "root", "options", "shape", "type"],
)
def test_an_evaluation_that_cannot_be_done(soundspot, checkpoint, flags, words) -> None:
    refused(soundspot("evaluate", *flags, "--model", checkpoint, "--device", "cpu"), words)


@pytest.mark.parametrize("size", [(10, 3000), (3000, 10)])
def test_the_starter_answers_a_strip_of_pixels_and_a_click_of_sound(soundspot, write, tmp_path, size) -> None:
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)).save(tmp_path / "strip.png")
    sound = write(noise(0.05, 16000))
    answer = soundspot("locate", tmp_path / "strip.png", sound, "-o", tmp_path / "out.png", "--boxes")
    assert answer.code == 0, answer.err
    assert "The sound lasts 0.05 s and was repeated to fill" in answer.out
    assert answer.written == {tmp_path / "out.png"}
    with Image.open(tmp_path / "out.png") as drawing:
        assert drawing.size == size[::-1]
