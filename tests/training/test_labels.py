"""Labels reach the batch from wherever the recipe says, and a method that needs them is told where it gets none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import soundspot
from soundspot.config.checkpoint import read_header
from soundspot.config.load import read_recipe
from soundspot.config.schema import LabelsConfig, NeighborsConfig, Recipe
from soundspot.data.datasets.registry import open_dataset
from soundspot.errors import DataError, RecipeError
from soundspot.methods import METHODS, Method
from soundspot.training.checks import check_label_source
from soundspot.training.fit import build_method
from soundspot.training.labels import LabelCallback
from soundspot.training.schedule import schedule_to_steps
from soundspot.types import Audio, AudioVisualDataset, GroundTruth


class Four(AudioVisualDataset):
    """Four clips; the second is of no category that anybody said."""

    name = "four"

    def __len__(self) -> int:
        return 4

    def id(self, index: int) -> str:
        return f"clip {index}"

    def category(self, index: int) -> str:
        return ("dog", "", "cat", "dog")[index]

    def read_image(self, index: int) -> Image.Image:
        return Image.new("RGB", (8, 8))

    def read_audio(self, index: int) -> Audio:
        return Audio(torch.zeros(8), 8)

    def ground_truth(self, index: int) -> GroundTruth:
        return GroundTruth(8, 8)

    group = id

    def at_epoch(self, epoch: int) -> "Four":
        return self


class Anew(Four):
    """Other clips in each epoch."""

    def __init__(self, epoch: int = 0) -> None:
        self.epoch = epoch

    def id(self, index: int) -> str:
        return f"clip {index} of {self.epoch}"

    def category(self, index: int) -> str:
        return "dog" if (index + self.epoch) % 2 else "cat"

    def at_epoch(self, epoch: int) -> "Anew":
        return Anew(epoch)


def recipe(**labels: Any) -> Recipe:
    return Recipe(labels=LabelsConfig(**labels), neighbors=NeighborsConfig(sampling="anchor"))


def label_callback(data: Any, folder: Path, **labels: Any) -> LabelCallback:
    return LabelCallback(data, recipe(**labels), folder, num_intervals=10, interval_steps=1)


ALL = np.arange(4)


def test_there_are_none_unless_asked_for(tmp_path: Path) -> None:
    none = label_callback(Four(), tmp_path)
    assert (none(ALL, 0), none.class_names, none.num_classes) == (None, (), 0)


def test_categories_are_one_hot_in_both_modalities_or_unknown(tmp_path: Path) -> None:
    known = label_callback(Four(), tmp_path, source="category", missing="unknown")
    assert known.class_names == ("cat", "dog")
    labels = known(ALL, 0)
    assert labels is not None
    assert labels.shape == (2, 4, 2)
    assert labels[:, [0, 2, 3]].tolist() == [[[0, 1], [1, 0], [0, 1]]] * 2
    assert labels[:, 1].isnan().all()
    with pytest.raises(DataError, match=r"four: clip 1 is of the category '', .*labels.missing: unknown"):
        label_callback(Four(), tmp_path, source="category")(ALL, 0)


@pytest.mark.parametrize("epoch", [0, 1])
def test_scenes_composed_anew_have_the_categories_of_their_epoch(epoch: int, tmp_path: Path) -> None:
    labels = label_callback(Anew(), tmp_path, source="category")(ALL, epoch)
    assert labels is not None
    assert labels[0].argmax(dim=1).tolist() == [(i + epoch) % 2 for i in range(4)]


def test_held_out_clips_have_the_classes_of_the_training_set(tmp_path: Path) -> None:
    known = label_callback(Anew(), tmp_path, source="category", missing="unknown")
    held_out = known.for_dataset(Four())(ALL, 0)
    assert held_out is not None
    assert held_out[0, [0, 2, 3]].tolist() == [[0, 1], [1, 0], [0, 1]]


def test_a_set_without_categories_is_refused(tmp_path: Path) -> None:
    class Mute(Four):
        def category(self, index: int) -> str:
            return ""

    with pytest.raises(DataError, match=r"no two categories, .*give a table instead"):
        label_callback(Mute(), tmp_path, source="category")


def test_a_table_labels_the_clips_of_its_ids(tmp_path: Path) -> None:
    lines = [f"clip {i},both,{'dog' if i % 2 else 'cat'},0.5" for i in range(3)]
    (tmp_path / "l.csv").write_text("\n".join(["id,modality,class,probability", *lines]))
    source = str(tmp_path / "l.csv")
    with pytest.raises(DataError, match="1 of 4 clips lack a row"):
        label_callback(Four(), tmp_path, source=source)
    table = label_callback(Four(), tmp_path, source=source, missing="unknown")
    labels = table(np.array([3, 1]), 7)
    assert labels is not None
    assert labels[:, 1].tolist() == [[0, 0.5]] * 2
    assert labels[:, 0].isnan().all()
    with pytest.raises(RecipeError, match=r"a table of labels need.* composed anew .*`regenerate: false`"):
        label_callback(Anew(), tmp_path, source=source)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"source": "clusters"}, "expected both `source: clusters` and the shares"),
        ({"cluster_schedule": (0.5,)}, "labels.source is 'none' and labels.cluster_schedule .0.5."),
        ({"source": "clusters", "cluster_schedule": (1.0,)}, "labels.cluster_schedule: found .1.0., expected shares"),
        ({"num_clusters": 1}, "labels.num_clusters: found 1, expected 2 or more"),
    ],
)
def test_a_recipe_of_labels_that_cannot_be_meant_is_refused(labels: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        LabelsConfig(**labels)


def test_a_source_that_is_neither_a_word_nor_a_file_is_told_before_all_else(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"labels.source: found 'categories', .*Did you mean 'category'"):
        label_callback(Anew(), tmp_path, source="categories")


def test_clusters_need_a_set_that_stays_the_same(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"clusters need a data set that stays the same, and four is composed anew"):
        label_callback(Anew(), tmp_path, source="clusters", num_clusters=2, cluster_schedule=(0.5,))
    with pytest.raises(DataError, match="found 4 samples for 11 clusters"):
        label_callback(Four(), tmp_path, source="clusters", cluster_schedule=(0.5,))


SCENES = {"length": 12, "size": 32, "seconds": 0.5, "categories": 4, "regenerate": False, "distractors": (0, 0)}


def test_clusters_are_made_when_due_and_taken_once(tmp_path: Path) -> None:
    """A resumed run finds those in force in its folder; the method takes them where it has not yet."""
    pytest.importorskip("sklearn", reason="the extra `clusters` is not installed")
    data = open_dataset("scenes", **SCENES)
    small = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}
    method = soundspot.create("ezvsl", image=small, audio=small)
    took: list[torch.Tensor] = []
    method.set_cluster_centers = took.append
    given = {"source": "clusters", "num_clusters": 3, "cluster_schedule": (0.2, 0.5)}
    one = label_callback(data, tmp_path, **given)
    index = np.array([3, 1, 9])
    assert one.num_classes == 3
    one.refresh(method, 1)
    assert (one(index, 0), took) == (None, [])
    one.refresh(method, 2)
    one.refresh(method, 3)
    assert len(took) == 1
    assert took[0].shape == (3, method.embed_images(torch.zeros(1, 3, 32, 32)).shape[1])
    labels = one(index, 5)
    assert labels is not None
    assert labels.sum(dim=-1).tolist() == [[1.0] * 3] * 2
    assert one.for_dataset(open_dataset("scenes-single", length=4))(index, 0) is None, (
        "held-out clips are in no cluster"
    )
    state = one.state_dict()
    one.refresh(method, 5)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clusters-00000002", "clusters-00000005"]

    again = label_callback(data, tmp_path, **given)
    again.load_state_dict(state)
    again.refresh(method, 4)
    assert torch.equal(again(index, 0), labels)
    assert len(took) == 2, "the method of that step has them already"
    again.refresh(method, 5)
    assert torch.equal(took[2], took[1])


SHORT = ["--data.options.length", "4", "--data.options.categories", "6", "--train.batch_size", "2"]


def test_training_writes_the_names_of_the_classes_into_the_checkpoint(tmp_path: Path) -> None:
    debug = read_recipe("ezvsl/debug", ["--train.epochs", "1", "--labels.source", "category", *SHORT])
    header = read_header(soundspot.train(debug, tmp_path, progress=False))
    assert len(header["classes"]) == 6
    assert header["classes"] == sorted(header["classes"])


def test_a_broken_run_goes_on_with_its_clusters_to_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Broken off in the leg after clusters were made, and again in the second stage."""
    pytest.importorskip("sklearn", reason="the extra `clusters` is not installed")
    from soundspot.training.lightning_module import LocalizationModule

    more = [
        "--data.options.length",
        "16",
        "--train.batch_size",
        "4",
        "--train.epochs",
        "2",
        "--train.checkpoint_every_n_steps",
        "2",
    ]
    asked = read_recipe("dsol/debug", [*more, "--labels.num_clusters", "3", "--labels.cluster_schedule", "[0.0, 0.4]"])
    soundspot.train(asked, tmp_path / "whole", progress=False)

    step, broken = LocalizationModule.training_step, [5, 7]

    def once(task: LocalizationModule, raw_batch: Any, batch_idx: int) -> torch.Tensor:
        if broken and task.global_step == broken[0]:
            broken.pop(0)
            raise RecipeError("broken off")
        return step(task, raw_batch, batch_idx)

    monkeypatch.setattr(LocalizationModule, "training_step", once)
    for attempt in range(2):
        with pytest.raises(RecipeError, match="broken off"):
            soundspot.train(asked, tmp_path / "broken", resume=attempt > 0, progress=False)
    soundspot.train(asked, tmp_path / "broken", resume=True, progress=False)
    assert sorted(p.name for p in (tmp_path / "broken").glob("clusters-*")) == [
        "clusters-00000000",
        "clusters-00000004",
    ]
    ours, theirs = (load_file(tmp_path / name / "last.safetensors") for name in ("broken", "whole"))
    assert int(ours["stage"]) == 2
    assert not [name for name in ours if not torch.equal(ours[name], theirs[name])]


