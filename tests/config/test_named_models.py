"""Models by name: found, described, or said to be missing."""

from pathlib import Path

import pytest

import soundspot
from soundspot.config import named_models
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.config.named_models import find_checkpoint, is_named_model
from soundspot.errors import CheckpointError, InputError
from soundspot.methods import create

SMALL = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}
CARD = {"license": "CC0", "categories": ["dog", "bell"], "scores": {"test": 0.5}}


@pytest.fixture
def starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small model in the place of the starter; the working directory is its folder."""
    path = tmp_path / "package" / "starter.safetensors"
    path.parent.mkdir()
    front_end = InputSpec(ImageSpec(size=32), AudioSpec(seconds=0.5))
    save_checkpoint(create("alignment", image=SMALL, audio=SMALL, front_end=front_end), path, card=CARD)
    monkeypatch.setitem(named_models.NAMED_MODELS, "starter", path)
    monkeypatch.chdir(tmp_path)
    return path


def test_the_starter_is_what_is_loaded_where_nothing_is_named(starter: Path) -> None:
    for localizer in (soundspot.load(), soundspot.load("starter")):
        assert localizer.checkpoint == str(starter)
        assert localizer.model_name == "starter"
    assert soundspot.load(starter).model_name == ""


def test_a_model_says_what_it_is(starter: Path) -> None:
    model = soundspot.list_models()["starter"]
    assert model.is_on_disk
    assert model.num_bytes == starter.stat().st_size
    assert model.card == CARD
    starter.unlink()
    assert (model.is_on_disk, model.num_bytes, model.card) == (False, 0, {})


def test_a_model_that_is_missing_in_the_package(starter: Path) -> None:
    starter.unlink()
    with pytest.raises(CheckpointError, match=r"starter.safetensors: cannot be read .* is not complete. .*reinstall"):
        soundspot.load()


@pytest.mark.parametrize(
    ("name", "meant"),
    [("strater", "'starter'"), ("deom", "'runs/demo/best.safetensors'"), ("min", "'mine.safetensors'")],
)
def test_a_wrong_name(name: str, meant: str, starter: Path) -> None:
    Path("runs/demo").mkdir(parents=True)
    Path("runs/demo/best.safetensors").touch()
    Path("mine.safetensors").touch()
    with pytest.raises(InputError) as error:
        soundspot.load(name)
    assert str(error.value) == (
        f"found no model {name!r}, expected a name (`soundspot models`) or a .safetensors file. Did you mean {meant}?"
    )
    with pytest.raises(
        InputError, match=r"There are: starter, denseav-sound, .*, mine.safetensors, runs/demo/best.safetensors\.$"
    ):
        soundspot.load("xyz123")


@pytest.mark.parametrize("name", ["none.safetensors", "runs/none", Path("starter")])
def test_a_path_is_a_path(name: str | Path, starter: Path) -> None:
    assert not is_named_model(name)
    assert find_checkpoint(name) == Path(name)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        soundspot.load(name)


def test_a_file_without_suffix_is_a_file(starter: Path) -> None:
    starter.rename("model")
    assert soundspot.load("model").checkpoint == str(Path("model").absolute())


def test_a_released_model_has_a_name_and_no_checkpoint_here() -> None:
    assert is_named_model("denseav-language@demo")
    with pytest.raises(
        CheckpointError, match=r"denseav-sound: found no checkpoint.*hub \(mhamilton723/DenseAV-sound\).*, or starter$"
    ):
        find_checkpoint("denseav-sound")
    with pytest.raises(InputError, match=r"Did you mean 'denseav-sound'\?"):
        soundspot.load("denseav-sond")
