"""The release of a benchmark: IS3's own layout, a catalog and COCO in one folder, with licenses and a checksum."""

import itertools
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from soundspot.benchmark.card import render_card_page, render_notice
from soundspot.benchmark.coco import write_coco
from soundspot.benchmark.duplicates import find_leaks, find_near_duplicates, hash_image
from soundspot.benchmark.exchange import AnnotatedImage, AnnotatedObject
from soundspot.benchmark.gallery import render_gallery
from soundspot.benchmark.project import Project, read_unchanged
from soundspot.benchmark.records import Source
from soundspot.benchmark.release_items import ReleaseItem, collect_items
from soundspot.benchmark.statistics import compute_statistics, draw_areas, draw_positions
from soundspot.benchmark.verify import CHECKSUM_FILE, write_checksums
from soundspot.data.datasets.base import BOX_SIZE
from soundspot.data.datasets.catalog_format import ANNOTATIONS_FILE, FORMAT_VERSION
from soundspot.data.datasets.is3_vpo_avsbench import open_benchmark
from soundspot.data.media.audio import read_audio
from soundspot.data.media.audio_writer import write_audio
from soundspot.evaluation.engine.baselines import centered_box
from soundspot.evaluation.engine.evaluate import evaluate_maps
from soundspot.evaluation.engine.predictions import write_maps
from soundspot.evaluation.metrics.registry import headline_keys
from soundspot.inference.connected_components import bounding_box
from soundspot.utils.atomic_io import atomic_write_folder
from soundspot.utils.progress import track

IS3_FILE = "IS3_annotation.json"
IMAGES, AUDIO, MASKS = "images", "audio_wav", "gt_segmentation"
CEILING_PROTOCOLS = ("alignment", "corrected")


@dataclass(frozen=True)
class ReleaseSummary:
    """Facts of a release.

    Attributes:
        folder: folder of the release.
        num_images: number of images.
        num_instances: number of things that sound.
        checksum: checksum of the whole.
        near_duplicates: names of each two images that look alike.
        leaks: (file, id, list) of each file whose origin is in a list that models were trained on.
    """

    folder: Path
    num_images: int
    num_instances: int
    checksum: str
    near_duplicates: tuple[tuple[str, str], ...]
    leaks: tuple[tuple[str, str, str], ...]


def write_release(
    project: Project,
    folder: str | Path,
    *,
    train_lists: Sequence[Path] = (),
    audio_format: Literal["wav", "flac"] = "wav",
    notes: Sequence[str] = (),
    overwrite: bool = False,
) -> ReleaseSummary:
    """Write a benchmark that can be handed on.

    The folder has IS3's layout and key names, an image copied for each of its sounds, so that the reader `is3` opens
    it; `annotations.json`, so that `catalog` does; `coco.json`; statistics with plots; ceilings and the scores of maps
    that hear nothing; `NOTICE` with the license, author and origin of each file; a card; a gallery; and `SHA256SUMS`.

    Args:
        project: the project.
        folder: folder to create.
        train_lists: lists of ids that models were trained on, in which the origins of all files are looked for.
        audio_format: format of the sounds, 16 bit.
        notes: sentences for the card, such as how the masks were made.
        overwrite: whether an earlier release in the folder is replaced.

    Returns:
        Facts of the release.

    Raises:
        DataError: something is missing: masks, sounds, licenses, decisions; or files were changed.
        OutputError: the folder exists, or cannot be written.
    """
    items = collect_items(project)
    records = list({item.record.id: item.record for item in items}.values())
    hashes = {Path(record.file).name: hash_image(project.read_image(record)) for record in records}
    near = find_near_duplicates(hashes)
    origins = {record.file: [record.source] for record in records} | {i.audio.file: [i.audio.source] for i in items}
    leaks = find_leaks(origins, train_lists)
    folder = Path(folder)
    with atomic_write_folder(folder, overwrite, marker_file=CHECKSUM_FILE) as draft:
        for name in (IMAGES, AUDIO, MASKS):
            (draft / name).mkdir()
        for item in track(items, "items"):
            _write_media(project, item, draft, audio_format)
        _write_json(draft / IS3_FILE, [_to_is3(item, audio_format) for item in items])
        _write_json(draft / ANNOTATIONS_FILE, _to_catalog(project, items, audio_format))
        write_coco(_iter_annotated(items), draft / "coco.json")
        seconds = [item.audio.seconds for item in items]
        statistics = compute_statistics(
            len(records), [item.category for item in items], (item.mask for item in items), seconds
        )
        _write_json(draft / "statistics.json", statistics.to_dict())
        (draft / "areas.svg").write_text(draw_areas(statistics.areas), encoding="utf-8")
        (draft / "positions.svg").write_text(draw_positions(statistics.positions), encoding="utf-8")
        ceilings = score_without_model(draft)
        _write_json(draft / "ceilings.json", ceilings)
        (draft / "NOTICE").write_text(render_notice(project.plan.name, items, audio_format), encoding="utf-8")
        card = render_card_page(project, items, statistics, ceilings, near, leaks, notes)
        (draft / "README.md").write_text(card, encoding="utf-8")
        gallery = render_gallery(project.plan.name, items, audio_format)
        (draft / "gallery.html").write_text(gallery, encoding="utf-8")
        checksum = write_checksums(draft)
    return ReleaseSummary(folder, len(records), len(items), checksum, tuple(near), tuple(leaks))


