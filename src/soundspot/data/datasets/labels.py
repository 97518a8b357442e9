"""What each picture shows and each sound is, as somebody or some classifier says: tables of class labels.

A table is a CSV of `id,modality,class,probability`: modality is `image`, `sound` or `both`, and a probability that is
left out is 1. `soundspot label` writes one; VGGSound's own table (`YouTube id,start,label,split`) is read as it is.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from soundspot.data.datasets.annotation_files import row_to_id
from soundspot.errors import DataError

Modality = Literal["image", "sound", "both"]
MODALITY_AXES: dict[str, tuple[int, ...]] = {"image": (0,), "sound": (1,), "both": (0, 1)}
COLUMNS = ("id", "modality", "class", "probability")


@dataclass(frozen=True)
class Label:
    """One row of a table: how probable a class is of what a clip shows, of what it sounds like, or of both."""

    id: str
    modality: Modality
    class_name: str
    probability: float = 1.0


@dataclass(frozen=True)
class ClassTable:
    """Labels of the n clips of a data set, of what pictures show and then of what sounds are: 2 n rows.

    Attributes:
        names: the k classes.
        starts: (2 n + 1,) where each row's entries begin; a row without any is not known.
        codes, values: (m,) which class an entry is of, and how probable it is.
    """

    class_names: tuple[str, ...]
    row_starts: NDArray[np.int64]
    class_indices: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    def to_dense(self, index: NDArray[np.int64]) -> Float[Tensor, "2 b k"]:
        """Of some clips (`soundspot.types.Batch.labels`); not a number where nobody said."""
        rows = np.concatenate([index, index + len(self.row_starts) // 2])
        counts = self.row_starts[rows + 1] - self.row_starts[rows]
        dense = np.zeros((len(rows), len(self.class_names)), np.float32)
        within = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        entries = np.repeat(self.row_starts[rows], counts) + within
        dense[np.repeat(np.arange(len(rows)), counts), self.class_indices[entries]] = self.probabilities[entries]
        dense[counts == 0] = np.nan
        return torch.from_numpy(dense).unflatten(0, (2, -1))


def read_labels(path: Path) -> list[Label]:
    """The rows of a table.

    Raises:
        DataError: it is missing or empty, lacks a column, or a row is wrong (its line is named).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: no labels can be read ({error}); expected a CSV of {','.join(COLUMNS)}, as `soundspot label` writes"
        ) from error
    head = [cell.strip() for cell in rows[0][1]] if rows else []
    if len(head) == 4 and (head[3] in ("train", "test")):
        return [_vggsound(path, number, row) for number, row in rows]
    if not {"id", "modality", "class"} <= set(head):
        found = ",".join(head)[:80]
        raise DataError(
            f"{path}: found the header {found!r}, expected {','.join(COLUMNS)}; probability may be left out"
        )
    return [_label(path, number, dict(zip(head, row, strict=False))) for number, row in rows[1:]]


def _vggsound(path: Path, number: int, row: list[str]) -> Label:
    if len(row) != 4 or not row[1].isdecimal() or not row[2].strip():
        raise DataError(
            f"{path}: line {number}: found {','.join(row)!r}, expected a YouTube id, a second, a label and train or "
            "test, as in the table's first line. Correct the row"
        )
    return Label(row_to_id(row), "both", row[2].strip())


def _label(path: Path, number: int, row: dict[str, str]) -> Label:
    cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
    try:
        probability = float(cells["probability"] or 1)
    except ValueError:
        probability = -1.0
    right = cells["id"] and cells["class"] and cells["modality"] in MODALITY_AXES and 0 <= probability <= 1
    if not right:
        raise DataError(
            f"{path}: line {number}: found {','.join(cells.values())!r}, expected an id, image, sound or both, a "
            "class, and a probability from 0 to 1. Correct the row"
        )
    return Label(cells["id"], cells["modality"], cells["class"], probability)  # type: ignore[arg-type]


def build_class_table(
    rows: Sequence[Label], ids: Sequence[str], source: str, allow_unknown: bool = False
) -> ClassTable:
    """The rows that speak of `ids`, in their order; all classes of the table are classes, so that sets share them.

    Args:
        what: the table, for messages.
        unknown: clips without a row, in either modality, are not known; else they are refused.

    Raises:
        DataError: there are no rows, one is given twice, or ids lack one.
    """
    names = tuple(sorted({row.class_name for row in rows}))
    if not names:
        raise DataError(f"{source}: holds no label; expected at least one row")
    places = {id: i for i, id in enumerate(ids)}
    codes = {name: i for i, name in enumerate(names)}
    said = sorted(
        (part * len(ids) + places[row.id], codes[row.class_name], row.probability)
        for row in rows
        if row.id in places
        for part in MODALITY_AXES[row.modality]
    )
    twice = len(said) - len({one[:2] for one in said})
    if twice:
        raise DataError(f"{source}: {twice} rows give a clip a class that it has already; leave one row of each")
    counts = np.bincount([one[0] for one in said], minlength=2 * len(ids))
    lacking = [divmod(int(row), len(ids)) for row in np.flatnonzero(counts == 0)]
    if lacking and not allow_unknown:
        first = ", ".join(f"{ids[i]} ({'sound' if part else 'image'})" for part, i in lacking[:3])
        count = len({i for _, i in lacking})
        raise DataError(
            f"{source}: {count} of {len(ids)} clips lack a row (first: {first}); label them, or go "
            "on without theirs by `labels.missing: unknown`"
        )
    return ClassTable(
        names,
        np.concatenate([[0], counts.cumsum()]),
        np.array([one[1] for one in said], np.int64),
        np.array([one[2] for one in said], np.float32),
    )


def write_labels(rows: Sequence[Label], path: Path) -> None:
    """Writes a table; `path` is overwritten."""
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file)
        out.writerow(COLUMNS)
        out.writerows([row.id, row.modality, row.class_name, f"{row.probability:.4g}"] for row in rows)
