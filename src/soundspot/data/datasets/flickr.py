"""The Flickr-SoundNet test set and its extended form: images of 256 x 256 with the boxes of three annotators each.

Senocak et al., "Learning to Localize Sound Source in Visual Scenes", CVPR 2018; negatives by Mo and Morgado, NeurIPS
2022. The ground truth is the consensus of the boxes: summed, halved, clipped at 1.
"""

import os
from pathlib import Path

from soundspot.data.datasets.base import (
    FLICKR_SIZE,
    ClipDataset,
    PathLike,
    drop_missing,
    find_annotation_file,
)
from soundspot.data.datasets.layouts import (
    FLICKR_TEST,
    ClipPaths,
    FileResolver,
    read_negative_samples,
    read_xml_samples,
)
from soundspot.data.datasets.lists import list_ids, list_name
from soundspot.types import GroundTruth

NEGATIVES = ("flickr_test_plus_silent.csv",)
XML_FOLDERS = ("Annotations", "annotations", "anno", "gt")


def open_flickr(
    name: str,
    root: PathLike,
    list: str | int | os.PathLike[str] = "250",
    *,
    layout: str | None = None,
    missing: str = "error",
    annotations: PathLike | None = None,
) -> ClipDataset:
    """Open the Flickr-SoundNet test set: clips with the consensus of their annotators' boxes, in 256 x 256.

    Args:
        name: `flickr`, or `extended_flickr`, which has all negatives of flickr_test_plus_silent.csv after the clips, of
            id `VIDEO+AUDIO`, grouped by image; the table lies in `annotations`, root or root/metadata.
        root: folder of the images and audio.
        list: `250`, `249` (without 3908875350: EZ-VSL, FNAC, LVS, SSL-TIE), or the path of a file of ids.
        layout: `ezvsl`, `ssltie`, `sslalignment` or `flat` (None: the first whose folders exist).
        missing: treatment of missing files: `error` raises, `skip` leaves these clips out with a warning, `ignore`
            looks for no image and no audio, to score maps that exist already; a missing XML file is then noticed only
            when it is read.
        annotations: folder of the ID.xml files (None: root/Annotations, root/annotations, root/anno, root/gt, or root).

    Returns:
        The samples, in the order of the list; split `test`.

    Raises:
        DataError: files are missing, or wrong.
        RecipeError: an unknown layout or policy.
    """
    root, ids = Path(root), list_ids(list, "flickr")
    paths = ClipPaths(root, FLICKR_TEST, ids, layout, missing != "ignore")
    folders = (root / folder for folder in XML_FOLDERS if (root / folder).is_dir())
    folder = Path(annotations) if annotations is not None else next(folders, root)
    samples = read_xml_samples(ids, paths, FileResolver(folder, ("{id}",), (".xml",)), "consensus")
    if name == "extended_flickr":
        has_table = annotations is not None and (Path(annotations) / NEGATIVES[0]).is_file()
        table = find_annotation_file(root, annotations if has_table else None, NEGATIVES)
        absent = GroundTruth(FLICKR_SIZE, FLICKR_SIZE, rule="consensus", present=False)
        samples += read_negative_samples(table, paths, samples, absent)
    samples, incomplete = drop_missing(root, samples, missing)
    return ClipDataset(f"{name}/{list_name(list)}", samples, "test", incomplete)