def score_without_model(folder: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Score the rows that need no model on a benchmark: the ceiling, the centered box and the whole image.

    Args:
        folder: folder in IS3's layout, with masks.

    Returns:
        Protocol -> row -> report key -> score, a fraction.
    """
    data = open_benchmark("is3", folder, ground_truth="masks", missing="ignore")
    box = centered_box(28, 28).numpy()
    with tempfile.TemporaryDirectory() as name:
        write_maps(Path(name), {data.id(index): box for index in range(len(data))}, {"model": "centered box"})
        report = evaluate_maps(name, data, protocol=CEILING_PROTOCOLS, metrics=headline_keys(), bootstraps=0)
    tables = {CEILING_PROTOCOLS[0]: report.rows, **{o.protocol["name"]: o.rows for o in report.other_protocols}}
    return {
        protocol: {
            row.name: {key: row.metrics[key].value for key in headline_keys() if key in row.metrics} for row in rows[1:]
        }
        for protocol, rows in tables.items()
    }


def _write_media(project: Project, item: ReleaseItem, folder: Path, audio_format: str) -> None:
    content = read_unchanged(project.folder, item.record.file, item.record.sha256)
    (folder / IMAGES / f"{item.stem}.jpg").write_bytes(content)
    Image.fromarray(item.mask).save(folder / MASKS / f"{item.stem}.png", optimize=True)
    read_unchanged(project.folder, item.audio.file, item.audio.sha256)
    target, source = folder / AUDIO / f"{item.stem}.{audio_format}", project.folder / item.audio.file
    if audio_format == "flac":
        shutil.copyfile(source, target)
    else:
        write_audio(target, read_audio(source), "PCM_16")


def _to_is3(item: ReleaseItem, audio_format: str) -> dict[str, Any]:
    """Return the entry of IS3's list; boxes are whole pixels of the image squashed to 224 x 224."""
    x0, y0, x1, y1 = bounding_box(item.mask)
    height, width = item.mask.shape
    low = [np.floor(x0 * BOX_SIZE / width), np.floor(y0 * BOX_SIZE / height)]
    high = [np.ceil(x1 * BOX_SIZE / width), np.ceil(y1 * BOX_SIZE / height)]
    return {
        "image": f"{IMAGES}/{item.stem}.jpg",
        "audio": f"{AUDIO}/{item.stem}.{audio_format}",
        "gt_box": [float(side) for side in (*low, *high)],
    }


def _to_catalog(project: Project, items: Sequence[ReleaseItem], audio_format: str) -> dict[str, Any]:
    """Return the catalog; the things of one image name one file of it, so that they are one group."""
    first: dict[int, str] = {}
    images, audio = [], []
    for item in items:
        stem = first.setdefault(item.record.id, item.stem)
        sound = f"{AUDIO}/{item.stem}.{audio_format}"
        source, sound_source = item.record.source, item.audio.source
        images.append(
            {
                "file": f"{IMAGES}/{stem}.jpg",
                "width": item.record.width,
                "height": item.record.height,
                "boxes": [bounding_box(item.mask)],
                "mask": f"{MASKS}/{item.stem}.png",
                "annotation": "composed" if item.tool == "composed" else "human",
                "sound": sound,
                **_state(source, item.category, source.group or Path(item.record.file).stem),
            }
        )
        seconds = round(item.audio.seconds, 3)
        group = sound_source.group or item.audio.key
        audio.append({"file": sound, "seconds": seconds, **_state(sound_source, item.category, f"audio/{group}")})
    header = {"version": FORMAT_VERSION, "name": project.plan.name, "box_format": "xyxy pixels"}
    return {**header, "images": images, "audio": audio}


def _state(source: Source, category: str, group: str) -> dict[str, Any]:
    return {
        "category": category,
        "split": "test",
        "group": group,
        "licence": source.license,
        "attribution": source.author,
        "origin": source.origin,
    }


def _iter_annotated(items: Sequence[ReleaseItem]) -> Iterator[AnnotatedImage]:
    for _, group in itertools.groupby(items, lambda item: item.record.id):
        own = list(group)
        things = tuple(AnnotatedObject(item.category, item.rle) for item in own)
        yield AnnotatedImage(f"{IMAGES}/{own[0].stem}.jpg", own[0].record.width, own[0].record.height, things)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
