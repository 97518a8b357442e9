"""VGG-SS and its extended form: clips of VGGSound with boxes, and images paired with sounds of other clips.

Chen et al., "Localizing Visual Sounds the Hard Way", CVPR 2021; Mo and Morgado, "A Closer Look at Weakly-Supervised
Audio-Visual Source Localization", NeurIPS 2022. Boxes are fractions of the image. Some hold numbers far outside (an
overflow of the annotation tool), which every released evaluator clips; such boxes stay, and are empty as maps.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from soundspot.data.datasets.annotation_files import FRACTION_BOX_FIELDS, read_entries, to_box
from soundspot.data.datasets.base import (
    ClipDataset,
    PathLike,
    SampleEntry,
    drop_missing,
    find_annotation_file,
    select_samples,
)
from soundspot.data.datasets.clip_ids import normalize_clip_id
from soundspot.data.datasets.layouts import VGGSS, ClipPaths, FileResolver, read_negative_samples, read_xml_samples
from soundspot.data.datasets.lists import list_ids, list_name
from soundspot.data.datasets.vggsounder import clip_attributes, read_vggsounder
from soundspot.errors import DataError
from soundspot.types import Box, GroundTruth

BOXES = ("vggss.json", "vggss_annotations.json")
NEGATIVES = ("vggss_test_plus_silent.csv",)


def open_vggss(
    name: str,
    root: PathLike,
    list: str | int | os.PathLike[str] = "5158",
    *,
    layout: str | None = None,
    missing: str = "error",
    annotations: PathLike | None = None,
    vggsounder: PathLike | None = None,
    where: Mapping[str, str] | None = None,
) -> ClipDataset:
    """Open VGG-SS: clips with the union of their boxes as ground truth, in fractions (1 x 1).

    Args:
        name: `vggss`, or `extended_vggss`, which has all negatives of vggss_test_plus_silent.csv after the clips, of id
            `VIDEO+AUDIO`, grouped by image.
        root: folder of the images and audio.
        list: `5158` (all), `4655` (those that SSLalignment evaluates), `heard`, `unheard`, or the path of a file of
            ids.
        layout: `ezvsl`, `sslalignment` or `ssltie` (None: the first whose folders exist).
        missing: `error`, `skip` (clips that lack a file are left out with a warning and counted in `skipped`), or
            `ignore`: no image or audio is looked for, to score maps that exist already.
        annotations: folder of vggss.json (None: root or root/metadata; without any, SSL-TIE's root/anno/ID.xml).
        vggsounder: wheel of the package `vggsounder`, or a CSV file in it, which says of each clip what is heard and
            visible: attributes `modality` (`AV`, `A`, `V`, `not labeled`), `background_music`, `static_image` and
            `voice_over` (`yes`, `no`), by which reports divide scores (`--group-by`).
        where: attributes that clips must have, such as `{modality: AV, voice_over: no}`.

    Returns:
        The samples, in the order of the list; split `test`.

    Raises:
        DataError: files are missing, or wrong; a listed clip has no boxes.
        RecipeError: an unknown layout, policy, attribute or value.
    """
    root, ids = Path(root), list_ids(list, "vggss")
    paths = ClipPaths(root, VGGSS, ids, layout, missing != "ignore")
    try:
        file = find_annotation_file(root, annotations, BOXES)
    except DataError:
        if not (root / "anno").is_dir():
            raise
        samples = read_xml_samples(ids, paths, FileResolver(root, ("anno/{id}",), (".xml",)), "fractions")
    else:
        samples = _read_json_samples(ids, paths, file, str(list))
    if name == "extended_vggss":
        table = find_annotation_file(root, annotations, NEGATIVES)
        samples += read_negative_samples(table, paths, samples, GroundTruth(1, 1, present=False))
    if vggsounder is not None:
        clips = read_vggsounder(vggsounder)
        samples = [replace(s, attributes=clip_attributes(clips, s.group, s.category)) for s in samples]
    samples = select_samples(samples, where or {})
    samples, incomplete = drop_missing(root, samples, missing)
    return ClipDataset(f"{name}/{list_name(list)}", samples, "test", incomplete)


def read_vggss_boxes(path: Path) -> dict[str, tuple[str, tuple[Box, ...]]]:
    """Read vggss.json.

    Args:
        path: path of the file.

    Returns:
        (class, boxes in fractions of the image's width and height) of each clip, by clip id.

    Raises:
        DataError: the file is no JSON list, an entry lacks `file`, `class` or `bbox`, or two entries are of one file.
    """
    entries = read_entries(path, FRACTION_BOX_FIELDS, "file")
    return {
        normalize_clip_id(entry["file"]): (entry["class"], tuple(to_box(box) for box in entry["bbox"]))
        for entry in entries
    }


def _read_json_samples(ids: Sequence[str], paths: ClipPaths, file: Path, list_label: str) -> list[SampleEntry]:
    boxes = read_vggss_boxes(file)
    unannotated = [id for id in ids if id not in boxes]
    if unannotated:
        raise DataError(
            f"{file}: of {len(ids)} clips in the list {list_label!r} {len(unannotated)} have no entry (first: "
            f"{', '.join(unannotated[:3])}), expected boxes for each. Fetch the complete file, or name a list by its "
            "path"
        )
    samples = []
    for id in ids:
        (category, clip_boxes), (image, audio, missing) = boxes[id], paths.resolve(id, id)
        samples.append(SampleEntry(id, id, category, image, audio, GroundTruth(1, 1, clip_boxes), missing))
    return samples
