"""Sets to train on: pictures and sounds that belong together by name, and a list of ids. They have no truth.

The lists are the authors' own (`vggss_144k.txt`, `flickr_144k.txt`, SSL-TIE's, VGGSound's table...), read as they are.
Several hold clips of the test sets; `exclude` leaves them out, and whoever does not exclude them is told.
"""

import os
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundspot.data.datasets.annotation_files import read_unique_ids
from soundspot.data.datasets.base import MISSING_POLICIES, ClipDataset, SampleEntry, check_choice, drop_missing
from soundspot.data.datasets.clip_ids import normalize_clip_id
from soundspot.data.datasets.layouts import EZVSL, FLICKR, VGGSOUND, ClipPaths, Layout
from soundspot.data.datasets.lists import Exclusion
from soundspot.data.validation.leakage import find_overlaps
from soundspot.errors import DataError
from soundspot.utils.hash_rng import uniform


@dataclass(frozen=True)
class ClipPairsSpec:
    """What tells these sets apart: where files may lie, and whether ids are taken as they are written."""

    layouts: tuple[Layout, ...]
    verbatim: bool = False


PAIRS = ClipPairsSpec((EZVSL,), verbatim=True)
VGGSOUND_CLIPS, FLICKR_CLIPS = ClipPairsSpec(VGGSOUND), ClipPairsSpec(FLICKR)


def open_clip_pairs(
    spec: ClipPairsSpec,
    root: str | os.PathLike[str],
    list: str | os.PathLike[str] | None = None,
    *,
    exclude: Iterable[str | os.PathLike[str]] = (),
    missing: str = "refuse",
    split: str = "train",
    val_fraction: float = 0.0,
    layout: str | None = None,
) -> ClipDataset:
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
    check_choice("missing", missing, MISSING_POLICIES[:2])
    root = Path(root)
    places = ClipPaths(root, spec.layouts, name=layout)
    wanted = _on_disk(places, spec.verbatim) if list is None else read_unique_ids(list, spec.verbatim)
    excluded = excluded_ids(wanted, exclude)
    out = set(excluded)
    found = ((id, *places.resolve(id, id)) for id in wanted if id not in out)
    clips = (SampleEntry(id, id, "", image, sound, missing_files=lacks) for id, image, sound, lacks in found)
    kept, lacking = drop_missing(root, clips, missing, "missing")
    part = set(split_ids([clip.id for clip in kept], split, val_fraction, root if list is None else list))
    kept = [clip for clip in kept if clip.id in part]
    return ClipDataset(f"{root.resolve().name}/{split}", kept, split, lacking, excluded)


def excluded_ids(ids: Iterable[str], exclude: Iterable[str | os.PathLike[str]]) -> list[str]:
    """Those of `ids` that lists to leave out cover."""
    exclusion = Exclusion.from_lists(exclude)
    return [id for id in ids if exclusion.covers(id)]


def split_ids(ids: Sequence[str], split: str, val_fraction: float, source: object) -> list[str]:
    """The ids of a split; whoever trains on test clips is told, once, by `where` they are from.

    Raises:
        RecipeError: no such split. DataError: `validation` is no share.
    """
    check_choice("split", split, ("train", "val"))
    if not 0 <= val_fraction < 1:
        raise DataError(f"found validation={val_fraction}, expected a share from 0 to below 1. Pass 0.1 for a tenth.")
    if split == "train":
        _tell_leaks(ids, source)
    return [id for id in ids if not val_fraction or _held_out(id, val_fraction) == (split == "val")]


def _on_disk(places: ClipPaths, plain: bool) -> Sequence[str]:
    """The id of every picture and every sound, in order; one of a pair without the other counts as missing."""
    names = (*places.images.iter_names(), *places.audio.iter_names())
    return sorted({name if plain else normalize_clip_id(name) for name in names})


def _held_out(id: str, validation: float) -> bool:
    return bool(uniform(("validation", id), [0])[0, 0] < validation)


def _tell_leaks(ids: Sequence[str], where: object) -> None:
    """Whoever trains on what is scored is told so, once, with the remedy."""
    leaks = [leak for leak in find_overlaps(ids) if leak.num_leaks]
    if leaks:
        told = ", ".join(f"{leak.num_leaks} of {leak.test_set}" for leak in leaks)
        names = ", ".join(leak.test_set for leak in leaks)
        warnings.warn(
            f"{where}: {told} are among the {len(ids)} clips to train on, so scores there are not of unseen clips; "
            f"leave them out by `exclude: [{names}]`",
            stacklevel=5,
        )
