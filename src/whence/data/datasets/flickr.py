"""The Flickr-SoundNet test set and its extended form: pictures of 256 x 256 with the boxes of three annotators each.

Senocak et al., "Learning to Localize Sound Source in Visual Scenes", CVPR 2018; negatives by Mo and Morgado, NeurIPS
2022. The truth is the consensus of the boxes: summed, halved, cut at 1.
"""

import os
from pathlib import Path

from whence.data.datasets.extended import negatives
from whence.data.datasets.layouts import FLICKR_TEST, Finder, Places
from whence.data.datasets.listed import (
    FLICKR_SIZE,
    MEDIA,
    Clip,
    Folder,
    Listed,
    TruthFile,
    need_authors_file,
    one_of,
    settle,
)
from whence.data.lists import ids_of, list_name
from whence.types import Truth

NEGATIVES = ("flickr_test_plus_silent.csv",)
XML_FOLDERS = ("Annotations", "annotations", "anno", "gt")


def flickr(
    root: Folder,
    list: str | int | os.PathLike[str] = "250",
    *,
    layout: str | None = None,
    media: str = "refuse",
    annotations: Folder | None = None,
) -> Listed:
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
    clips, _ = _boxed(Path(root), list, layout, media, annotations)
    kept, lacking = settle(Path(root), clips, media)
    return Listed(f"flickr/{list_name(list)}", kept, "test", lacking)


def extended_flickr(
    root: Folder,
    list: str | int | os.PathLike[str] = "250",
    *,
    layout: str | None = None,
    media: str = "refuse",
    annotations: Folder | None = None,
) -> Listed:
    """The test set and, after it, all negatives of flickr_test_plus_silent.csv: `VIDEO+AUDIO`, grouped by picture.

    Options and errors are those of `flickr`; the table lies in `annotations`, root or root/metadata.
    """
    clips, places = _boxed(Path(root), list, layout, media, annotations)
    given = annotations if annotations is not None and (Path(annotations) / NEGATIVES[0]).is_file() else None
    table = need_authors_file(Path(root), given, NEGATIVES)
    absent = Truth(FLICKR_SIZE, FLICKR_SIZE, rule="consensus", present=False)
    kept, lacking = settle(Path(root), [*clips, *negatives(table, places, clips, absent)], media)
    return Listed(f"extended_flickr/{list_name(list)}", kept, "test", lacking)


def _boxed(
    root: Path, list: str | int | os.PathLike[str], layout: str | None, media: str, annotations: Folder | None
) -> tuple[list[Clip], Places]:
    one_of("media", media, MEDIA)
    ids = ids_of(list, "flickr")
    look = media != "unchecked"
    places = Places(root, FLICKR_TEST, ids, layout, look)
    folders = (root / name for name in XML_FOLDERS if (root / name).is_dir())
    folder = Path(annotations) if annotations is not None else next(folders, root)
    finder = Finder(folder, ("{id}",), (".xml",))
    clips = []
    for id in ids:
        (file, missed), (image, sound, lacks) = finder.of(id), places.of(id, id)
        clips.append(Clip(id, id, "", image, sound, TruthFile(file, "consensus"), (*lacks, file) if missed else lacks))
    return clips, places
