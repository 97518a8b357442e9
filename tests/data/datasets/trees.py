"""Small trees of the real structure, around excerpts of the authors' real files."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

SENTINEL = -2.8823037615171176e16
VGGSS = [
    {"file": "zpWuikVorYg_000032", "class": "elk bugling", "bbox": [[0.403125, 0.253125, 0.6, 0.75]]},
    {
        "file": "Db6Hjt0x28k_000056",
        "class": "playing timbales",
        "bbox": [[0.384375, 0.859375, 0.696875, SENTINEL], [0.05, 0.35625, 0.753125, 0.98125]],
    },
]
IS3 = "/mnt/lynx2/users/arda/synthetic3241"
S4 = "/mnt/lynx3/datasets/AVSbench/Single-source/s4_data"
MS3 = "/mnt/lynx3/datasets/AVSbench/Multi-sources/ms3_data"
VPO = "/mnt/lynx2/users/arda/SSL_COCO/COCO_AV_MS"


def entry(image: str, audio: str, box: list[float], mask: str) -> tuple[dict, dict]:
    """An item of a `*_box.json` and of a `*_seg.json`."""
    return {"image": image, "audio": audio, "gt_box": box}, {
        "image": image,
        "audio": audio,
        "gt_box": mask,
        "offset": 1,
    }


def is3(stem: str, box: list[float]) -> tuple[dict, dict]:
    folders = ("visual_frames/{}.jpg", "audio_wav/{}.wav", "gt_masks/{}.jpg")
    image, audio, mask = (f"{IS3}/{folder.format(stem)}" for folder in folders)
    return entry(image, audio, box, mask)


FRAMED = {
    "is3": [
        is3("accordion_female_10438_accordion", [47.0, 99.0, 154.0, 185.0]),
        is3("accordion_female_10438_female", [10.0, 0.0, 60.0, 224.0]),
    ],
    "vpo_ms": [
        entry(f"{VPO}/visual_frames/{s}.jpg", f"{VPO}/audio_wav/{s}.wav", box, f"{VPO}/gray_masks/{s}.jpg")
        for s, box in (("000000489267_157452", [111.0, 106.0, 126.0, 114.0]), ("000000489267_90", [0.0] * 4))
    ],
    "avsbench_s4": [
        entry(
            f"{S4}/visual_frames/test/helicopter/0d9u2CymIxc/0d9u2CymIxc_{n}.png",
            f"{S4}/audio_wav/test/helicopter/0d9u2CymIxc.wav",
            [20.0, 62.0, 194.0, 131.0],
            f"{S4}/gt_masks/test/helicopter/0d9u2CymIxc/0d9u2CymIxc_{n}.png",
        )
        for n in (1, 2)
    ],
    "avsbench_ms3": [
        entry(
            f"{MS3}/visual_frames/rq5RDUm2Hnk_1/rq5RDUm2Hnk_1.mp4_{n}.png",
            f"{MS3}/audio_wav/test/rq5RDUm2Hnk_1.wav",
            box,
            f"{MS3}/gt_masks/test/rq5RDUm2Hnk_1/rq5RDUm2Hnk_1_{n}.png",
        )
        for n, box in ((1, [0.0] * 4), (2, [75.0, 0.0, 200.0, 223.0]))
    ],
}
FRAMED["vpo_ss"] = FRAMED["vpo_ms"]
FILES = {
    "is3": ("synthetic3240_bbox.json", "synthetic3240_seg.json"),
    "vpo_ss": ("vpo_ss_bbox.json", "vpo_ss_seg.json"),
    "vpo_ms": ("vpo_ms_bbox.json", "vpo_ms_seg.json"),
    "avsbench_s4": ("s4_box.json", "s4_seg.json"),
    "avsbench_ms3": ("ms3_box.json", "ms3_seg.json"),
}


def put(root: Path, pictures: Iterable[str] = (), sounds: Iterable[str] = ()) -> Path:
    """Small pictures and sounds at these paths below root."""
    for path in pictures:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6), (9, 0, 0)).save(root / path, "JPEG" if path.endswith("jpg") else "PNG")
    for path in sounds:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(root / path, np.full(160, 0.5), 16000, format="MP3" if path.endswith("mp3") else "WAV")
    return root


def write_json(path: Path, value: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def framed(root: Path, name: str, folders: dict[str, str] | None = None) -> Path:
    """The lists of a set and its files, in folders of their names or of those that `folders` has for them."""
    boxed, masked = zip(*FRAMED[name], strict=True)
    for file, entries in zip(FILES[name], (boxed, masked), strict=True):
        write_json(root / file, entries)
    for one in masked:
        for key in ("image", "audio", "gt_box"):
            path = one[key]
            at = next(
                path.index(top) for top in ("visual_frames", "audio_wav", "gt_masks", "gray_masks") if top in path
            )
            top, _, rest = path[at:].partition("/")
            below = f"{(folders or {}).get(top, top)}/{rest}"
            if key == "audio":
                put(root, sounds=[below])
            elif key == "image":
                put(root, [below])
            else:
                mask(root / below)
    return root


def mask(path: Path) -> None:
    """A mask with an object in its upper left quarter, of 0 and 1 as PNG, of 0 and 255 with noise as JPEG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    there = np.zeros((32, 32), np.uint8)
    there[:16, :16] = 255 if path.suffix == ".jpg" else 1
    Image.fromarray(there).save(path, **({"quality": 30} if path.suffix == ".jpg" else {}))


def milliseconds(id: str) -> str:
    return f"{id[:11]}_{int(id[12:])}000_{int(id[12:]) + 10}000"
