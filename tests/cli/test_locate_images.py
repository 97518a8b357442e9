"""`soundspot locate FOLDER`: each image with one sound, or with that of its name; a bad file stops no other."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from schemas import check_output
from soundspot.cli.locate_images import ImageOptions, is_answer, print_known


@pytest.fixture
def folder(picture: Path, tmp_path: Path) -> Path:
    """Two images, one of them in a folder below, and a file that is no image."""
    (tmp_path / "in" / "below").mkdir(parents=True)
    for name in ("a.png", "below/b.png"):
        shutil.copy(picture, tmp_path / "in" / name)
    (tmp_path / "in" / "broken.jpg").write_text("no image")
    return tmp_path / "in"


def test_each_image_is_located_with_one_sound(soundspot, checkpoint, folder, sound, tmp_path) -> None:
    out = tmp_path / "out"
    line = ("locate", folder, sound, "--model", checkpoint, "-o", out)
    answer = soundspot(*line, "--boxes")
    assert answer.code == 2
    files = {path.relative_to(out).as_posix() for path in answer.written if path.is_file()}
    assert files == {"a.png", "a.json", "below/b.png", "below/b.json"}
    assert f"2 of 3 images are located, in {out}" in answer.out
    assert f"soundspot: {folder / 'broken.jpg'}: " in answer.err
    assert answer.err.splitlines()[-1] == f"not located: {folder / 'broken.jpg'}"
    (result,) = summaries = json.loads((out / "below" / "b.json").read_text())
    check_output(summaries, "results")
    assert (result["image"], result["sound"]) == (str(folder / "below" / "b.png"), str(sound))
    (folder / "broken.jpg").unlink()
    again = soundspot(*line)
    assert (again.code, again.written, again.out.count("done before")) == (0, frozenset(), 2)
    other = shutil.copy(sound, tmp_path / f"other{sound.suffix}")
    answer = soundspot("locate", folder, other, "--model", checkpoint, "-o", out)  # no answer to another question
    assert (answer.code, answer.written) == (2, frozenset())
    assert answer.err.count("is of another sound, model or option") == 2
    assert soundspot("locate", folder, other, "--model", checkpoint, "-o", out, "--overwrite").code == 0
    assert json.loads((out / "a.json").read_text())[0]["sound"] == str(other)


def test_each_image_is_located_with_the_sound_of_its_name(soundspot, checkpoint, folder, sound, tmp_path) -> None:
    (folder / "broken.jpg").unlink()
    shutil.copy(sound, folder / "below" / f"b{sound.suffix}")
    answer = soundspot("locate", folder, "--model", checkpoint, "-o", folder / "out", "--json")
    assert answer.code == 2
    (result,) = json.loads(answer.out)
    assert result["sound"] == str(folder / "below" / f"b{sound.suffix}")
    assert "a.png: found no sound of its name beside it" in answer.err
    assert answer.err.splitlines()[-1] == f"not located: {folder / 'a.png'}"


def test_summaries_of_other_options_are_no_answer(tmp_path: Path) -> None:
    entry = {"sound": "a.wav", "model_id": "1", "threshold": 0.5, "mask_threshold": "half"}
    (tmp_path / "a.json").write_text(json.dumps([entry]))
    options, localizer = ImageOptions("half"), SimpleNamespace(identity="1", threshold=0.5)
    assert is_answer(tmp_path / "a.json", ["a.wav"], options, localizer)
    for other in ({"mask_threshold": 0.5}, {"audio_track": 0}, {"per_source": True}, {"contour": "grabcut"}):
        assert not is_answer(tmp_path / "a.json", ["a.wav"], replace(options, **other), localizer)
    for model in (SimpleNamespace(identity="2", threshold=0.5), SimpleNamespace(identity="1", threshold=0.6)):
        assert not is_answer(tmp_path / "a.json", ["a.wav"], options, model)
    assert not is_answer(tmp_path / "a.json", ["b.wav"], options, localizer)


def test_where_there_is_no_source_it_is_said_what_the_model_knows(capsys: pytest.CaptureFixture) -> None:
    localizer = SimpleNamespace(known_categories=("cat", "dog"), display_name="starter", model_name="starter")
    print_known(localizer, is_absent=False)
    assert not capsys.readouterr().out
    print_known(localizer, is_absent=True)
    said = "starter knows 2 things (`soundspot models show starter`); of the sound of another its answer says little\n"
    assert capsys.readouterr().out == said
    for other in ({"known_categories": ()}, {"model_name": ""}):
        print_known(SimpleNamespace(**{**vars(localizer), **other}), is_absent=True)
    assert capsys.readouterr().out == said.replace(" (`soundspot models show starter`)", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--model", "none.safetensors"), "found 3 images and no sound, expected one after the folder"),
        (("x.wav", "--mask", "m.png"), "--mask, which applies to one image"),
        (("x.wav", "--smooth", "1"), "--smooth, which applies to a video"),
        (("x.wav",), "x.wav: found no such file"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(soundspot, checkpoint, folder, words, message) -> None:
    answer = soundspot("locate", folder, *words, *(() if "--model" in words else ("--model", checkpoint)))
    assert (answer.code, answer.written) == (2, frozenset())
    assert message in answer.err
    assert answer.err.count("\n") == 1


def test_two_images_of_one_name_and_a_folder_without_any(soundspot, folder, sound, tmp_path) -> None:
    (folder / "a.jpg").touch()
    assert "expected one name each" in soundspot("locate", folder, sound).err
    (tmp_path / "none").mkdir()
    assert "none: found no images" in soundspot("locate", tmp_path / "none", sound).err


def test_a_missing_or_exchanged_input_is_named_before_the_output(
    soundspot, checkpoint, picture, sound, tmp_path
) -> None:
    taken = tmp_path / "out.png"
    taken.touch()
    answer = soundspot("locate", tmp_path / "none.jpg", sound, "-o", taken)
    assert "none.jpg: found no such file" in answer.err
    answer = soundspot("locate", sound, picture, "--model", checkpoint, "-o", tmp_path / "new.png")
    assert "found an image" in answer.err
    assert "The image comes first, sounds after it" in answer.err


def test_contours_are_reported_beside_the_regions(soundspot, checkpoint, picture, sound, tmp_path) -> None:
    pytest.importorskip("cv2", reason="OpenCV is absent: grabcut is not tested")
    line = ("locate", picture, sound, "--model", checkpoint, "-o", tmp_path / "a.json", "--mask", tmp_path / "m.png")
    plain = soundspot(*line)
    region, before = (tmp_path / "m.png").read_bytes(), json.loads((tmp_path / "a.json").read_text())
    answer = soundspot(*line, "--contour", "grabcut", "--overwrite")
    assert (plain.code, answer.code) == (0, 0)
    assert (tmp_path / "m.png").read_bytes() == region
    assert (tmp_path / "m.contour.png").is_file()
    (after,) = summaries = json.loads((tmp_path / "a.json").read_text())
    check_output(summaries, "results")
    (contour,) = after["contours"]
    assert (after["contour"], after["boxes"]) == ("grabcut", before[0]["boxes"])
    assert contour["region_box"] in after["boxes"]
    assert "  contour: (" in answer.out
    assert "  contour: (" not in plain.out
    for words in (line, ("locate", tmp_path, "-o", tmp_path / "out")):
        other = soundspot(*words, "--contour", "grabcut", "--mask-threshold", "half", "--overwrite")
        assert (other.code, "found half beside --contour grabcut, which outlines the regions of 0.5" in other.err) == (
            2,
            True,
        )
    wrong = soundspot(*line, "--contour", "grabcat", "--overwrite")
    assert (wrong.code, "Did you mean 'grabcut'?" in wrong.err) == (2, True)
