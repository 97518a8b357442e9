"""Tables of labels are read as written, refused where wrong, and handed out for any clips of a set."""

from pathlib import Path

import numpy as np
import pytest
import torch

from soundspot.data.datasets.labels import Label, build_class_table, read_labels, write_labels
from soundspot.errors import DataError

HEAD = "id,modality,class,probability\n"


def file(tmp_path: Path, text: str) -> Path:
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    return tmp_path / "labels.csv"


def test_a_table_is_read_and_written(tmp_path: Path) -> None:
    rows = read_labels(file(tmp_path, "\ufeff" + HEAD + 'a,both,dog,\n\nb,image,"a cat, black",0.25\nb,audio,dog,1\n'))
    assert rows == [Label("a", "both", "dog"), Label("b", "image", "a cat, black", 0.25), Label("b", "audio", "dog")]
    write_labels(rows, tmp_path / "again.csv")
    assert read_labels(tmp_path / "again.csv") == rows


def test_probabilities_and_any_order_of_columns(tmp_path: Path) -> None:
    assert read_labels(file(tmp_path, "class,id,modality\ndog,a,audio\n")) == [Label("a", "audio", "dog")]


def test_vggsounds_own_table_is_read_as_it_is(tmp_path: Path) -> None:
    rows = read_labels(file(tmp_path, '---g-f_I2yQ,1,"people, marching",test\n--0PQM4-hqg,30,waterfall,train\n'))
    assert rows == [
        Label("---g-f_I2yQ_000001", "both", "people, marching"),
        Label("--0PQM4-hqg_000030", "both", "waterfall"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"found the header '', expected id,modality,class,probability"),
        ("name,class\na,b\n", r"found the header 'name,class'"),
        (HEAD + "a,both,dog,1\na,ear,dog,1\n", r"line 3: found 'a,ear,dog,1', expected an id, image, audio or both"),
        (HEAD + "a,both,dog,2\n", r"line 2: .*a probability from 0 to 1"),
        (HEAD + "a,both,dog,nan\n", r"line 2: .*a probability from 0 to 1"),
        (HEAD + "a,both,dog,much\n", r"line 2: .*a probability from 0 to 1"),
        ("--0PQM4-hqg,30,waterfall,train\n--0PQM4-hqg\n", r"line 2: found '--0PQM4-hqg', expected a YouTube id"),
        (HEAD + "a,both\n", r"line 2: found 'a,both,,'"),
        ("id,modality,class\na,both,dog, barking\n", r"line 2: found 4 cells, expected the 3 .*comma in quotes"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(DataError, match=rf"labels\.csv: {said}"):
        read_labels(file(tmp_path, text))


def test_a_missing_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no labels can be read .*as `soundspot pseudo-label` writes"):
        read_labels(tmp_path / "none.csv")


ROWS = [
    Label("a", "both", "dog"),
    Label("b", "image", "dog", 0.3),
    Label("b", "image", "cat", 0.6),
    Label("b", "audio", "cat", 0.5),
    Label("elsewhere", "both", "owl"),
]


def test_labels_of_some_clips_in_any_order() -> None:
    table = build_class_table(ROWS, ["b", "a"], "t")
    assert table.class_names == ("cat", "dog", "owl")
    pictures, sounds = table.to_dense(np.array([1, 0, 1]))
    torch.testing.assert_close(pictures, torch.tensor([[0.0, 1, 0], [0.6, 0.3, 0], [0, 1, 0]]))
    torch.testing.assert_close(sounds, torch.tensor([[0.0, 1, 0], [0.5, 0, 0], [0, 1, 0]]))


def test_clips_without_a_row_are_counted_and_named_or_unknown() -> None:
    ids = ["a", "b", "c", "d"]
    rows = [*ROWS, Label("d", "image", "dog")]
    with pytest.raises(DataError, match=r"t: 2 of 4 clips lack a row \(first: c \(image\), c \(audio\), d \(audio\)\)"):
        build_class_table(rows, ids, "t")
    pictures, sounds = build_class_table(rows, ids, "t", allow_unknown=True).to_dense(np.arange(4))
    assert pictures.isnan().all(dim=1).tolist() == [False, False, True, False]
    assert sounds.isnan().all(dim=1).tolist() == [False, False, True, True]
    assert not sounds[:2].isnan().any()


def test_a_class_given_twice_and_an_empty_table_are_refused() -> None:
    with pytest.raises(DataError, match="t: 1 rows give a clip a class that it has already"):
        build_class_table([*ROWS, Label("a", "audio", "dog", 0.5)], ["a", "b"], "t")
    with pytest.raises(DataError, match="t: holds no label"):
        build_class_table([], ["a"], "t")