@pytest.fixture
def needy(monkeypatch: pytest.MonkeyPatch) -> type[Method]:
    """A method that learns from labels."""

    class Needy(Method):
        name = "needy"
        learns_from = "labels"

        def __init__(self, classes: int = 5, **encoders: Any) -> None:
            super().__init__(**encoders)
            self.classes = classes

    monkeypatch.setitem(METHODS._entries, "needy", Needy)  # type: ignore[attr-defined]
    return Needy


def test_a_method_without_the_labels_that_it_learns_from_is_refused_with_the_remedies(needy: type[Method]) -> None:
    asked = replace(recipe(), method={"name": "needy"})
    for source in ("category", "labels.csv"):
        check_label_source(replace(asked, labels=LabelsConfig(source=source)))
    check_label_source(replace(asked, labels=LabelsConfig(source="clusters", cluster_schedule=(0.0, 0.5))))
    with pytest.raises(
        RecipeError, match=r"'needy' learns from class labels, and labels.source is 'none'.*soundspot pseudo-label"
    ):
        check_label_source(asked)
    with pytest.raises(RecipeError, match=r"there are none before 0\.5 of the training"):
        check_label_source(replace(asked, labels=LabelsConfig(source="clusters", cluster_schedule=(0.5,))))
    needy.learns_from = "clusters"
    with pytest.raises(RecipeError, match=r"learns from clusters of its own features, and labels.source is 'category'"):
        check_label_source(replace(asked, labels=LabelsConfig(source="category")))


