"""Sets to train on: pictures and sounds that belong together by name, and a list of ids. They have no truth.

The lists are the authors' own (`vggss_144k.txt`, `flickr_144k.txt`, SSL-TIE's, VGGSound's table...), read as they are.
Several hold clips of the test sets; `exclude` leaves them out, and whoever does not exclude them is told.
"""

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from whence.data.authors import distinct_ids
from whence.data.datasets.layouts import EZVSL, FLICKR, VGGSOUND, Layout, Places
from whence.data.datasets.listed import MEDIA, Clip, Listed, one_of, settle
from whence.data.identity import clip_id
from whence.data.leaks import overlaps
from whence.data.lists import Exclusion
from whence.errors import DataError
from whence.randomness import uniform


@dataclass(frozen=True)
class Kind:
    """What tells these sets apart: where files may lie, and whether ids are taken as they are written."""

    layouts: tuple[Layout, ...]
    plain: bool = False


PAIRS = Kind((EZVSL,), plain=True)
VGGSOUND_CLIPS, FLICKR_CLIPS = Kind(VGGSOUND), Kind(FLICKR)


def training_set(
    kind: Kind,
    root: str | os.PathLike[str],
    list: str | os.PathLike[str] | None = None,
    *,
    exclude: Iterable[str | os.PathLike[str]] = (),
    missing: str = "refuse",
    split: str = "train",
    validation: float = 0.0,
    layout: str | None = None,
) -> Listed:
    """A picture and a sound for each id.

    Args:
        kind: PAIRS, VGGSOUND_CLIPS or FLICKR_CLIPS.
        root: the folder of the pictures and sounds.
        list: a file of ids, or None for every clip on disk.
        exclude: lists to leave out, so that nothing scored is trained on: files, or names of those that come with the
            library (`vggss`, `extended_vggss`, `flickr`, `avsbench_s4`, `avsbench_ms3`).
        missing: what becomes of ids whose picture or sound is not there: `refuse`, or `skip`, which counts them in
            `skipped` and names the first ones in a warning.
        split: `train`, or the clips held out as `val`.
        validation: share of the clips held out, the same ones whatever the list.
        layout: which of the layouts (None: the one whose folders are there).

    Raises:
        DataError: a list or a folder is missing, files are missing and `refuse` was chosen, or nothing is left.
    """
    one_of("missing", missing, MEDIA[:2])
    root = Path(root)
    places = Places(root, kind.layouts, name=layout)
    wanted = _on_disk(places, kind.plain) if list is None else distinct_ids(list, kind.plain)
    excluded = excluded_of(wanted, exclude)
    out = set(excluded)
    found = ((id, *places.of(id, id)) for id in wanted if id not in out)
    clips = (Clip(id, id, "", image, sound, lacks=lacks) for id, image, sound, lacks in found)
    kept, lacking = settle(root, clips, missing, "missing")
    part = set(part_of([clip.id for clip in kept], split, validation, root if list is None else list))
    kept = [clip for clip in kept if clip.id in part]
    return Listed(f"{root.resolve().name}/{split}", kept, split, lacking, excluded)


def excluded_of(ids: Iterable[str], exclude: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Those of `ids` that lists to leave out cover."""
    exclusion = Exclusion.of(exclude)
    return [id for id in ids if exclusion.covers(id)]


def part_of(ids: Sequence[str], split: str, validation: float, where: object) -> list[str]:
    """The ids of a split; whoever trains on test clips is told, once, by `where` they are from.

    Raises:
        RecipeError: no such split. DataError: `validation` is no share.
    """
    one_of("split", split, ("train", "val"))
    if not 0 <= validation < 1:
        raise DataError(f"found validation={validation}, expected a share from 0 to below 1. Pass 0.1 for a tenth.")
    if split == "train":
        _tell_leaks(ids, where)
    return [id for id in ids if not validation or _held_out(id, validation) == (split == "val")]


def _on_disk(places: Places, plain: bool) -> Sequence[str]:
    """The id of every picture and every sound, in order; one of a pair without the other counts as missing."""
    names = (*places.images.names(), *places.sounds.names())
    return sorted({name if plain else clip_id(name) for name in names})


def _held_out(id: str, validation: float) -> bool:
    return bool(uniform(("validation", id), [0])[0, 0] < validation)


def _tell_leaks(ids: Sequence[str], where: object) -> None:
    """Whoever trains on what is scored is told so, once, with the remedy."""
    leaks = [leak for leak in overlaps(ids) if leak.leaks]
    if leaks:
        told = ", ".join(f"{leak.leaks} of {leak.test}" for leak in leaks)
        names = ", ".join(leak.test for leak in leaks)
        warnings.warn(
            f"{where}: {told} are among the {len(ids)} clips to train on, so scores there are not of unseen clips; "
            f"leave them out by `exclude: [{names}]`",
            stacklevel=5,
        )
