"""Scenes as files: any of them written as a catalog that opens as the same samples."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from soundspot.data.datasets.catalog_format import ANNOTATIONS_FILE, FORMAT_VERSION
from soundspot.data.media.audio_writer import write_audio
from soundspot.scenes.dataset import SceneDataset
from soundspot.utils.atomic_io import atomic_write_folder
from soundspot.utils.progress import track


def write_catalog(scenes: SceneDataset, folder: str | Path, overwrite: bool = False) -> Path:
    """Write scenes as a catalog: `annotations.json`, `images/` and `masks/` (PNG) and `audio/` (FLAC, 16 bit).

    Each sample is an entry of `images` that names its recording (`sound`), so that `Catalog(folder, split)` has the
    same samples in the same order: split `train` for training scenes, else `test`. Samples of one image share its file.
    Box and mask are those of the object that sounds (silent distractors are not annotated); where none does, there are
    none, and `kind` names the audio: `silence`, `noise` or `offscreen`.

    Args:
        scenes: scenes to write, all samples of their epoch.
        folder: path of the folder to create.
        overwrite: whether an existing folder is replaced.

    Returns:
        Path of the folder.

    Raises:
        OutputError: the folder exists and `overwrite` is False. Nothing half-written is left behind.
    """
    folder = Path(folder)
    with atomic_write_folder(folder, overwrite) as draft:
        for name in ("images", "masks", "audio"):
            (draft / name).mkdir()
        entries = [_write_sample(scenes, index, draft) for index in track(range(len(scenes)), "scenes")]
        annotations = {
            "version": FORMAT_VERSION,
            "sample_rate": scenes.rate,
            "box_format": "xyxy pixels",
            "scenes": {"name": scenes.name, "seed": scenes.seed, "epoch": scenes.epoch},
            "images": [image for image, _ in entries],
            "audio": [audio for _, audio in entries],
        }
        (draft / ANNOTATIONS_FILE).write_text(json.dumps(annotations, indent=1) + "\n", encoding="utf-8")
    return folder


def _write_sample(scenes: SceneDataset, index: int, folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the files of a sample and return its entries (image, audio)."""
    id, ground_truth, audio = scenes.id(index), scenes.ground_truth(index), scenes.read_audio(index)
    image_file, mask_file, audio_file = f"images/{scenes.group(index)}.png", f"masks/{id}.png", f"audio/{id}.flac"
    if not (folder / image_file).exists():  # the samples of one image come one after the other
        scenes.read_image(index).save(folder / image_file)
    if ground_truth.present:
        assert ground_truth.mask is not None
        pixels = ground_truth.mask.numpy().astype(np.uint8) * np.uint8(255)
        Image.fromarray(pixels).convert("1").save(folder / mask_file)
    write_audio(folder / audio_file, audio, "PCM_16")
    common = {
        "category": scenes.category(index),
        "split": "train" if scenes.kind == "train" else "test",
        "group": scenes.group(index),
        "source": scenes.name,
    }
    image_entry = {
        "file": image_file,
        "width": ground_truth.width,
        "height": ground_truth.height,
        "boxes": [[box.x0, box.y0, box.x1, box.y1] for box in ground_truth.boxes],
        "mask": mask_file if ground_truth.present else None,
        "annotation": "composed",
        "sound": audio_file,
        "kind": scenes.audio_kind(index),
        **common,
    }
    return image_entry, {"file": audio_file, "seconds": audio.seconds, **common}
