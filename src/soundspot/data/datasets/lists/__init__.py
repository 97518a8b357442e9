"""Which clips the public test sets hold. Their ids travel with the library: leaks are found with nothing fetched.

`vggss.csv` (5158 clips, which of them are of heard classes, which are among the 4655 that SSLalignment evaluates),
`flickr.csv` (250; 249 without one), `extended_vggss.txt` (the 379 further clips of its negatives) and the YouTube ids
of AVSBench's test videos, taken from the lists of kaistmm/SSLalignment e7ae3c55.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from os import PathLike
from pathlib import Path

from soundspot.data.datasets.annotation_files import read_ids, read_unique_ids
from soundspot.data.datasets.clip_ids import normalize_clip_id, youtube_id
from soundspot.errors import DataError, did_you_mean

BUNDLED_LISTS = {
    "vggss": "the VGG-SS test clips",
    "extended_vggss": "the clips of Extended VGG-SS that are not in VGG-SS",
    "flickr": "the Flickr-SoundNet test clips",
    "avsbench_s4": "the test videos of AVSBench S4",
    "avsbench_ms3": "the test videos of AVSBench MS3",
}
_Rows = tuple[tuple[str, ...], ...]

VGGSS_SUBSETS: dict[str, Callable[[tuple[str, ...]], bool]] = {  # the public lists of VGG-SS, as parts of the 5158
    "5158": lambda row: True,
    "4655": lambda row: row[2] == "1",
    "heard": lambda row: row[1] == "heard",
    "unheard": lambda row: row[1] == "unheard",
}
FLICKR_SUBSETS: dict[str, Callable[[tuple[str, ...]], bool]] = {
    "250": lambda row: True,
    "249": lambda row: row[1] == "1",
}


@cache
def read_rows(name: str) -> _Rows:
    """The rows of a shipped list, cell by cell, without its header."""
    suffix = "csv" if name in ("vggss", "flickr") else "txt"
    lines = files(__name__).joinpath(f"{name}.{suffix}").read_text(encoding="utf-8").splitlines()
    return tuple(tuple(line.split(",")) for line in lines[1 if suffix == "csv" else 0 :])


@cache
def bundled_ids(name: str) -> tuple[str, ...]:
    """The ids of a shipped list; of AVSBench's, YouTube ids."""
    return tuple(row[0] for row in read_rows(name))


def subsets(name: str) -> dict[str, frozenset[str]]:
    """The public lists that are parts of a shipped one: `heard`, `4655`...; none for most."""
    known = {"vggss": VGGSS_SUBSETS, "flickr": FLICKR_SUBSETS}.get(name, {})
    return {part: frozenset(row[0] for row in read_rows(name) if belongs(row)) for part, belongs in known.items()}


def list_ids(list: str | int | PathLike[str], name: str) -> tuple[str, ...]:
    """The ids of a list of `vggss` or `flickr`: one of its public lists by name (`4655`), or a file.

    Raises:
        DataError: neither; or a file that is no list.
    """
    known = {"vggss": VGGSS_SUBSETS, "flickr": FLICKR_SUBSETS}[name]
    if str(list) in known:
        return tuple(row[0] for row in read_rows(name) if known[str(list)](row))
    if not Path(list if isinstance(list, PathLike) else str(list)).is_file():
        raise DataError(
            f"list: found {str(list)!r}, neither a file nor a list of {name}{did_you_mean(str(list), known)}"
        )
    return read_unique_ids(str(list))


def list_name(list: str | int | PathLike[str]) -> str:
    """What a list is called in the name of a data set: its own, or its file's without the suffix."""
    return Path(str(list)).stem


@dataclass(frozen=True)
class Exclusion:
    """Clips that must not be trained on. An entry that is a YouTube id stands for every clip of its video."""

    ids: frozenset[str] = frozenset()

    def covers(self, id: str) -> bool:
        clip = normalize_clip_id(id)
        return clip in self.ids or youtube_id(clip) in self.ids

    @classmethod
    def from_lists(cls, lists: Iterable[str | PathLike[str]]) -> "Exclusion":
        """From names of shipped lists and from files.

        Raises:
            DataError: an entry is neither.
        """
        if isinstance(lists, str):
            raise DataError(f"exclude: found {lists!r}, expected several. Write a list, as in `exclude: [{lists}]`")
        found: set[str] = set()
        for one in lists:
            if str(one) in BUNDLED_LISTS:
                found.update(bundled_ids(str(one)))
            elif Path(one).is_file():
                found.update(read_ids(Path(one)).ids)
            else:
                hint = did_you_mean(str(one), BUNDLED_LISTS)
                raise DataError(
                    f"exclude: found {str(one)!r}, neither a file nor a list that comes with soundspot{hint}"
                )
        return cls(frozenset(found))
