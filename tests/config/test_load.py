"""A recipe says what it means: what is misspelt, of the wrong type or against the rules is refused with a remedy."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from conftest import ROOT
from soundspot.config.frontend import PRESETS
from soundspot.config.load import build_recipe, find_yaml, list_recipe_keys, read_recipe, read_recipe_values
from soundspot.config.schema import FrontEndConfig, NeighborsConfig, Recipe, ViewsConfig
from soundspot.errors import RecipeError

RECIPES = sorted((ROOT / "recipes").glob("*/*.yaml"))
PLAIN = "method: {name: alignment}\nviews: {semantic: false}\n"

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to_file(text: str) -> Path:
        (tmp_path / "mine.yaml").write_text(text)
        return tmp_path / "mine.yaml"

    return to_file


def refused(path: Path, *overrides: str) -> str:
    with pytest.raises(RecipeError) as error:
        read_recipe(path, overrides)
    said = str(error.value)
    assert said.startswith(str(path)), "the message names the file"
    return said


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recipe_of_the_library_parses_and_says_how_it_is_run(path: Path) -> None:
    recipe = read_recipe(path)
    recipe.front_end.build()
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any("soundspot train" in line for line in header), "no command in the header"
    assert any("Cost:" in line for line in header), "no cost in the header"


def test_a_recipe_of_the_library_is_found_by_name() -> None:
    assert find_yaml("alignment/debug") == ROOT / "recipes" / "alignment" / "debug.yaml"
    with pytest.raises(RecipeError, match=r"no such recipe, .*Did you mean 'alignment/debug'\?"):
        read_recipe("alignment/debgu")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.yaml: no such recipe"):
        read_recipe(tmp_path / "none.yaml")


def test_a_recipe_written_out_is_the_same_recipe(write: Write) -> None:
    recipe = read_recipe(RECIPES[0])
    plain = yaml.safe_dump(_lists(recipe.as_dict()))
    assert read_recipe(write(plain)) == recipe


def _lists(value: object) -> object:
    if isinstance(value, dict):
        return {key: _lists(one) for key, one in value.items()}
    return [_lists(one) for one in value] if isinstance(value, tuple) else value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: {lrr: 0.1}", "unknown key 'train.lrr'. Did you mean 'lr'?"),
        ("trian: {lr: 0.1}", "unknown key 'trian'. Did you mean 'train'?"),
        ("batch_size: 3", "unknown key 'batch_size'. Did you mean 'train.batch_size'?"),
        ("validation: {data: {nam: scenes}}", "unknown key 'validation.data.nam'. Did you mean 'name'?"),
        ("views: {augmentation: {scales: [0.1, 1]}}", "unknown key 'views.augmentation.scales'. Did you mean 'scale'?"),
        ("train: {xyz: 1}", "unknown key 'train.xyz'. There are: accumulate, batch_size, checkpoint_every_n_steps"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(write: Write, text: str, said: str) -> None:
    assert said in refused(write(PLAIN + text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {leg: 3}", "`train.leg` is now `train.checkpoint_every_n_steps`"),
        ("neighbours: {k: 3}", "`neighbours` is now `neighbors`"),
        ("select: {every: 3}", "`select` is now `validation`"),
        ("validation: {every: 3}", "`validation.every` is now `validation.every_n_checkpoints`"),
    ],
)
def test_an_old_key_is_answered_with_the_new_one(write: Write, text: str, message: str) -> None:
    assert message in refused(write(PLAIN + text))


@pytest.mark.parametrize("flag", ["--train.lrr", "--train.lrr=0.5", "--trian.lr", "--lr"])
def test_an_unknown_override_is_refused_too(write: Write, flag: str) -> None:
    said = refused(write(PLAIN), flag, *([] if "=" in flag else ["0.5"]))
    assert "unknown key" in said
    assert "Did you mean" in said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: {lr: high}", "train.lr: Expected a float. Got value: high"),
        ("train: {batch_size: 2.5}", "train.batch_size: Expected a int. Got value: 2.5"),
        ("train: {optimizer: lion}", "train.optimizer: Expected one of ['adam', 'adamw', 'sgd']. Got value: lion"),
        ("method: alignment", "method"),
        ("neighbors: {mining_schedule: often}", "neighbors.mining_schedule"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(write: Write, text: str, said: str) -> None:
    assert said in refused(write("views: {semantic: false}\n" + text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "found nothing, expected `key: value` lines"),
        ("just text", "found 'just text', expected `key: value` lines"),
        ("- 1\n- 2", "found [1, 2], expected `key: value` lines"),
        ("a: [1,", "found no valid YAML"),
    ],
)
def test_what_is_no_recipe_is_refused(write: Write, text: str, said: str) -> None:
    assert said in refused(write(text))


@pytest.mark.parametrize("word", ["on", "off", "yes", "no"])
def test_a_key_that_yaml_takes_for_a_boolean_is_refused(write: Write, word: str) -> None:
    said = refused(write(PLAIN + f"train: {{{word}: 3}}"))
    assert "YAML reads on, off, yes and no as booleans" in said


def test_no_key_of_ours_is_one_that_yaml_takes_for_a_boolean() -> None:
    words = {word for key in list_recipe_keys() for word in key.split(".")}
    assert all(yaml.safe_load(word) == word for word in words)


def test_semantic_views_need_neighbours(write: Write) -> None:
    said = refused(write("method: {name: alignment}"))
    assert "views.semantic is on, but there are no neighbors" in said
    assert "neighbors.table" in said
    with pytest.raises(RecipeError, match=r"both a `table` and a `mining_schedule`.*--neighbors.mining_schedule \[\]"):
        Recipe(neighbors=NeighborsConfig(table="somewhere", mining_schedule=(0.5,)))
    for remedy in ("{table: somewhere}", "{mining_schedule: [0.5]}", "{sampling: anchor}"):
        read_recipe(write(f"method: {{name: alignment}}\nneighbors: {remedy}"))


def test_a_method_needs_a_name(write: Write) -> None:
    assert "no `name` in {'tau': 0.1}" in refused(write("method: {tau: 0.1}\nviews: {semantic: false}"))


def test_nothing_is_selected_on_a_test_split(write: Write) -> None:
    text = PLAIN + "validation: {data: {name: catalog, options: {split: test}}}"
    assert "this is a test split, and nothing is selected on one; use the split `val`" in refused(write(text))
    read_recipe(write(text.replace("split: test", "split: val")))


def test_overrides_reach_every_depth(write: Write) -> None:
    path = write(PLAIN + "data: {name: scenes, options: {length: 5, size: 64}}")
    flags = [
        "--train.lr",
        "0.5",
        "--method.tau=0.2",
        "--data.options.length",
        "7",
        "--neighbors.mining_schedule",
        "[0.1, 0.4]",
    ]
    flags += [
        "--views.augmentation.scale",
        "[0.5, 1.0]",
        "--validation.data.name",
        "scenes-single",
        "--image.width",
        "8",
    ]
    recipe = read_recipe(path, flags)
    assert recipe.train.lr == 0.5
    assert recipe.method == {"name": "alignment", "tau": 0.2}
    assert recipe.data.options == {"length": 7, "size": 64}
    assert recipe.neighbors.mining_schedule == (0.1, 0.4)
    assert recipe.views.augmentation.scale == (0.5, 1.0)
    assert recipe.validation.data is not None
    assert recipe.validation.data.name == "scenes-single"
    assert recipe.image["width"] == 8


def test_numbers_may_be_written_as_people_write_them(write: Write) -> None:
    """1e-3 has no point, so YAML 1.1 calls it text."""
    assert read_recipe(write(PLAIN + "train: {lr: 1e-3}")).train.lr == 1e-3


def test_a_front_end_is_a_preset_and_what_differs() -> None:
    assert FrontEndConfig("ezvsl").build() == PRESETS["ezvsl"]
    assert FrontEndConfig("alignment", resize="squash-tensor").build() == PRESETS["alignment"]
    assert FrontEndConfig().build().image.resize == "squash", "pictures are resized afterwards as they are in training"
    spec = FrontEndConfig("alignment", size=96, seconds=1.5, hop=200).build()
    assert (spec.image.size, spec.audio.seconds, spec.audio.hop) == (96, 1.5, 200)
    assert spec.audio.clip_seconds is None, "a window of another length is cut from the whole sound"
    for wrong in ("ezvls", "clip+ezvls"):
        with pytest.raises(RecipeError, match=r"front_end\.preset: unknown front end 'ezvls'\. Did you mean 'ezvsl'\?"):
            FrontEndConfig(wrong).build()


def test_a_hop_of_waveforms_is_refused() -> None:
    assert FrontEndConfig(preset="ezvsl", hop=80).build().audio.hop == 80
    with pytest.raises(
        RecipeError, match=r"front_end\.hop: found 80 for 'denseav', which takes waveforms .* Leave it out"
    ):
        FrontEndConfig(preset="ezvsl+denseav", hop=80).build()


def test_a_front_end_takes_the_picture_of_one_preset_and_the_sound_of_another() -> None:
    spec = FrontEndConfig("clip+ast").build()
    assert (spec.image, spec.audio) == (PRESETS["clip"].image, PRESETS["ast"].audio)


@pytest.mark.parametrize(
    ("multi_view", "semantic", "modalities", "images", "sounds"),
    [
        (True, True, "both", "plain augmented neighbour", "plain augmented neighbour"),
        (True, True, "image", "plain augmented neighbour", "plain"),
        (True, True, "audio", "plain", "plain augmented neighbour"),
        (True, False, "both", "plain augmented", "plain augmented"),
        (False, True, "both", "plain neighbour", "plain neighbour"),
        (False, False, "both", "plain", "plain"),
    ],
)
def test_the_ablations_of_views(multi_view: bool, semantic: bool, modalities: str, images: str, sounds: str) -> None:
    """Tables VIII to XII: each view by itself, in both modalities or in one alone."""
    views = ViewsConfig(multi_view=multi_view, semantic=semantic, modalities=modalities)
    assert views.view_names("image") == tuple(images.split())
    assert views.view_names("audio") == tuple(sounds.split())


SCENES = sorted((ROOT / "recipes").glob("*/scenes.yaml"))


@pytest.mark.parametrize("path", SCENES, ids=lambda path: path.parent.name)
def test_scenes_are_learned_alike(path: Path) -> None:
    """What `make table` compares has one pair of encoders, the same scenes and as many steps."""
    recipe, other = read_recipe(path), read_recipe("alignment/scenes")
    assert (recipe.image, recipe.audio) == (other.image, other.audio)
    assert (recipe.data.name, recipe.data.options.get("length")) == (other.data.name, other.data.options["length"])
    assert (recipe.front_end.size, recipe.front_end.seconds) == (other.front_end.size, other.front_end.seconds)
    for key in ("epochs", "batch_size", "schedule", "warmup", "precision", "seed"):
        assert getattr(recipe.train, key) == getattr(other.train, key), key


def test_plain_values_make_the_recipe_of_their_file() -> None:
    for name in ("nowhere/starter", "hardpos/scenes"):
        assert build_recipe(read_recipe_values(name), "mine") == read_recipe(name)
    with pytest.raises(RecipeError, match=r"^mine: unknown key 'train.rate'"):
        build_recipe({"train": {"rate": 1}}, "mine")
    with pytest.raises(RecipeError, match=r"^mine: .*train.lr"):
        build_recipe({"train": {"lr": "x"}}, "mine")
