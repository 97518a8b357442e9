"""A data set of one's own is opened as the library's are."""

from pathlib import Path

import pytest

from soundspot.config.frontend import InputSpec
from soundspot.data.datasets import registry
from soundspot.data.datasets.base import ClipDataset, SampleEntry
from soundspot.data.datasets.registry import fitting_options, open_dataset, register_dataset
from soundspot.errors import DataError, RecipeError


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is registered here is known to no other test."""
    monkeypatch.setattr(registry, "_DATASETS", registry._DATASETS.copy())


def birds(root: str | Path, split: str = "train") -> ClipDataset:
    return ClipDataset("birds", [SampleEntry("one", "one", "bird", f"{root}/1.png", f"{root}/1.wav")], split)


def test_it_opens_by_name_with_its_options() -> None:
    assert register_dataset("birds", "a bird")(birds) is birds
    opened = open_dataset("birds", "somewhere", split="val")
    assert (len(opened), opened.split, registry.list_datasets()["birds"]) == (1, "val", "a bird")


def test_its_options_and_its_folder_are_asked_for() -> None:
    register_dataset("birds", "a bird")(birds)
    with pytest.raises(RecipeError, match=r"has no option 'spilt'. Did you mean 'split'?"):
        open_dataset("birds", "somewhere", spilt="val")
    with pytest.raises(DataError, match=r"'birds' needs a folder; give it as `root` .`--root FOLDER`.. birds: a bird"):
        open_dataset("birds")


def test_a_folder_in_place_of_a_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=f"`catalog --root {tmp_path}`"):
        open_dataset(str(tmp_path))


def test_a_name_is_given_once() -> None:
    with pytest.raises(RecipeError, match="two data sets are named 'vggss'"):
        register_dataset("vggss", "mine")(birds)


def test_nothing_is_fitted_on_a_test_set_of_ones_own() -> None:
    register_dataset("birds", "test: a bird")(birds)
    with pytest.raises(RecipeError, match="nothing is fitted on a test set"):
        fitting_options("birds", InputSpec(), {})
