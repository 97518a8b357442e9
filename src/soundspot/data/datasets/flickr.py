"""The Flickr-SoundNet test set and its extended form: pictures of 256 x 256 with the boxes of three annotators each.

Senocak et al., "Learning to Localize Sound Source in Visual Scenes", CVPR 2018; negatives by Mo and Morgado, NeurIPS
2022. The truth is the consensus of the boxes: summed, halved, cut at 1.
"""

import os
from pathlib import Path

from soundspot.data.datasets.base import (
    FLICKR_SIZE,
    MISSING_POLICIES,
    ClipDataset,
    GroundTruthFile,
    PathLike,
    SampleEntry,
    check_choice,
    drop_missing,
    require_annotation_file,
)
from soundspot.data.datasets.extended import read_negative_samples
from soundspot.data.datasets.layouts import FLICKR_TEST, ClipPaths, FileResolver
from soundspot.data.datasets.lists import list_ids, list_name
from soundspot.types import GroundTruth

NEGATIVES = ("flickr_test_plus_silent.csv",)
XML_FOLDERS = ("Annotations", "annotations", "anno", "gt")


def open_flickr(
    root: PathLike,
    list: str | int | os.PathLike[str] = "250",
    *,
    layout: str | None = None,
    missing: str = "refuse",
    annotations: PathLike | None = None,
) -> ClipDataset:
    """The clips of a list with the consensus of their annotators' boxes as truth, in 256 x 256.

    Args:
        root: the folder of the pictures and sounds.
        list: `250`, `249` (without 3908875350: EZ-VSL, FNAC, LVS, SSL-TIE), or a file of ids.
        layout: `ezvsl`, `ssltie`, `sslalignment` or `flat` (None: the one whose folders are there).
        media: `refuse`, `skip` or `unchecked`, see `vggss`. Unchecked, an XML file is missed only when it is read.
        annotations: the folder of the ID.xml files (None: root/Annotations, root/anno, or root).

    Raises:
        DataError: files are missing, or wrong.
    """
    clips, _ = _boxed(Path(root), list, layout, missing, annotations)
    kept, lacking = drop_missing(Path(root), clips, missing)
    return ClipDataset(f"flickr/{list_name(list)}", kept, "test", lacking)


def open_extended_flickr(
    root: PathLike,
    list: str | int | os.PathLike[str] = "250",
    *,
    layout: str | None = None,
    missing: str = "refuse",
    annotations: PathLike | None = None,
) -> ClipDataset:
    """The test set and, after it, all negatives of flickr_test_plus_silent.csv: `VIDEO+AUDIO`, grouped by picture.

    Options and errors are those of `flickr`; the table lies in `annotations`, root or root/metadata.
    """
    clips, places = _boxed(Path(root), list, layout, missing, annotations)
    given = annotations if annotations is not None and (Path(annotations) / NEGATIVES[0]).is_file() else None
    table = require_annotation_file(Path(root), given, NEGATIVES)
    absent = GroundTruth(FLICKR_SIZE, FLICKR_SIZE, rule="consensus", present=False)
    kept, lacking = drop_missing(Path(root), [*clips, *read_negative_samples(table, places, clips, absent)], missing)
    return ClipDataset(f"extended_flickr/{list_name(list)}", kept, "test", lacking)


def _boxed(
    root: Path, list: str | int | os.PathLike[str], layout: str | None, media: str, annotations: PathLike | None
) -> tuple[list[SampleEntry], ClipPaths]:
    check_choice("media", media, MISSING_POLICIES)
    ids = list_ids(list, "flickr")
    look = media != "unchecked"
    places = ClipPaths(root, FLICKR_TEST, ids, layout, look)
    folders = (root / name for name in XML_FOLDERS if (root / name).is_dir())
    folder = Path(annotations) if annotations is not None else next(folders, root)
    finder = FileResolver(folder, ("{id}",), (".xml",))
    clips = []
    for id in ids:
        (file, missed), (image, sound, lacks) = finder.resolve(id), places.resolve(id, id)
        clips.append(
            SampleEntry(
                id, id, "", image, sound, GroundTruthFile(file, "consensus"), (*lacks, file) if missed else lacks
            )
        )
    return clips, places
