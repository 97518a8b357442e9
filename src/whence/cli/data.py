"""`whence data check` and `whence data scenes`: what is wrong with a catalogue, and scenes written as one."""

import json as to_json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whence.data.annotations import Annotations
    from whence.data.problems import Problem


def check(root: Path, read_files: bool = False, json: bool = False) -> None:
    """Tell what a catalogue holds and everything that is wrong with it; exit code 2 where it cannot be used.

    Args:
        root: the folder with annotations.json.
        read_files: also decode every picture, mask and recording (some 5 ms each) and look for copies.
        json: print one JSON object instead of tables.
    """
    from whence.data.annotations import read_annotations
    from whence.data.check import check_catalogue
    from whence.errors import DataError

    annotations = read_annotations(root)
    problems = check_catalogue(root, read_files)
    found = Counter(problem.severity for problem in problems)
    if json:
        summary: dict[str, Any] = {"root": str(root), "errors": found["error"], "warnings": found["warning"]}
        counts = {category: dict(counts) for category, counts in _counts(annotations).items()}
        print(to_json.dumps({**summary, "counts": counts, "problems": list(map(asdict, problems))}, indent=2))
    else:
        print("\n".join([*_table(annotations), *_list(problems)]))
    if found["error"]:
        number = "1 error" if found["error"] == 1 else f"{found['error']} errors"
        raise DataError(
            f"{root}: found {number}, expected none in a catalogue that is used. Mend them and check again."
        )


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


def _counts(annotations: "Annotations") -> dict[str, Counter[str]]:
    """Category -> how many `pictures train`, `recordings test`... it has; entries with errors are not counted."""
    counts: dict[str, Counter[str]] = {
        category: Counter() for category in sorted({e.category for e in annotations.entries})
    }
    for kind, entries in (("pictures", annotations.pictures), ("recordings", annotations.recordings)):
        for entry in entries:
            counts[entry.category][f"{kind} {entry.split}"] += 1
    return counts


def _table(annotations: "Annotations") -> list[str]:
    """How many entries without errors there are, by category and split."""
    from whence.data.annotations import SPLITS

    if not annotations.entries:
        return []
    counts = _counts(annotations)
    counts["all"] = sum(counts.values(), Counter())
    columns = [f"{kind} {split}" for kind in ("pictures", "recordings") for split in SPLITS]
    columns = [column for column in columns if counts["all"][column]]
    width = max(map(len, ("category", *counts)))
    lines = ["  ".join([f"{'category':<{width}}", *columns])]
    for category, of in counts.items():
        lines.append("  ".join([f"{category:<{width}}", *(f"{of[column]:>{len(column)}}" for column in columns)]))
    return [*lines, ""]


def _list(problems: "list[Problem]") -> list[str]:
    if not problems:
        return ["no problems found"]
    return [f"{problem.severity:<8} {problem}" for problem in problems]
