"""Outlines read from the source have the options of what they are of."""

import pytest

from soundspot.cli import recipe_help
from soundspot.data.datasets import registry
from soundspot.data.datasets.registry import list_dataset_options, list_datasets
from soundspot.methods import METHODS
from soundspot.models.encoders import ENCODERS
from soundspot.utils.outlines import Unknown, read_outline
from soundspot.utils.signatures import format_options, read_options


def test_data_sets_have_the_same_options_by_their_outlines(monkeypatch: pytest.MonkeyPatch) -> None:
    built_in = [name for name in list_datasets() if isinstance(registry._DATASETS[name][1], str)]
    expected = {name: format_options(list_dataset_options(name)) for name in built_in}
    monkeypatch.setattr(registry, "load_outline", read_outline)
    assert {name: format_options(list_dataset_options(name)) for name in built_in} == expected


@pytest.mark.parametrize(("package", "entries"), [("methods", METHODS), ("models", ENCODERS)])
def test_methods_and_encoders_have_the_same_options_by_their_outlines(package: str, entries: dict) -> None:
    outlines = {name: recipe_help.find_outline(package, name) for name in entries}
    for name, outline in outlines.items():
        if outline is not None:
            entry = getattr(entries[name], "func", entries[name])
            assert outline is not entry
            assert format_options(read_options(outline)) == format_options(read_options(entry)), name
    assert sum(outline is not None for outline in outlines.values()) >= 7
    assert recipe_help.find_outline(package, "no( name") is None


def test_what_is_of_another_package_is_unknown() -> None:
    assert read_outline("soundspot.types", "Tensor") is Unknown
    assert read_outline("soundspot.types", "no_such_name") is Unknown
    assert read_outline("soundspot.types", "len") is len