def test_a_class_head_has_the_labels_classes(needy: type[Method]) -> None:
    asked = replace(recipe(), method={"name": "needy"}, front_end=read_recipe("ezvsl/debug").front_end)
    assert build_method(asked, 7).config["classes"] == 7
    assert build_method(replace(asked, method={"name": "needy", "classes": 7}), 7).classes == 7
    with pytest.raises(RecipeError, match=r"method\.classes is 6, and the labels have 7 classes; leave it out"):
        build_method(replace(asked, method={"name": "needy", "classes": 6}), 7)


def test_what_comes_too_late_is_refused_before_training(tmp_path: Path) -> None:
    """Shares count from the beginning of the next leg; later than the last one, or in a second stage, none are made."""
    pytest.importorskip("sklearn", reason="the extra `clusters` is not installed")
    short = [
        "--data.options.length",
        "16",
        "--train.batch_size",
        "4",
        "--train.epochs",
        "5",
        "--labels.num_clusters",
        "3",
    ]
    for more, told in (
        (
            ["--labels.cluster_schedule", "[0.9]"],
            r"labels\.cluster_schedule: found 0\.9.*the last one but the end at 0\.8 of the run",
        ),
        (
            ["--labels.cluster_schedule", "[0.0, 0.8]", "--method.second_stage_start", "0.5"],
            r"would be made at step 16 of 20.*none after 0\.5",
        ),
    ):
        with pytest.raises(RecipeError, match=told):
            soundspot.train(read_recipe("dsol/debug", [*short, *more]), tmp_path / "run", progress=False)
        assert not (tmp_path / "run").exists()
    assert schedule_to_steps("labels.cluster_schedule", (0.0, 0.1, 0.25, 0.5), num_intervals=4, interval_steps=10) == [
        0,
        10,
        10,
        20,
    ]


def test_a_table_without_a_common_class_cannot_be_matched(tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    rows = [f"clip {i},image,cat,1\nclip {i},audio,Meow,1" for i in range(4)]
    table.write_text("id,modality,class,probability\n" + "\n".join(rows) + "\n")
    made = label_callback(Four(), tmp_path, source=str(table))
    made.check_compatible(METHODS["lcbm"], total_steps=10)
    with pytest.raises(RecipeError, match=r"no class in common.*--groups"):
        made.check_compatible(METHODS["coarsetofine"], total_steps=10)
    table.write_text(table.read_text().replace("Meow", "cat"))
    label_callback(Four(), tmp_path, source=str(table)).check_compatible(METHODS["coarsetofine"], total_steps=10)


def test_held_out_clips_have_no_clusters_to_select_by() -> None:
    more = [
        "--labels.source",
        "clusters",
        "--labels.cluster_schedule",
        "[0.0]",
        "--validation.data",
        '{"name": "scenes"}',
    ]
    with pytest.raises(RecipeError, match="held-out samples have no clusters"):
        check_label_source(read_recipe("lcbm/debug", more))
    check_label_source(read_recipe("lcbm/debug", [*more, "--validation.metric", "ciou_adaptive"]))
