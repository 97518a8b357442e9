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
    """Read the rows of a bundled list.

    Args:
        name: name of the list, one of `BUNDLED_LISTS`.

    Returns:
        The cells of each row, without the header.
    """
    suffix = "csv" if name in SUBSETS else "txt"
    lines = files(__name__).joinpath(f"{name}.{suffix}").read_text(encoding="utf-8").splitlines()
    return tuple(tuple(line.split(",")) for line in lines[1 if suffix == "csv" else 0 :])


@cache
def bundled_ids(name: str) -> tuple[str, ...]:
    """Return the ids of a bundled list.

    Args:
        name: name of the list, one of `BUNDLED_LISTS`.

    Returns:
        Clip ids in the order of the list; YouTube ids for `avsbench_s4` and `avsbench_ms3`.
    """
    return tuple(row[0] for row in read_rows(name))


def subsets(name: str) -> dict[str, frozenset[str]]:
    """Return the public lists that are subsets of a bundled list.

    Args:
        name: name of the list, one of `BUNDLED_LISTS`.

    Returns:
        Ids of each subset by its name (`heard`, `4655`...); empty for lists other than `vggss` and `flickr`.
    """
    return {
        subset: frozenset(row[0] for row in read_rows(name) if belongs(row))
        for subset, belongs in SUBSETS.get(name, {}).items()
    }


def list_ids(list: str | int | PathLike[str], name: str) -> tuple[str, ...]:
    """Return the ids of a list of VGG-SS or Flickr-SoundNet clips.

    Args:
        list: name of a public list (`5158`, `4655`, `heard`, `unheard`; `250`, `249`), or the path of a file of ids.
        name: `vggss` or `flickr`, whose public lists are meant; without effect on the ids of a file.

    Returns:
        Ids in the order of the list, each once; those of a file normalized, with a warning where a row is repeated.

    Raises:
        DataError: `list` is neither a name nor a file, or the file holds no ids.
    """
    known = SUBSETS[name]
    if str(list) in known:
        return tuple(row[0] for row in read_rows(name) if known[str(list)](row))
    if not Path(str(list)).is_file():
        hint = did_you_mean(str(list), known)
        raise DataError(f"list: found {str(list)!r}, neither a file nor a list of {name}{hint}")
    return read_unique_ids(str(list))


def list_name(list: str | int | PathLike[str]) -> str:
    """Return the label of a list, as it appears in the name of a data set.

    Args:
        list: name of a public list, or the path of a file.

    Returns:
        The name itself, or the file's name without folder and suffix.
    """
    return Path(str(list)).stem


def find_excluded_ids(ids: Iterable[str], exclude: Iterable[str | PathLike[str]]) -> list[str]:
    """Find those of some clips that must not be trained on.

    Args:
        ids: ids of the clips.
        exclude: names of bundled lists, and paths of files of ids; a YouTube id in them stands for every clip of its
            video.

    Returns:
        The excluded ids, in their order.

    Raises:
        DataError: an item of `exclude` is neither a name nor a file.
    """
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
