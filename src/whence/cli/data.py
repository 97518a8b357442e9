"""`whence data check`, `scenes` and `flow`: what is wrong with data, scenes as a catalogue, optical flow of videos."""

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


def flow(videos: Path, output: Path = Path("flow"), how: str = "farneback", at: float = 0.5) -> int:
    """Write the optical flow of every video of a folder: what a data set takes as its option `flow`.

    What is there already is skipped, so a stopped run goes on. Exit code 1 where a video cannot be used: which, and
    why, is in FAILED.txt in the folder.

    Args:
        videos: a folder of videos, each named by its clip's id.
        output: the folder to write flow_x/ID.png and flow_y/ID.png into.
        how: `farneback` as HearTheFlow has it, or `dis`, which is faster.
        at: which frame, as a share of the length, and the one after it; 0.5 is the middle.
    """
    from rich.progress import track

    from whence.data.frames import Written, videos_in, write_flow

    found, state = videos_in(videos), Written()
    for so_far in track(write_flow(found, output, how, at), "flow", total=len(found)):
        state = so_far
    print(f"{output}: {state.written} written, {state.skipped} were there, {len(state.failed)} failed")
    journal = output / "FAILED.txt"
    journal.unlink(missing_ok=True)
    if state.failed:
        journal.write_text("".join(f"{reason}\n" for reason in state.failed.values()), encoding="utf-8")
        for cause, n in state.causes().most_common():
            print(f"  {n}: {cause}")
    return 1 if state.failed else 0


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
