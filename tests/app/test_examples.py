"""Which examples a page offers: photographs where the model knows real things, else what it was trained on."""

from pathlib import Path

from soundspot.app.components import render_header
from soundspot.app.examples import make_examples
from soundspot.app.layout import describe_model
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.named_models import NAMED_MODELS
from soundspot.inference.localizer import Localizer
from visitor import fresh


def titles(localizer: Localizer, checkpoint: Path, folder: Path) -> list[str]:
    localizer.checkpoint = str(checkpoint)
    examples = make_examples(localizer, folder)
    assert all(Path(file).is_file() for example in examples for file in (example.image, *example.audios))
    return [example.title for example in examples]


def test_the_starter_and_what_is_adapted_from_it_are_asked_of_photographs(tmp_path: Path) -> None:
    localizer = fresh(0)
    assert titles(localizer, NAMED_MODELS["starter"], tmp_path / "a") == ["cat", "eagle", "helicopter"]
    for name, header in (("mine", {"adapted": {"base": "starter"}}), ("other", {})):
        save_checkpoint(localizer.method, tmp_path / f"{name}.safetensors", **header)
    assert titles(localizer, tmp_path / "mine.safetensors", tmp_path / "b") == ["cat", "eagle", "helicopter"]
    assert titles(localizer, tmp_path / "other.safetensors", tmp_path / "c")[0] == "scene 1"
    first = make_examples(localizer, tmp_path / "d")[0]
    assert len(first.audios) == 2


def test_the_sounds_of_a_photograph_begin_with_its_own(tmp_path: Path) -> None:
    localizer = fresh(0)
    localizer.checkpoint = str(NAMED_MODELS["starter"])
    names = [[Path(file).name for file in example.audios] for example in make_examples(localizer, tmp_path)]
    assert [row[0] for row in names] == ["cat.flac", "crow.flac", "helicopter.flac"]
    assert {*map(len, names)} == {4}


def test_a_visitor_is_told_what_the_starter_knows() -> None:
    title, known, sentences = describe_model(Localizer.load())
    header = str(render_header(title, known, sentences))
    assert f"starter knows {len(known)} things" in header
    assert "big cat, bird" in header
    assert sentences == ()
    assert describe_model(fresh(0))[:2] == ("alignment", ())
