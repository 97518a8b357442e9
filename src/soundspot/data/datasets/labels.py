"""Class labels of images and of audio, from people or from a classifier: tables in CSV.

A table is a CSV of `id,modality,class,probability`: modality is `image`, `audio` or `both`, and a missing probability
is 1. `soundspot pseudo-label` writes one; VGGSound's own table (`YouTube id,start,label,split`) is read unmodified.
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

Modality = Literal["image", "audio", "both"]
MODALITY_AXES: dict[str, tuple[int, ...]] = {"image": (0,), "audio": (1,), "both": (0, 1)}
COLUMNS = ("id", "modality", "class", "probability")


@dataclass(frozen=True)
class Label:
    """A row of a label table: the probability of a class for a sample's image, its audio, or both.

    Attributes:
        id: id of the sample.
        modality: `image`, `audio` or `both`.
        class_name: name of the class.
        probability: probability of the class, in [0, 1].
    """

    id: str
    modality: Modality
    class_name: str
    probability: float = 1.0


@dataclass(frozen=True)
class ClassTable:
    """The labels of the n samples of a data set as a sparse (CSR) matrix of 2 n rows: n of images, then n of audio.

    Attributes:
        class_names: names of the k classes.
        row_starts: (2 n + 1,) position of each row's first entry; the labels of a row without entries are unknown.
        class_indices, probabilities: (m,) class index of each entry, and its probability.
    """

    class_names: tuple[str, ...]
    row_starts: NDArray[np.int64]
    class_indices: NDArray[np.int64]
    probabilities: NDArray[np.float32]

    def to_dense(self, index: NDArray[np.int64]) -> Float[Tensor, "2 b k"]:
        """Return the labels of some samples as dense probabilities, in the form of `soundspot.types.Batch.labels`.

        Args:
            index: (b,) positions of the samples, from 0.

        Returns:
            (2, b, k) float32 probabilities of the images and of the audio; 0 for classes without an entry, NaN
            throughout where labels are unknown.
        """
        rows = np.concatenate([index, index + len(self.row_starts) // 2])
        counts = self.row_starts[rows + 1] - self.row_starts[rows]
        dense = np.zeros((len(rows), len(self.class_names)), np.float32)
        offsets = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        entries = np.repeat(self.row_starts[rows], counts) + offsets
        dense[np.repeat(np.arange(len(rows)), counts), self.class_indices[entries]] = self.probabilities[entries]
        dense[counts == 0] = np.nan
        return torch.from_numpy(dense).unflatten(0, (2, -1))


def read_labels(path: Path) -> list[Label]:
    """Read the rows of a label table.

    Args:
        path: path of a CSV of `id,modality,class,probability` with that header (probability may be left out, and is
            then 1), or of VGGSound's own table without header, whose labels are of `both`.

    Returns:
        The rows, in the order of the file.

    Raises:
        DataError: the file is missing or empty, lacks a column, or a row is wrong (its line is named).
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if any(map(str.strip, row))]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path}: no labels can be read ({error}); expected a CSV of {','.join(COLUMNS)}, as `soundspot "
            "pseudo-label` writes"
        ) from error
    header = [cell.strip() for cell in rows[0][1]] if rows else []
    if len(header) == 4 and (header[3] in ("train", "test")):
        return [_parse_vggsound_row(path, number, row) for number, row in rows]
    if not {"id", "modality", "class"} <= set(header):
        raise DataError(
            f"{path}: found the header {','.join(header)[:80]!r}, expected {','.join(COLUMNS)}; probability may be "
            "left out"
        )
    for number, row in rows[1:]:
        if len(row) > len(header):  # cut off, a class with a comma would be another class
            raise DataError(
                f"{path}: line {number}: found {len(row)} cells, expected the {len(header)} of the header "
                f"({','.join(header)[:80]}). Put a class with a comma in quotes"
            )
    return [_parse_row(path, number, dict(zip(header, row, strict=False))) for number, row in rows[1:]]


def _parse_vggsound_row(path: Path, number: int, row: list[str]) -> Label:
    if len(row) != 4 or not row[1].isdecimal() or not row[2].strip():
        raise DataError(
            f"{path}: line {number}: found {','.join(row)!r}, expected a YouTube id, a second, a label and train or "
            "test, as in the table's first line. Correct the row"
        )
    return Label(row_to_id(row), "both", row[2].strip())


def _parse_row(path: Path, number: int, row: dict[str, str]) -> Label:
    cells = {name: (row.get(name) or "").strip() for name in COLUMNS}
    try:
        probability = float(cells["probability"] or 1)
    except ValueError:
        probability = -1.0
    if not (cells["id"] and cells["class"] and cells["modality"] in MODALITY_AXES and 0 <= probability <= 1):
        raise DataError(
            f"{path}: line {number}: found {','.join(cells.values())!r}, expected an id, image, audio or both, a "
            "class, and a probability from 0 to 1. Correct the row"
        )
    return Label(cells["id"], cells["modality"], cells["class"], probability)  # type: ignore[arg-type]


def build_class_table(
    rows: Sequence[Label], ids: Sequence[str], source: str, allow_unknown: bool = False
) -> ClassTable:
    """Build the labels of a data set from the rows of a label table.

    Every class of the table counts, also those of no sample of the data set, so that data sets share them; rows of
    other ids are ignored.

    Args:
        rows: rows of the table.
        ids: ids of the data set's n samples.
        source: name of the table, for messages.
        allow_unknown: True: an image or audio without a row is unknown; False: it is an error.

    Returns:
        Labels in the order of `ids`; classes sorted by name.

    Raises:
        DataError: there are no rows, a sample has a class twice in one modality, or some ids lack a row.
    """
    class_names = tuple(sorted({row.class_name for row in rows}))
    if not class_names:
        raise DataError(f"{source}: holds no label; expected at least one row")
    positions = {id: i for i, id in enumerate(ids)}
    class_index = {name: i for i, name in enumerate(class_names)}
    entries = sorted(
        (axis * len(ids) + positions[row.id], class_index[row.class_name], row.probability)
        for row in rows
        if row.id in positions
        for axis in MODALITY_AXES[row.modality]
    )
    duplicates = len(entries) - len({entry[:2] for entry in entries})
    if duplicates:
        raise DataError(f"{source}: {duplicates} rows give a clip a class that it has already; leave one row of each")
    counts = np.bincount([row for row, *_ in entries], minlength=2 * len(ids))
    missing = [divmod(int(row), len(ids)) for row in np.flatnonzero(counts == 0)]
    if missing and not allow_unknown:
        first = ", ".join(f"{ids[i]} ({'audio' if axis else 'image'})" for axis, i in missing[:3])
        count = len({i for _, i in missing})
        raise DataError(
            f"{source}: {count} of {len(ids)} clips lack a row (first: {first}); label them, or go "
            "on without theirs by `labels.missing: unknown`"
        )
    return ClassTable(
        class_names,
        np.concatenate([[0], counts.cumsum()]),
        np.array([index for _, index, _ in entries], np.int64),
        np.array([probability for *_, probability in entries], np.float32),
    )


def write_labels(rows: Sequence[Label], path: Path) -> None:
    """Write a label table as CSV in UTF-8; an existing file is overwritten.

    Args:
        rows: rows of the table; probabilities are written with four significant digits.
        path: path of the file.
    """
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows([row.id, row.modality, row.class_name, f"{row.probability:.4g}"] for row in rows)
