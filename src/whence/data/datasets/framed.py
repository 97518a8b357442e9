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

from whence.data.authors import BOXED, MASKED, as_box, read_entries
from whence.data.datasets.layouts import IMAGES, SOUNDS, Finder
from whence.data.datasets.listed import (
    BOX_SIZE,
    MEDIA,
    Clip,
    Folder,
    Listed,
    TruthFile,
    need_authors_file,
    one_of,
    settle,
)
from whence.data.files import Listings
from whence.errors import DataError
from whence.types import Truth

TRUTHS = ("boxes", "masks")


@dataclass(frozen=True)
class FramedSet:
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
    n: int
    boxes: tuple[str, ...]
    masks: tuple[str, ...]
    images: tuple[str, ...] = ("visual_frames/{path}",)
    sounds: tuple[str, ...] = ("audio_wav/{path}",)
    gt: tuple[str, ...] = ("gt_masks/{path}",)
    depth: tuple[int, int, int] = (1, 1, 1)
    copies: bool = False
    category: Callable[[list[str]], str] = lambda parts: ""


IS3 = FramedSet(
    "is3",
    6480,
    ("synthetic3240_bbox.json", "IS3_annotation.json"),
    ("synthetic3240_seg.json", "IS3_annotation.json"),
    ("visual_frames/{path}", "images/{path}"),
    ("audio_wav/{path}", "audio_waw/{path}"),
    ("gt_masks/{path}", "gt_segmentation/{path}"),
    copies=True,
    category=lambda parts: parts[-1].rpartition("_")[2],
)
VPO_SS = FramedSet(
    "vpo_ss", 890, ("vpo_ss_bbox.json",), ("vpo_ss_seg.json",), gt=("gray_masks/{path}", "gt_masks/{path}"), copies=True
)
VPO_MS = FramedSet(
    "vpo_ms",
    2157,
    ("vpo_ms_bbox.json",),
    ("vpo_ms_seg.json",),
    gt=("gray_masks/{path}", "gt_masks/{path}"),
    copies=True,
)
AVSBENCH_S4 = FramedSet(
    "avsbench_s4",
    3700,
    ("s4_box.json",),
    ("s4_seg.json",),
    ("visual_frames/test/{path}",),
    ("audio_wav/test/{path}",),
    ("gt_masks/test/{path}",),
    depth=(3, 2, 3),
    category=lambda parts: parts[0],
)
AVSBENCH_MS3 = FramedSet(
    "avsbench_ms3",
    320,
    ("ms3_box.json",),
    ("ms3_seg.json",),
    sounds=("audio_wav/test/{path}",),
    gt=("gt_masks/test/{path}",),
    depth=(2, 1, 2),
)


def framed(
    spec: FramedSet,
    root: Folder,
    *,
    truth: str = "boxes",
    media: str = "refuse",
    annotations: Folder | None = None,
) -> Listed:
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
    one_of("truth", truth, TRUTHS)
    one_of("media", media, MEDIA)
    root = Path(root)
    masked = truth == "masks"
    file = need_authors_file(root, annotations, spec.masks if masked else spec.boxes)
    keys = BOXED if not masked else MASKED if file.name == spec.masks[0] else {key: BOXED[key] for key in _PATHS}
    entries = read_entries(file, keys, "image")
    look, listings = media != "unchecked", Listings(root)
    if look and not root.is_dir():
        raise DataError(f"{root}: found no such folder, expected the pictures and sounds. Check the path")
    pictures = tuple(dict.fromkeys([os.path.splitext(entries[0]["image"])[1].lower(), *IMAGES]))
    finders = [Finder(root, spec.images, pictures, look, listings), Finder(root, spec.sounds, SOUNDS, look, listings)]
    if masked:  # masks are annotations: looked for even where pictures are not
        finders.append(Finder(root, spec.gt, IMAGES, True, listings))
    kept, lacking = settle(root, (_clip(spec, entry, finders, file) for entry in entries), media)
    return Listed(f"{spec.name}/{truth}", kept, "test", lacking)


def _clip(spec: FramedSet, entry: dict[str, Any], finders: Sequence[Finder], file: Path) -> Clip:
    """One entry of a list; with a third finder its truth is the mask."""
    marked = entry.get("gt_box")
    paths = (entry["image"], entry["audio"], marked if isinstance(marked, str) else entry["image"])
    tails = [tail(path, depth, file) for path, depth in zip(paths, spec.depth, strict=True)]
    found = [find(path=path) for find, path in zip(finders, tails, strict=False)]
    parts = tails[0].split("/")
    return Clip(
        id=parts[-1],
        group=parts[-1].rpartition("_")[0] if spec.copies else parts[-1],
        category=spec.category(parts),
        image=found[0][0],
        sound=found[1][0],
        truth=TruthFile(found[2][0], "mask")
        if len(found) > 2
        else Truth(BOX_SIZE, BOX_SIZE, (as_box(entry["gt_box"]),)),
        lacks=tuple(missed for _, missed in found if missed),
    )


def tail(path: str, depth: int, file: Path) -> str:
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
