"""`soundspot label` with small random classifiers in place of those of the hub."""

from pathlib import Path

import pytest
import torch

from soundspot.cli.main import main
from soundspot.data.datasets.labels import read_labels
from soundspot.errors import DataError, RecipeError
from soundspot.inference.mining.classify import Classifier, read_class_groups, sum_group_probabilities
from soundspot.scenes import open_scenes, write_catalog

transformers = pytest.importorskip("transformers", reason="the extra `hub` is not installed")

SEEN, HEARD = ["dog", "cat", "lamp"], ["Bark", "Meow", "Purr"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A ViT and an AST of one layer, saved as the hub's files are."""
    seeing, hearing = (tmp_path_factory.mktemp(name) for name in ("seeing", "hearing"))
    torch.manual_seed(0)
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    named = [
        {"id2label": dict(enumerate(names)), "label2id": {n: i for i, n in enumerate(names)}} for names in (SEEN, HEARD)
    ]
    vit = transformers.ViTConfig(**small, image_size=32, patch_size=8, **named[0])
    transformers.ViTForImageClassification(vit).save_pretrained(seeing)
    ast = transformers.ASTConfig(
        **small, num_mel_bins=32, max_length=64, problem_type="multi_label_classification", **named[1]
    )
    transformers.ASTForAudioClassification(ast).save_pretrained(hearing)
    transformers.ASTFeatureExtractor(num_mel_bins=32, max_length=64).save_pretrained(hearing)
    return str(seeing), str(hearing)


def label(folders: tuple[str, str], out: Path, *more: str) -> int:
    options = '{"length": 5, "size": 32, "seconds": 0.5}'
    said = [
        "pseudo-label",
        "scenes",
        "--image-classifier",
        folders[0],
        "--audio-classifier",
        folders[1],
        "-o",
        str(out),
    ]
    return main([*said, "--options", options, *more])


def test_every_clip_gets_a_row_of_each_modality(folders: tuple[str, str], tmp_path: Path) -> None:
    assert label(folders, tmp_path / "l.csv") == 0
    rows = read_labels(tmp_path / "l.csv")
    assert {row.class_name for row in rows if row.modality == "image"} <= set(SEEN)
    assert {row.class_name for row in rows if row.modality == "audio"} <= set(HEARD)
    for modality, total in (("image", 1.0), ("audio", None)):
        for id in {row.id for row in rows}:
            mine = [row.probability for row in rows if (row.id, row.modality) == (id, modality)]
            assert mine
            assert total is None or sum(mine) == pytest.approx(total, abs=0.03)
    assert len({row.id for row in rows}) == 5
    assert label(folders, tmp_path / "l.csv") == 2, "not overwritten unasked"


def test_one_modality_alone_may_be_labelled_but_not_none(folders: tuple[str, str], tmp_path: Path, capsys) -> None:
    said = ["pseudo-label", "scenes", "--options", '{"length": 3, "size": 32}', "-o", str(tmp_path / "l.csv")]
    assert main(said) == 2
    assert "give --image-classifier, --audio-classifier, or both" in capsys.readouterr().err
    assert main([*said, "--image-classifier", folders[0]]) == 0
    assert {row.modality for row in read_labels(tmp_path / "l.csv")} == {"image"}


def test_a_picture_that_cannot_be_read_costs_no_other(folders: tuple[str, str], tmp_path: Path, capsys) -> None:
    write_catalog(open_scenes("scenes", length=6, size=32, seconds=0.3), tmp_path / "set", False)
    spoilt = next((tmp_path / "set").rglob("*.png"))
    spoilt.write_bytes(b"")
    said = ["pseudo-label", "catalog", "--root", str(tmp_path / "set"), "-o", str(tmp_path / "l.csv")]
    assert main([*said, "--image-classifier", folders[0]]) == 0
    told = capsys.readouterr().out
    assert "could not be read and have no label" in told
    assert spoilt.name in told
    assert {row.id for row in read_labels(tmp_path / "l.csv")}


def test_classes_are_counted_as_groups(folders: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text("class,group\ndog,dog\nBark,dog\ncat,cat\nMeow,cat\nPurr,cat\n")
    assert label(folders, tmp_path / "l.csv", "--groups", str(tmp_path / "g.csv")) == 0
    assert {row.class_name for row in read_labels(tmp_path / "l.csv")} == {"dog", "cat"}


def test_a_groups_probability() -> None:
    probable = torch.tensor([[0.5, 0.3, 0.2]])
    groups = {"Meow": "cat", "Purr": "cat", "Bark": "dog", "dog": "dog"}
    for many, cat in ((False, 0.5), (True, 0.3)):
        found, names = sum_group_probabilities(probable, HEARD, groups, many)
        assert names == ["cat", "dog"]
        torch.testing.assert_close(found, torch.tensor([[cat, 0.5]]))
    assert sum_group_probabilities(probable, SEEN, {"cat": "cat", "Bark": "dog"}, False)[0].tolist() == [
        [pytest.approx(0.3), 0.0]
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dog,dog\n", "expected the header class,group"),
        ("class,group\ndgo,dog\n", "line 2: no classifier has the class 'dgo'. Did you mean 'dog'"),
        ("class,group\ndog,dog\ndog,cat\n", "line 3: found .* expected a class that no other line has"),
        ("class,group\ndog\n", "line 2"),
        ("class,group\n" + "x" * 200_000, "no groups can be read .field larger than"),
    ],
)
def test_groups_that_are_wrong_are_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "g.csv").write_text(text)
    with pytest.raises(DataError, match=said):
        read_class_groups(tmp_path / "g.csv", [*SEEN, *HEARD])


def test_probabilities_are_of_one_class_or_of_each_by_itself(folders: tuple[str, str]) -> None:
    from soundspot.data.datasets.registry import open_dataset

    data = open_dataset("scenes", length=2, size=32, seconds=0.5)
    pictures = [data.read_image(i) for i in range(2)]
    together, each = (Classifier("image", folders[0], many)(pictures) for many in (None, True))
    torch.testing.assert_close(together.sum(dim=1), torch.ones(2))
    torch.testing.assert_close(torch.logit(each).softmax(dim=1), together, rtol=1e-4, atol=1e-5)
    assert Classifier("audio", folders[1]).multi_label, "as its configuration says"


def test_what_cannot_be_loaded_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        RecipeError, match=r"cannot be loaded as a classifier of audios .*name one on the hub or a folder"
    ):
        Classifier("audio", str(tmp_path / "none"))
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(RecipeError, match=r'needs transformers; install it with `pip install "soundspot\[hub\]"`'):
        Classifier("image", "any")
