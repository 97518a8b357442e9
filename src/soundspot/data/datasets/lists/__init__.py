"""Clips of the public test sets. Their ids are part of the package: leaks are found with nothing downloaded.

`vggss.csv` (5158 clips, those of heard classes and those among the 4655 that SSLalignment evaluates are marked),
`flickr.csv` (250; 249 without one), `extended_vggss.txt` (the 379 further clips of its negatives) and the YouTube ids
of AVSBench's test videos, from the lists of kaistmm/SSLalignment e7ae3c55.
"""

from collections.abc import Callable, Iterable
from functools import cache
from importlib.resources import files
from os import PathLike
from pathlib import Path

from soundspot.data.datasets.annotation_files import read_ids, read_unique_ids
from soundspot.data.datasets.clip_ids import normalize_clip_id, youtube_id
from soundspot.errors import DataError, did_you_mean

BUNDLED_LISTS = ("vggss", "extended_vggss", "flickr", "avsbench_s4", "avsbench_ms3")

# The public lists that are subsets of a bundled one, by a condition on its row.
SUBSETS: dict[str, dict[str, Callable[[tuple[str, ...]], bool]]] = {
    "vggss": {
        "5158": lambda row: True,
        "4655": lambda row: row[2] == "1",
        "heard": lambda row: row[1] == "heard",
        "unheard": lambda row: row[1] == "unheard",
    },
    "flickr": {"250": lambda row: True, "249": lambda row: row[1] == "1"},
}


@cache
def read_rows(name: str) -> tuple[tuple[str, ...], ...]:
    """Return the rows of a bundled list, cell by cell, without its header."""
    suffix = "csv" if name in SUBSETS else "txt"
    lines = files(__name__).joinpath(f"{name}.{suffix}").read_text(encoding="utf-8").splitlines()
    return tuple(tuple(line.split(",")) for line in lines[1 if suffix == "csv" else 0 :])


@cache
def bundled_ids(name: str) -> tuple[str, ...]:
    """Return the ids of a bundled list; of AVSBench's, YouTube ids."""
    return tuple(row[0] for row in read_rows(name))


def subsets(name: str) -> dict[str, frozenset[str]]:
    """Return the ids of the public lists that are subsets of a bundled one: `heard`, `4655`...; none for most."""
    return {
        subset: frozenset(row[0] for row in read_rows(name) if belongs(row))
        for subset, belongs in SUBSETS.get(name, {}).items()
    }


def list_ids(list: str | int | PathLike[str], name: str) -> tuple[str, ...]:
    """Return the ids of a list of `vggss` or `flickr`: one of its public lists by name (`4655`), or a file.

    Raises:
        DataError: neither; or a file that is no list.
    """
    known = SUBSETS[name]
    if str(list) in known:
        return tuple(row[0] for row in read_rows(name) if known[str(list)](row))
    if not Path(str(list)).is_file():
        hint = did_you_mean(str(list), known)
        raise DataError(f"list: found {str(list)!r}, neither a file nor a list of {name}{hint}")
    return read_unique_ids(str(list))


def list_name(list: str | int | PathLike[str]) -> str:
    """Return the label of a list in the name of a data set: its own name, or its file's without the suffix."""
    return Path(str(list)).stem


def find_excluded_ids(ids: Iterable[str], exclude: Iterable[str | PathLike[str]]) -> list[str]:
    """Return those of `ids` that lists of clips not to train on cover.

    Args:
        ids: ids of clips.
        exclude: names of bundled lists, and files; a YouTube id there stands for every clip of its video.

    Returns:
        The covered ids, in their order.

    Raises:
        DataError: a list is neither.
    """
    if isinstance(exclude, str):
        raise DataError(f"exclude: found {exclude!r}, expected several. Write a list, as in `exclude: [{exclude}]`")
    excluded: set[str] = set()
    for entry in exclude:
        if str(entry) in BUNDLED_LISTS:
            excluded.update(bundled_ids(str(entry)))
        elif Path(entry).is_file():
            excluded.update(read_ids(Path(entry)).ids)
        else:
            hint = did_you_mean(str(entry), BUNDLED_LISTS)
            raise DataError(f"exclude: found {str(entry)!r}, neither a file nor a list of soundspot{hint}")
    clips = {id: normalize_clip_id(id) for id in ids}
    return [id for id, clip in clips.items() if clip in excluded or youtube_id(clip) in excluded]
