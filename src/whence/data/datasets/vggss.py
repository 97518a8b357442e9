"""VGG-SS and its extended form: clips of VGGSound with boxes, and pictures asked with sounds that are not theirs.

Chen et al., "Localizing Visual Sounds the Hard Way", CVPR 2021; Mo and Morgado, "A Closer Look at Weakly-Supervised
Audio-Visual Source Localization", NeurIPS 2022. Boxes are fractions of the picture. Some hold numbers far outside (an
overflow of the annotation tool), which every released evaluator clips; such boxes stay, and are empty as maps.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from whence.data.authors import FRACTIONS, as_box, read_entries
from whence.data.datasets.extended import negatives
from whence.data.datasets.layouts import VGGSS, Finder, Places
from whence.data.datasets.listed import (
    MEDIA,
    Clip,
    Folder,
    Listed,
    TruthFile,
    authors_file,
    need_authors_file,
    one_of,
    settle,
)
from whence.data.identity import clip_id
from whence.data.lists import ids_of, list_name
from whence.errors import DataError
from whence.types import Box, Truth

BOXES = ("vggss.json", "vggss_annotations.json")
NEGATIVES = ("vggss_test_plus_silent.csv",)


def vggss(
    root: Folder,
    list: str | int | os.PathLike[str] = "5158",
    *,
    layout: str | None = None,
    media: str = "refuse",
    annotations: Folder | None = None,
) -> Listed:
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
    clips, _ = _boxed(Path(root), list, layout, media, annotations)
    kept, lacking = settle(Path(root), clips, media)
    return Listed(f"vggss/{list_name(list)}", kept, "test", lacking)


def extended_vggss(
    root: Folder,
    list: str | int | os.PathLike[str] = "5158",
    *,
    layout: str | None = None,
    media: str = "refuse",
    annotations: Folder | None = None,
) -> Listed:
    """VGG-SS and, after it, all negatives of vggss_test_plus_silent.csv: `VIDEO+AUDIO`, in the group of their picture.

    Options and errors are those of `vggss`; `list` is of the clips with boxes.
    """
    clips, places = _boxed(Path(root), list, layout, media, annotations)
    table = need_authors_file(Path(root), annotations, NEGATIVES)
    kept, lacking = settle(Path(root), [*clips, *negatives(table, places, clips, Truth(1, 1, present=False))], media)
    return Listed(f"extended_vggss/{list_name(list)}", kept, "test", lacking)


def read_boxes(path: Path) -> dict[str, tuple[str, tuple[Box, ...]]]:
    """Class and boxes of each clip of vggss.json."""
    entries = read_entries(path, FRACTIONS, "file")
    return {clip_id(entry["file"]): (entry["class"], tuple(as_box(box) for box in entry["bbox"])) for entry in entries}


def _boxed(
    root: Path, list: str | int | os.PathLike[str], layout: str | None, media: str, annotations: Folder | None
) -> tuple[list[Clip], Places]:
    one_of("media", media, MEDIA)
    ids = ids_of(list, "vggss")
    places = Places(root, VGGSS, ids, layout, media != "unchecked")
    file = authors_file(root, annotations, BOXES)
    if file is None and (root / "anno").is_dir():
        return _from_xml(ids, places), places
    boxed = read_boxes(need_authors_file(root, annotations, BOXES))
    boxless = [id for id in ids if id not in boxed]
    if boxless:
        raise DataError(
            f"{file}: of {len(ids)} clips in the list {str(list)!r} {len(boxless)} have no entry (first: "
            f"{', '.join(boxless[:3])}), expected boxes for each. Fetch the file whole, or name a list by its path"
        )
    found = ((id, *boxed[id], *places.of(id, id)) for id in ids)
    return [
        Clip(id, id, category, image, sound, Truth(1, 1, boxes), lacks)
        for id, category, boxes, image, sound, lacks in found
    ], places


def _from_xml(ids: Sequence[str], places: Places) -> list[Clip]:
    """SSL-TIE's form: one XML file a clip, without classes."""
    finder = Finder(places.root, ("anno/{id}",), (".xml",))
    clips = []
    for id in ids:
        (file, missed), (image, sound, lacks) = finder.of(id), places.of(id, id)
        clips.append(
            Clip(id, id, "", image, sound, TruthFile(file, "fractions"), (*lacks, missed) if missed else lacks)
        )
    return clips
