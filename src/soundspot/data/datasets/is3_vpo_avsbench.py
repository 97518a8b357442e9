"""IS3, VPO-SS, VPO-MS and AVSBench's S4 and MS3: one JSON list of pictures, sounds and boxes or masks for each.

Senocak et al., "Aligning Sight and Sound" (IS3; all lists are from its repository, kaistmm/SSLalignment metadata/);
Zhou et al., "Audio-Visual Segmentation", ECCV 2022; Chen et al., "Unraveling Instance Associations", CVPR 2024 (VPO).
The lists hold paths of their authors' machines, of which only the last parts are used. Boxes are pixels of the picture
squashed to 224 x 224; one of four zeros says that nothing is marked, not that the source is absent.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundspot.data.datasets.annotation_files import BOX_FIELDS, MASK_FIELDS, read_entries, to_box
from soundspot.data.datasets.base import (
    BOX_SIZE,
    MISSING_POLICIES,
    ClipDataset,
    GroundTruthFile,
    PathLike,
    SampleEntry,
    check_choice,
    drop_missing,
    require_annotation_file,
)
from soundspot.data.datasets.layouts import AUDIO_SUFFIXES, IMAGE_SUFFIXES, FileResolver
from soundspot.data.media.file_types import DirectoryIndex
from soundspot.errors import DataError
from soundspot.types import GroundTruth

GROUND_TRUTHS = ("boxes", "masks")


@dataclass(frozen=True)
class BenchmarkSpec:
    """What tells these sets apart.

    Attributes:
        n: items as published.
        boxes, masks: names of the authors' files.
        images, sounds, gt: folders, tried in their order; `{path}` is what is kept of a path.
        depth: how many parts of the paths of picture, sound and mask are kept.
        copies: pictures are copied for each of their sounds, and the last part of a name tells the copies apart.
        category: (parts of the picture's path) -> what sounds.
    """

    name: str
    num_samples: int
    box_files: tuple[str, ...]
    mask_files: tuple[str, ...]
    image_templates: tuple[str, ...] = ("visual_frames/{path}",)
    audio_templates: tuple[str, ...] = ("audio_wav/{path}",)
    mask_templates: tuple[str, ...] = ("gt_masks/{path}",)
    path_depth: tuple[int, int, int] = (1, 1, 1)
    has_copies: bool = False
    category: Callable[[list[str]], str] = lambda parts: ""


IS3 = BenchmarkSpec(
    "is3",
    6480,
    ("synthetic3240_bbox.json", "IS3_annotation.json"),
    ("synthetic3240_seg.json", "IS3_annotation.json"),
    ("visual_frames/{path}", "images/{path}"),
    ("audio_wav/{path}", "audio_waw/{path}"),
    ("gt_masks/{path}", "gt_segmentation/{path}"),
    has_copies=True,
    category=lambda parts: parts[-1].rpartition("_")[2],
)
VPO_SS = BenchmarkSpec(
    "vpo_ss",
    890,
    ("vpo_ss_bbox.json",),
    ("vpo_ss_seg.json",),
    mask_templates=("gray_masks/{path}", "gt_masks/{path}"),
    has_copies=True,
)
VPO_MS = BenchmarkSpec(
    "vpo_ms",
    2157,
    ("vpo_ms_bbox.json",),
    ("vpo_ms_seg.json",),
    mask_templates=("gray_masks/{path}", "gt_masks/{path}"),
    has_copies=True,
)
AVSBENCH_S4 = BenchmarkSpec(
    "avsbench_s4",
    3700,
    ("s4_box.json",),
    ("s4_seg.json",),
    ("visual_frames/test/{path}",),
    ("audio_wav/test/{path}",),
    ("gt_masks/test/{path}",),
    path_depth=(3, 2, 3),
    category=lambda parts: parts[0],
)
AVSBENCH_MS3 = BenchmarkSpec(
    "avsbench_ms3",
    320,
    ("ms3_box.json",),
    ("ms3_seg.json",),
    audio_templates=("audio_wav/test/{path}",),
    mask_templates=("gt_masks/test/{path}",),
    path_depth=(2, 1, 2),
)


def open_benchmark(
    spec: BenchmarkSpec,
    root: PathLike,
    *,
    ground_truth: str = "boxes",
    missing: str = "refuse",
    annotations: PathLike | None = None,
) -> ClipDataset:
    """The items of one of these sets, in the order of its list.

    Args:
        spec: which set.
        root: the folder of the pictures, sounds and masks, under the names of the lists or those of the release.
        truth: `boxes` (224 x 224), or `masks`, each at its own size and read when it is asked for.
        media: `refuse`, `skip` or `unchecked`, see `vggss`; masks are looked for like pictures.
        annotations: the folder of the list (None: root or root/metadata).

    Raises:
        DataError: files are missing, or wrong.
    """
    check_choice("truth", ground_truth, GROUND_TRUTHS)
    check_choice("media", missing, MISSING_POLICIES)
    root = Path(root)
    masked = ground_truth == "masks"
    file = require_annotation_file(root, annotations, spec.mask_files if masked else spec.box_files)
    keys = (
        BOX_FIELDS
        if not masked
        else MASK_FIELDS
        if file.name == spec.mask_files[0]
        else {key: BOX_FIELDS[key] for key in _PATHS}
    )
    entries = read_entries(file, keys, "image")
    look, listings = missing != "unchecked", DirectoryIndex(root)
    if look and not root.is_dir():
        raise DataError(f"{root}: found no such folder, expected the pictures and sounds. Check the path")
    pictures = tuple(dict.fromkeys([os.path.splitext(entries[0]["image"])[1].lower(), *IMAGE_SUFFIXES]))
    finders = [
        FileResolver(root, spec.image_templates, pictures, look, listings),
        FileResolver(root, spec.audio_templates, AUDIO_SUFFIXES, look, listings),
    ]
    if masked:  # masks are annotations: looked for even where pictures are not
        finders.append(FileResolver(root, spec.mask_templates, IMAGE_SUFFIXES, True, listings))
    kept, lacking = drop_missing(root, (_clip(spec, entry, finders, file) for entry in entries), missing)
    return ClipDataset(f"{spec.name}/{ground_truth}", kept, "test", lacking)


def _clip(spec: BenchmarkSpec, entry: dict[str, Any], finders: Sequence[FileResolver], file: Path) -> SampleEntry:
    """One entry of a list; with a third finder its truth is the mask."""
    marked = entry.get("gt_box")
    paths = (entry["image"], entry["audio"], marked if isinstance(marked, str) else entry["image"])
    tails = [path_tail(path, depth, file) for path, depth in zip(paths, spec.path_depth, strict=True)]
    found = [find(path=path) for find, path in zip(finders, tails, strict=False)]
    parts = tails[0].split("/")
    return SampleEntry(
        id=parts[-1],
        group=parts[-1].rpartition("_")[0] if spec.has_copies else parts[-1],
        category=spec.category(parts),
        image=found[0][0],
        audio=found[1][0],
        ground_truth=GroundTruthFile(found[2][0], "mask")
        if len(found) > 2
        else GroundTruth(BOX_SIZE, BOX_SIZE, (to_box(entry["gt_box"]),)),
        missing_files=tuple(missed for _, missed in found if missed),
    )


def path_tail(path: str, depth: int, file: Path) -> str:
    """The last `depth` parts of a path of somebody's machine, without its suffix.

    Raises:
        DataError: it has fewer, or they lead elsewhere; `file` is where it stands.
    """
    parts = path.replace("\\", "/").split("/")[-depth:]
    if len(parts) < depth or not all(part.strip(".") for part in parts):
        raise DataError(f"{file}: found the path {path!r}, expected {depth} parts or more. Correct the entry")
    *folders, name = parts
    return "/".join([*folders, os.path.splitext(name)[0]])


_PATHS = ("image", "audio")
