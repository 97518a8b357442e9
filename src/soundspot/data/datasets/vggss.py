"""VGG-SS and its extended form: clips of VGGSound with boxes, and pictures asked with sounds that are not theirs.

Chen et al., "Localizing Visual Sounds the Hard Way", CVPR 2021; Mo and Morgado, "A Closer Look at Weakly-Supervised
Audio-Visual Source Localization", NeurIPS 2022. Boxes are fractions of the picture. Some hold numbers far outside (an
overflow of the annotation tool), which every released evaluator clips; such boxes stay, and are empty as maps.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from soundspot.data.datasets.annotation_files import FRACTION_BOX_FIELDS, read_entries, to_box
from soundspot.data.datasets.base import (
    MISSING_POLICIES,
    ClipDataset,
    GroundTruthFile,
    PathLike,
    SampleEntry,
    check_choice,
    drop_missing,
    find_annotation_file,
    require_annotation_file,
)
from soundspot.data.datasets.clip_ids import normalize_clip_id
from soundspot.data.datasets.extended import read_negative_samples
from soundspot.data.datasets.layouts import VGGSS, ClipPaths, FileResolver
from soundspot.data.datasets.lists import list_ids, list_name
from soundspot.errors import DataError
from soundspot.types import Box, GroundTruth

BOXES = ("vggss.json", "vggss_annotations.json")
NEGATIVES = ("vggss_test_plus_silent.csv",)


def open_vggss(
    root: PathLike,
    list: str | int | os.PathLike[str] = "5158",
    *,
    layout: str | None = None,
    missing: str = "refuse",
    annotations: PathLike | None = None,
) -> ClipDataset:
    """The clips of a list with the union of their boxes as truth, in fractions (1 x 1).

    Args:
        root: the folder of the pictures and sounds.
        list: `5158` (all), `4655` (what SSLalignment evaluates), `heard`, `unheard`, or a file of ids.
        layout: `ezvsl`, `sslalignment` or `ssltie` (None: the one whose folders are there).
        media: what becomes of clips with a missing file: `refuse`, `skip` (they are counted in `skipped`), or
            `unchecked`: no picture or sound is looked for, as maps that are there already are scored without.
        annotations: the folder of vggss.json (None: root or root/metadata; without any, SSL-TIE's root/anno/ID.xml).

    Raises:
        DataError: files are missing, or wrong; a listed clip has no boxes.
    """
    clips, _ = _boxed(Path(root), list, layout, missing, annotations)
    kept, lacking = drop_missing(Path(root), clips, missing)
    return ClipDataset(f"vggss/{list_name(list)}", kept, "test", lacking)


def open_extended_vggss(
    root: PathLike,
    list: str | int | os.PathLike[str] = "5158",
    *,
    layout: str | None = None,
    missing: str = "refuse",
    annotations: PathLike | None = None,
) -> ClipDataset:
    """VGG-SS and, after it, all negatives of vggss_test_plus_silent.csv: `VIDEO+AUDIO`, in the group of their picture.

    Options and errors are those of `vggss`; `list` is of the clips with boxes.
    """
    clips, places = _boxed(Path(root), list, layout, missing, annotations)
    table = require_annotation_file(Path(root), annotations, NEGATIVES)
    kept, lacking = drop_missing(
        Path(root), [*clips, *read_negative_samples(table, places, clips, GroundTruth(1, 1, present=False))], missing
    )
    return ClipDataset(f"extended_vggss/{list_name(list)}", kept, "test", lacking)


def read_vggss_boxes(path: Path) -> dict[str, tuple[str, tuple[Box, ...]]]:
    """Class and boxes of each clip of vggss.json."""
    entries = read_entries(path, FRACTION_BOX_FIELDS, "file")
    return {
        normalize_clip_id(entry["file"]): (entry["class"], tuple(to_box(box) for box in entry["bbox"]))
        for entry in entries
    }


def _boxed(
    root: Path, list: str | int | os.PathLike[str], layout: str | None, media: str, annotations: PathLike | None
) -> tuple[list[SampleEntry], ClipPaths]:
    check_choice("media", media, MISSING_POLICIES)
    ids = list_ids(list, "vggss")
    places = ClipPaths(root, VGGSS, ids, layout, media != "unchecked")
    file = find_annotation_file(root, annotations, BOXES)
    if file is None and (root / "anno").is_dir():
        return _from_xml(ids, places), places
    boxed = read_vggss_boxes(require_annotation_file(root, annotations, BOXES))
    boxless = [id for id in ids if id not in boxed]
    if boxless:
        raise DataError(
            f"{file}: of {len(ids)} clips in the list {str(list)!r} {len(boxless)} have no entry (first: "
            f"{', '.join(boxless[:3])}), expected boxes for each. Fetch the file whole, or name a list by its path"
        )
    found = ((id, *boxed[id], *places.resolve(id, id)) for id in ids)
    return [
        SampleEntry(id, id, category, image, sound, GroundTruth(1, 1, boxes), lacks)
        for id, category, boxes, image, sound, lacks in found
    ], places


def _from_xml(ids: Sequence[str], places: ClipPaths) -> list[SampleEntry]:
    """SSL-TIE's form: one XML file a clip, without classes."""
    finder = FileResolver(places.root, ("anno/{id}",), (".xml",))
    clips = []
    for id in ids:
        (file, missed), (image, sound, lacks) = finder.resolve(id), places.resolve(id, id)
        clips.append(
            SampleEntry(
                id, id, "", image, sound, GroundTruthFile(file, "fractions"), (*lacks, missed) if missed else lacks
            )
        )
    return clips
