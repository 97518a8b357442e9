"""Training sets: an image and an audio file for each id of a list. They have no ground truth.

The lists are the authors' own (`vggss_144k.txt`, `flickr_144k.txt`, SSL-TIE's, VGGSound's table...), read as they are.
Several hold clips of the test sets; `exclude` leaves them out, and a warning names them where it does not.
"""

import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

from soundspot.data.datasets.annotation_files import read_unique_ids
from soundspot.data.datasets.base import ClipDataset, SampleEntry, check_choice, drop_missing
from soundspot.data.datasets.clip_ids import normalize_clip_id
from soundspot.data.datasets.layouts import EZVSL, FLICKR, VGGSOUND, ClipPaths
from soundspot.data.datasets.lists import find_excluded_ids
from soundspot.data.validation.leakage import find_overlaps
from soundspot.errors import DataError
from soundspot.utils.hash_rng import Key, uniform

TRAIN_LAYOUTS = {"pairs": (EZVSL,), "vggsound": VGGSOUND, "flickr_soundnet": FLICKR}


def open_clip_pairs(
    name: str,
    root: str | os.PathLike[str],
    list: str | os.PathLike[str] | None = None,
    *,
    exclude: Iterable[str | os.PathLike[str]] = (),
    missing: str = "error",
    split: str = "train",
    val_fraction: float = 0.0,
    layout: str | None = None,
) -> ClipDataset:
    """Open a training set: an image and an audio file for each id of a list, without ground truth.

    Args:
        name: `pairs`, whose ids are used as they are written, `vggsound` or `flickr_soundnet`, whose ids are
            normalized.
        root: folder of the images and audio.
        list: path of a file of ids, or None for every clip on disk.
        exclude: lists to leave out, so that nothing scored is trained on: paths of files, or names of bundled lists
            (`vggss`, `extended_vggss`, `flickr`, `avsbench_s4`, `avsbench_ms3`).
        missing: treatment of ids whose image or audio is missing: `error`, or `skip`, which counts them in `skipped`
            and names the first few in a warning.
        split: `train`, or `val` for the held-out clips.
        val_fraction: share of the clips held out, in [0, 1); the same clips whatever the list.
        layout: name of the layout (None: the first whose folders exist).

    Returns:
        The samples, in the order of the list; sorted by id without a list.

    Raises:
        DataError: a list or a folder is missing, files are missing and `error` was chosen, `val_fraction` is out of
            range, or nothing is left.
        RecipeError: an unknown layout, split or policy.
    """
    root, verbatim = Path(root), name == "pairs"
    paths = ClipPaths(root, TRAIN_LAYOUTS[name], name=layout)
    if list is None:  # an image without audio, or the reverse, counts as missing
        names = {*paths.images.iter_names(), *paths.audio.iter_names()}
        ids: Sequence[str] = sorted(names if verbatim else set(map(normalize_clip_id, names)))
    else:
        ids = read_unique_ids(list, verbatim)
    excluded = find_excluded_ids(ids, exclude)
    left_out = set(excluded)
    resolved = ((id, *paths.resolve(id, id)) for id in ids if id not in left_out)
    samples = (SampleEntry(id, id, "", image, audio, None, files) for id, image, audio, files in resolved)
    complete, incomplete = drop_missing(root, samples, missing, can_ignore=False)
    chosen = set(select_split([s.id for s in complete], split, val_fraction, root if list is None else list))
    complete = [sample for sample in complete if sample.id in chosen]
    return ClipDataset(f"{root.resolve().name}/{split}", complete, split, incomplete, excluded)


def select_split(ids: Sequence[str], split: str, val_fraction: float, source: object) -> list[str]:
    """Select the ids of a split; a warning names test clips among those to train on.

    Args:
        ids: ids of both splits.
        split: `train` or `val`.
        val_fraction: share of the ids in `val`, in [0, 1); which ids depends on the ids alone.
        source: list or folder that the ids are from, for the warning.

    Returns:
        The ids of the split, in their order.

    Raises:
        RecipeError: an unknown split.
        DataError: `val_fraction` is out of range.
    """
    check_choice("split", split, ("train", "val"))
    check_val_fraction(val_fraction)
    leaks = [overlap for overlap in find_overlaps(ids) if overlap.num_leaks] if split == "train" else []
    if leaks:
        counts = ", ".join(f"{leak.num_leaks} of {leak.test_set}" for leak in leaks)
        names = ", ".join(leak.test_set for leak in leaks)
        warnings.warn(
            f"{source}: {counts} are among the {len(ids)} clips to train on, so scores there are not of unseen clips; "
            f"leave them out by `exclude: [{names}]`",
            stacklevel=4,
        )
    is_val = split == "val"
    return [id for id in ids if not val_fraction or (uniform((Key.VALIDATION, id), [0])[0, 0] < val_fraction) == is_val]


def check_val_fraction(val_fraction: float) -> None:
    """Raise DataError where the share of held-out samples is not in [0, 1).

    Args:
        val_fraction: share of held-out samples.

    Raises:
        DataError: the share is below 0, or 1 or more.
    """
    if not 0 <= val_fraction < 1:
        raise DataError(f"found val_fraction={val_fraction}, expected a share from 0 to below 1. Pass 0.1 for a tenth.")
