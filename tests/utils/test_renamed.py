"""An old name is answered with one that exists."""

import pytest

import soundspot
from soundspot.cli.main import COMMANDS, load_command, parse_command
from soundspot.cli.parser import build_parser
from soundspot.config.load import list_recipe_keys
from soundspot.data.datasets.registry import list_datasets
from soundspot.errors import InputError, RecipeError
from soundspot.methods import METHODS, create, method_options
from soundspot.utils import renamed


def test_new_commands_exist_and_old_ones_do_not() -> None:
    assert set(renamed.COMMANDS.values()) <= set(COMMANDS)
    assert not set(renamed.COMMANDS) & set(COMMANDS)


@pytest.mark.parametrize("command", [*filter(None, renamed.OPTIONS)])
def test_new_options_exist_and_old_ones_do_not(command: str) -> None:
    actions = build_parser(command, load_command(command))._actions
    names = {action.dest.replace("_", "-") for action in actions}
    flags = {flag.removeprefix("--") for action in actions for flag in action.option_strings}
    assert set(renamed.OPTIONS[command].values()) <= names
    assert not set(renamed.OPTIONS[command]) & flags


def test_old_public_names_and_options_that_are_gone_are_answered() -> None:
    assert set(renamed.NAMES.values()) <= set(soundspot.__all__)
    with pytest.raises(AttributeError, match="it is now 'LocalizationMap'"):
        soundspot.SoundMap  # noqa: B018
    with pytest.raises(InputError, match="--live is gone"):
        parse_command("locate", ["--live"])
    with pytest.raises(InputError, match="--checkpoint is now --model"):
        parse_command("locate", ["a.png", "b.wav", "--checkpoint", "c.safetensors"])


def test_new_keys_of_recipes_exist_and_old_ones_do_not() -> None:
    assert set(renamed.RECIPE_KEYS.values()) <= set(list_recipe_keys())
    assert not set(renamed.RECIPE_KEYS) & set(list_recipe_keys())


def test_an_old_option_of_a_method_is_answered_with_the_new_one() -> None:
    options = {option for method in METHODS.values() for option in method_options(method)}
    assert {"sigmoid_width", "second_stage_start", "foreground_threshold"} <= options
    assert "catalog" in list_datasets()
    with pytest.raises(RecipeError, match=r"has no option 'sharpness'\. It is called 'sigmoid_width' now\."):
        create("lvs", sharpness=0.1)
