"""IS3, VPO-SS, VPO-MS and AVSBench's S4 and MS3: one JSON list of images, audio files and boxes or masks for each.

Senocak et al., "Aligning Sight and Sound" (IS3; all lists are from its repository, kaistmm/SSLalignment metadata/);
Zhou et al., "Audio-Visual Segmentation", ECCV 2022; Chen et al., "Unraveling Instance Associations", CVPR 2024 (VPO).
The lists hold absolute paths of their authors' machines, of which only the last components are used. Boxes are pixels
of the image squashed to 224 x 224; one of four zeros marks nothing, and does not mean that the source is absent.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from soundspot.data.datasets.annotation_files import BOX_FIELDS, MASK_FIELDS, read_entries, to_box
from soundspot.data.datasets.base import (
    BOX_SIZE,
    ClipDataset,
    GroundTruthFile,
    PathLike,
    SampleEntry,
    check_choice,
    drop_missing,
    find_annotation_file,
)
from soundspot.data.datasets.layouts import AUDIO_SUFFIXES, FileResolver
from soundspot.data.media.file_types import IMAGE_SUFFIXES, DirectoryIndex
from soundspot.errors import DataError
from soundspot.types import GroundTruth


@dataclass(frozen=True)
class BenchmarkSpec:
    """The properties in which IS3, VPO-SS, VPO-MS and AVSBench's S4 and MS3 differ.

    Attributes:
        num_samples: number of samples as published.
        box_files, mask_files: possible names of the authors' list of boxes and of masks, in order of preference.
        image_templates, audio_templates, mask_templates: file templates, tried in their order; `{path}` is the end of a
            path in the list, without suffix.
        path_depth: number of path components that are used at the end of a path, of image, audio and mask.
        has_copies: whether an image is copied for each of its sounds, so that the part of a name after its last `_`
            distinguishes the copies.
        category: function from the path components of the image to the category of the sound; empty where it is not
            known.
    """

    num_samples: int
    box_files: tuple[str, ...]
    mask_files: tuple[str, ...]
    image_templates: tuple[str, ...] = ("visual_frames/{path}",)
    audio_templates: tuple[str, ...] = ("audio_wav/{path}",)
    mask_templates: tuple[str, ...] = ("gt_masks/{path}",)
    path_depth: tuple[int, int, int] = (1, 1, 1)
    has_copies: bool = False
    category: Callable[[list[str]], str] = lambda components: ""


_VPO_MASKS = ("gray_masks/{path}", "gt_masks/{path}")
BENCHMARKS = {
    "is3": BenchmarkSpec(
        6480,
        ("synthetic3240_bbox.json", "IS3_annotation.json"),
        ("synthetic3240_seg.json", "IS3_annotation.json"),
        ("visual_frames/{path}", "images/{path}"),
        ("audio_wav/{path}", "audio_waw/{path}"),
        ("gt_masks/{path}", "gt_segmentation/{path}"),
        has_copies=True,
        category=lambda components: components[-1].rpartition("_")[2],
    ),
    "vpo_ss": BenchmarkSpec(
        890, ("vpo_ss_bbox.json",), ("vpo_ss_seg.json",), mask_templates=_VPO_MASKS, has_copies=True
    ),
    "vpo_ms": BenchmarkSpec(
        2157, ("vpo_ms_bbox.json",), ("vpo_ms_seg.json",), mask_templates=_VPO_MASKS, has_copies=True
    ),
    "avsbench_s4": BenchmarkSpec(
        3700,
        ("s4_box.json",),
        ("s4_seg.json",),
        ("visual_frames/test/{path}",),
        ("audio_wav/test/{path}",),
        ("gt_masks/test/{path}",),
        path_depth=(3, 2, 3),
        category=lambda components: components[0],
    ),
    "avsbench_ms3": BenchmarkSpec(
        320,
        ("ms3_box.json",),
        ("ms3_seg.json",),
        audio_templates=("audio_wav/test/{path}",),
        mask_templates=("gt_masks/test/{path}",),
        path_depth=(2, 1, 2),
    ),
}


def open_benchmark(
    name: str,
    root: PathLike,
    *,
    ground_truth: str = "boxes",
    missing: str = "error",
    annotations: PathLike | None = None,
) -> ClipDataset:
    """Open IS3, VPO-SS, VPO-MS or AVSBench's S4 or MS3.

    Args:
        name: `is3`, `vpo_ss`, `vpo_ms`, `avsbench_s4` or `avsbench_ms3`.
        root: folder of the images, audio and masks, under the names of the lists or those of the release.
        ground_truth: `boxes` (in pixels of 224 x 224), or `masks`, each at its own size and read on access.
        missing: treatment of missing files: `error` raises, `skip` leaves these samples out with a warning, `ignore`
            looks for no image and no audio, to score maps that exist already; masks are looked for in any case.
        annotations: folder of the list (None: root or root/metadata).

    Returns:
        The samples, in the order of the list; split `test`.

    Raises:
        DataError: files are missing, or wrong.
        RecipeError: an unknown `ground_truth` or policy.
    """
    check_choice("ground_truth", ground_truth, ("boxes", "masks"))
    spec, root = BENCHMARKS[name], Path(root)
    if ground_truth == "boxes":
        file, fields = find_annotation_file(root, annotations, spec.box_files), BOX_FIELDS
    else:
        file, fields = find_annotation_file(root, annotations, spec.mask_files), MASK_FIELDS
        if file.name != spec.mask_files[0]:  # a file of boxes, whose mask has the image's name
            fields = {key: BOX_FIELDS[key] for key in ("image", "audio")}
    entries = read_entries(file, fields, "image")
    check_disk, index = missing != "ignore", DirectoryIndex(root)
    if check_disk and not root.is_dir():
        raise DataError(f"{root}: found no such folder, expected images and audio. Check the path")
    suffixes = tuple(dict.fromkeys([os.path.splitext(entries[0]["image"])[1].lower(), *IMAGE_SUFFIXES]))
    resolvers = [
        FileResolver(root, spec.image_templates, suffixes, check_disk, index),
        FileResolver(root, spec.audio_templates, AUDIO_SUFFIXES, check_disk, index),
    ]
    if ground_truth == "masks":
        resolvers.append(FileResolver(root, spec.mask_templates, IMAGE_SUFFIXES, True, index))
    samples = (_to_sample(spec, entry, resolvers, file) for entry in entries)
    complete, incomplete = drop_missing(root, samples, missing)
    return ClipDataset(f"{name}/{ground_truth}", complete, "test", incomplete)


def _to_sample(
    spec: BenchmarkSpec, entry: dict[str, Any], resolvers: Sequence[FileResolver], file: Path
) -> SampleEntry:
    """Convert an entry of the list; with a third resolver the ground truth is the mask."""
    mask = entry.get("gt_box")
    paths = (entry["image"], entry["audio"], mask if isinstance(mask, str) else entry["image"])
    ends = [_path_end(path, depth, file) for path, depth in zip(paths, spec.path_depth, strict=True)]
    files = [resolve(path=path) for resolve, path in zip(resolvers, ends, strict=False)]
    components = ends[0].split("/")
    ground_truth: GroundTruth | GroundTruthFile
    if len(files) > 2:
        ground_truth = GroundTruthFile(files[2][0], "mask")
    else:
        ground_truth = GroundTruth(BOX_SIZE, BOX_SIZE, (to_box(entry["gt_box"]),))
    return SampleEntry(
        id=components[-1],
        group=components[-1].rpartition("_")[0] if spec.has_copies else components[-1],
        category=spec.category(components),
        image=files[0][0],
        audio=files[1][0],
        ground_truth=ground_truth,
        missing_files=tuple(missing for _, missing in files if missing),
    )


def _path_end(path: str, depth: int, file: Path) -> str:
    """Return the last `depth` components of a path in the list `file`, without suffix.

    Raises:
        DataError: the path has fewer, or some that lead elsewhere.
    """
    components = path.replace("\\", "/").split("/")[-depth:]
    if len(components) < depth or not all(component.strip(".") for component in components):
        raise DataError(f"{file}: found the path {path!r}, expected {depth} components or more. Correct the entry")
    *folders, name = components
    return "/".join([*folders, os.path.splitext(name)[0]])
