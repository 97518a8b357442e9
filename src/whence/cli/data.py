"""`whence data check` and `whence data scenes`: what is wrong with data, and scenes written as a catalogue."""

import json as to_json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whence.data.doctor.findings import Findings, Table


def check(
    root: Path,
    data: str | None = None,
    options: dict[str, Any] | None = None,
    train_list: list[Path] | None = None,
    read_files: bool = False,
    json: bool = False,
) -> int:
    """Tell what a folder holds and everything that is wrong with it, clips of test sets among training clips included.

    Exit code 0: nothing worse than a note; 1: warnings; 2: errors.

    Args:
        root: a catalogue, a folder of authors' lists and annotation files, or one of pictures and sounds.
        data: name of a data set to check there (`whence datasets`); by default what is found is recognised.
        options: of that data set, as in a recipe: `{"list": "4655"}`.
        train_list: a list of ids that is trained on, checked for test clips; can be given several times.
        read_files: also decode every picture, mask and sound (some 5 ms each), and look for copies in a catalogue.
        json: print one JSON object instead of tables.
    """
    from whence.data.doctor import examine
    from whence.errors import DataError

    found = examine(root, data, options, train_list or (), read_files)
    print(to_json.dumps({"root": str(root), **found.as_dict()}, indent=2) if json else "\n".join(_lines(found)))
    if found.count("error"):
        number = "1 error" if found.count("error") == 1 else f"{found.count('error')} errors"
        raise DataError(f"{root}: found {number}, expected none in data that is used. Mend them and check again.")
    return 1 if found.count("warning") else 0


def scenes(
    name: str,
    output: Path,
    root: Path | None = None,
    split: str | None = None,
    length: int = 1000,
    seed: int = 0,
    size: int = 128,
    seconds: float = 2.0,
    options: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write composed scenes as a catalogue that any tool can read.

    Args:
        name: which scenes (`whence datasets`), such as scenes-interactive.
        output: the folder to write.
        root: of cut-outs, the catalogue they are taken from.
        split: of that catalogue.
        length: pictures.
        seed: scenes of different seeds have nothing in common.
        size: side of a picture in pixels.
        seconds: of each sound.
        options: the others, as in a recipe: `{"objects": 3}`.
        overwrite: replace a folder that is there.
    """
    from whence.data.annotations import ANNOTATIONS
    from whence.output import check_output
    from whence.scenes import open_scenes, write_catalogue

    check_output(output, overwrite and (output / ANNOTATIONS).is_file())  # nothing but a catalogue is replaced
    composed = open_scenes(name, root, split, length=length, seed=seed, size=size, seconds=seconds, **(options or {}))
    write_catalogue(composed, output, overwrite)
    print(f"{output}: {len(composed)} items of {name}, {len(composed.categories)} categories, seed {seed}")


def _lines(found: "Findings") -> list[str]:
    told = [f"{problem.severity:<8} {problem}" for problem in found.problems]
    return [*(line for table in found.tables for line in (*_table(table), "")), *(told or ["no problems found"])]


def _table(table: "Table") -> list[str]:
    """Columns in which every cell has room: words to the left, numbers to the right."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.head, *cells, strict=True)]
    words = [any(isinstance(row[place], str) for row in table.rows) for place in range(len(table.head))]

    def line(row: list[str]) -> str:
        padded = (f"{cell:<{w}}" if word else f"{cell:>{w}}" for cell, w, word in zip(row, widths, words, strict=True))
        return "  ".join(padded).rstrip()

    return [line(list(table.head)), *map(line, cells)]
