"""Scenes as files: any of them written as a catalogue (`soundspot.data.datasets.catalog_format`) that gives the same items back."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from soundspot.scenes.dataset import SceneDataset
from soundspot.utils.atomic_io import atomic_write_folder

Entry = dict[str, Any]


def write_catalog(scenes: SceneDataset, folder: str | Path, overwrite: bool = False) -> Path:
    """Write `annotations.json`, `images/` and `masks/` (PNG) and `audio/` (FLAC, 16 bit) into a new folder.

    Each item is an entry of `images` that names its recording (`sound`), so that `Catalogue(folder, split)` has the
    same items in the same order: split `train` for training scenes, else `test`. Items with one picture share its file.
    Box and mask are those of the object that sounds (silent distractors are not annotated); where none does,
    there are none, and `kind` says what is heard instead: `silence`, `noise` or `offscreen`.

    Raises:
        OutputError: the folder exists and `overwrite` is False. Nothing half-written is left behind.
    """
    folder = Path(folder)
    with atomic_write_folder(folder, overwrite) as draft:
        for part in ("images", "masks", "audio"):
            (draft / part).mkdir()
        entries = [_write_item(scenes, index, draft) for index in range(len(scenes))]
        annotations = {
            "version": 1,
            "sample_rate": scenes.rate,
            "box_format": "xyxy pixels",
            "scenes": {"name": scenes.name, "seed": scenes.seed, "epoch": scenes.epoch},
            "images": [image for image, _ in entries],
            "audio": [audio for _, audio in entries],
        }
        (draft / "annotations.json").write_text(json.dumps(annotations, indent=1) + "\n", encoding="utf-8")
    return folder


def _write_item(scenes: SceneDataset, index: int, folder: Path) -> tuple[Entry, Entry]:
    """The entries (picture, recording) of one item, once its files are written."""
    name, truth, sound = scenes.id(index), scenes.ground_truth(index), scenes.read_audio(index)
    image_file, mask_file = f"images/{scenes.group(index)}.png", f"masks/{name}.png"
    sound_file = f"audio/{name}.flac"
    if not (folder / image_file).exists():  # the items of one picture come one after the other
        scenes.read_image(index).save(folder / image_file)
    if truth.present:
        assert truth.mask is not None
        Image.fromarray(truth.mask.numpy().astype(np.uint8) * np.uint8(255)).convert("1").save(folder / mask_file)
    soundfile.write(folder / sound_file, sound.waveform.numpy(), sound.rate, subtype="PCM_16")

    common = {
        "category": scenes.category(index),
        "split": "train" if scenes.kind == "train" else "test",
        "group": scenes.group(index),
        "source": scenes.name,
    }
    image = {
        "file": image_file,
        "width": truth.width,
        "height": truth.height,
        "boxes": [[box.x0, box.y0, box.x1, box.y1] for box in truth.boxes],
        "mask": mask_file if truth.present else None,
        "annotation": "composed",
        "sound": sound_file,
        "kind": scenes.audio_kind(index),
        **common,
    }
    return image, {"file": sound_file, "seconds": sound.seconds, **common}
