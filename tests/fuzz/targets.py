"""What is attacked: a reader, a valid input that is made here, and how it is mutated."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mutations as m
import numpy as np
import soundfile
import targets_of_runs as runs
import torch
from PIL import Image

import soundspot
from conftest import ROOT
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.inspect_checkpoint import inspect_checkpoint
from soundspot.config.load import read_recipe
from soundspot.config.schema import FrontEndConfig
from soundspot.data.datasets.annotation_files import read_consensus_boxes, read_negatives
from soundspot.data.datasets.labels import read_labels
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.media.mask import is_soft_mask, read_mask
from soundspot.data.media.vectors import ArrayStore
from soundspot.data.neighbors.kmeans import Clusters
from soundspot.data.neighbors.table import NeighborTable
from soundspot.data.shards.encoding import ShardFormat
from soundspot.data.shards.executors import ProcessExecutor
from soundspot.data.shards.format import write_shard_index
from soundspot.data.shards.from_dataset import write_shards_from_dataset
from soundspot.data.validation.validator import validate_data
from soundspot.evaluation.engine.predictions import Predictions, write_maps
from soundspot.evaluation.report.compare import compare
from soundspot.evaluation.report.report import load_report
from soundspot.evaluation.report.training_curves import read_train_logs
from soundspot.importers import import_checkpoint
from soundspot.inference.mining.classify import read_class_groups
from soundspot.inference.mining.embed import read_embeddings
from soundspot.methods import create
from soundspot.search import Index
from soundspot.training.retention import read_retention
from soundspot.training.run_folder import check_resume_file

TINY = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}
FRONT_END = FrontEndConfig("ezvsl", size=32, seconds=0.5)


@dataclass(frozen=True)
class Target:
    """A reader and the file that is mutated.

    Attributes:
        file: path of the file below the folder of the valid inputs.
        mutate: mutation of its bytes.
        read: reader, called with the folder in which the file is a mutated one.
        decoder: whether outside software decodes it, whose crashes and hangs are counted and no failures of ours.
    """

    file: str
    mutate: m.Mutation
    read: Callable[[Path], Any]
    decoder: bool = False


def make_inputs(folder: Path, with_exports: bool = True) -> None:
    """Write a valid input of each reader into a folder; exported models, which take seconds, if asked."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    pixels = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    for suffix in ("jpg", "png", "webp", "gif", "bmp", "tif"):
        pixels.save(folder / f"image.{suffix}")
    pixels.convert("L").point(lambda x: 255 * (x > 99)).save(folder / "mask.png")
    tone = np.sin(np.arange(2000) / 7).astype(np.float32) / 2
    for suffix in ("wav", "flac", "ogg", "mp3", "aiff"):
        soundfile.write(folder / f"audio.{suffix}", tone, 8000)
    method = create("ezvsl", image=TINY, audio=TINY, front_end=FRONT_END.build(), width=8)
    save_checkpoint(method, folder / "model.safetensors", recipe=read_recipe("ezvsl/debug").as_dict(), threshold=0.5)
    torch.save(
        {"state_dict": {name: value.half() for name, value in method.state_dict().items()}}, folder / "model.pth"
    )
    empty = {"callbacks": {}, "loops": {}, "lr_schedulers": [], "optimizer_states": [{"state": {0: torch.ones(2)}}]}
    torch.save(empty | {"state_dict": {"w": torch.ones(2, 3)}}, folder / "resume.ckpt")
    (folder / "recipe.yaml").write_bytes((ROOT / "recipes" / "alignment" / "debug.yaml").read_bytes())
    np.save(folder / "vectors.npy", rng.random((4, 3), np.float32))
    np.savez(folder / "vectors.npz", a=np.ones(3, np.float32), b=np.ones(3))
    make_tables(folder, rng)
    make_lists(folder, pixels)
    data = open_dataset("scenes", None, length=3, size=32, seconds=0.5, regenerate=False)
    (folder / "shards").mkdir()
    write_shards_from_dataset(data, folder / "shards", ShardFormat(), ProcessExecutor(0))
    write_maps(folder / "maps", {data.id(i): rng.random((4, 4), np.float32) for i in range(3)}, {"model": "mine"})
    report = soundspot.evaluate(lambda image, audio: rng.random((4, 4), np.float32), data, bootstraps=20)
    report.save(folder / "report")
    make_index(folder)
    runs.make_videos(folder)
    if with_exports:
        runs.make_exports(folder, soundspot.load(folder / "model.safetensors"))
    runs.make_release(folder)
    runs.write_adapted(folder, method)
    runs.make_runs(folder)


def make_tables(folder: Path, rng: np.random.Generator) -> None:
    """Write a neighbor table, clusters, a folder of maps and a log of a training."""
    for name in ("neighbors", "maps", "media", "index"):
        (folder / name).mkdir()
    for modality in ("images", "audio"):
        np.save(folder / "neighbors" / f"{modality}.npy", rng.integers(0, 4, (4, 2), np.int32))
    meta = {"n": 4, "k": 2, "data_fingerprint": "f", "encoder": "e", "weights_digest": "w", "recall": {"audio": 0.9}}
    (folder / "neighbors" / "meta.json").write_text(json.dumps(meta))
    Clusters(rng.integers(0, 2, 4), rng.random((2, 3)), "f").save(folder / "clusters")
    (folder / "metrics.csv").write_text("epoch,step,train/loss\n0,1,0.5\n0,2,0.25\n1,3,\n")


def make_lists(folder: Path, pixels: Image.Image) -> None:
    """Write lists, labels, boxes and a catalog with their files."""
    for name in ("frames", "audio", "catalog"):
        (folder / name).mkdir()
    for name in "abc":
        pixels.save(folder / "frames" / f"{name}.jpg")
        (folder / "audio" / f"{name}.wav").write_bytes((folder / "audio.wav").read_bytes())
    (folder / "ids.txt").write_text("id\na\nb,1\nc.jpg\n")
    (folder / "negatives.csv").write_text("video,audio,label\na,b,0\nb,c,0\n")
    (folder / "labels.csv").write_text("id,modality,class,probability\na,both,dog,0.5\nb,image,cat,1\n")
    box = "<annotator><bbox><id>0</id><xmin>3</xmin><ymin>4</ymin><xmax>20</xmax><ymax>22</ymax></bbox></annotator>"
    (folder / "boxes.xml").write_text(f"<ann>{box}{box}</ann>")
    (folder / "vggss.json").write_text(
        json.dumps([{"file": name, "class": "dog", "bbox": [[0, 0, 0.5, 1]]} for name in "abc"])
    )
    pixels.save(folder / "catalog" / "a.png")
    (folder / "catalog" / "a.wav").write_bytes((folder / "audio.wav").read_bytes())
    image = {
        "file": "a.png",
        "category": "dog",
        "split": "test",
        "group": "a",
        "width": 16,
        "height": 12,
        "boxes": [[1, 2, 8, 9]],
    }
    audio = {"file": "a.wav", "category": "dog", "split": "test", "group": "a"}
    source = {"source": "mine", "license": "CC0", "author": "me"}
    catalog = {"version": 1, "images": [image | source], "audio": [audio | source]}
    (folder / "catalog" / "annotations.json").write_text(json.dumps(catalog))


def make_index(folder: Path) -> None:
    """Write a search index of one image and one sound."""
    for name in ("image.png", "audio.wav"):
        (folder / "media" / name).write_bytes((folder / name).read_bytes())
    (folder / "index").rmdir()
    with Index.create(folder / "index", soundspot.load(folder / "model.safetensors"), folder / "media") as index:
        index.add(folder / "media")


def read_shards(folder: Path) -> None:
    """Read all that a data set of shards gives."""
    data = open_dataset("shards", folder / "shards")
    for index in range(len(data)):
        data.read_image(index), data.read_audio(index), data.open_audio(index)
        data.category(index), data.group(index), data.audio_id(index), data.ground_truth(index).to_map(8, 8)


def read_catalog(folder: Path) -> None:
    """Validate a catalog with its files, and read its samples."""
    validate_data(folder / "catalog", read_files=True)
    data = open_dataset("catalog", folder / "catalog", split="test")
    for index in range(len(data)):
        data.read_image(index), data.read_audio(index), data.ground_truth(index).to_map(8, 8)


def read_neighbors(folder: Path) -> None:
    """Read a neighbor table and draw from it."""
    table = NeighborTable.load(folder / "neighbors")
    table.draw("images", (1,), np.arange(4), 2, "random")


def read_report(folder: Path) -> None:
    """Read a report and its maps, and compare it."""
    report = load_report(folder / "report")
    report.table(), compare([report, report], names=["a", "b"], bootstraps=5)
    for id in report.maps or ():
        report.maps[id]


def read_index(folder: Path) -> None:
    """Open an index, search in it and verify it."""
    with Index.open(folder / "index") as index:
        vector = torch.ones(8, dtype=torch.float64) / 8**0.5
        index.query_vector(vector), index.query_vector(vector, per_window=True), len(index), index.checkpoint
        index.status()
        index._store.list_files()


def add_to_index(folder: Path) -> None:
    """Index a folder again that was indexed, and move it."""
    with Index.open(folder / "index", soundspot.load(folder / "model.safetensors")) as index:
        index.add(folder / "media"), index.refresh()
        index.relocate(folder / "media"), index.remove([folder / "media" / "image.png"])


def read_maps(folder: Path) -> None:
    """Read all maps of a folder of predictions."""
    predictions = Predictions(folder / "maps")
    for id in predictions.maps:
        predictions.maps.read_checked(id)


def read_npz(folder: Path) -> None:
    """Read the vectors of an archive."""
    store = ArrayStore(folder / "vectors.npz")
    try:
        for id in ("a", "b"):
            store.read(id)
    finally:
        store._archive().close()


def read_list(folder: Path, **options: Any) -> None:
    """Open a data set by a list of its clips."""
    data = open_dataset("pairs", folder, list=folder / "ids.txt", missing="skip", **options)
    for index in range(len(data)):
        data.read_image(index), data.read_audio(index)


IMAGES = [f"image.{suffix}" for suffix in ("jpg", "png", "webp", "gif", "bmp", "tif")]
SOUNDS = [f"audio.{suffix}" for suffix in ("wav", "flac", "ogg", "mp3", "aiff")]
TARGETS = {
    **{name: Target(name, m.mutate_bytes, lambda f, name=name: soundspot.read_image(f / name)) for name in IMAGES},
    **{
        name: Target(name, m.mutate_bytes, lambda f, name=name: soundspot.read_audio(f / name, 16000))
        for name in SOUNDS
    },
    "mask": Target("mask.png", m.mutate_bytes, lambda f: (read_mask(f / "mask.png"), is_soft_mask(f / "mask.png"))),
    "checkpoint": Target("model.safetensors", m.mutate_safetensors, lambda f: soundspot.load(f / "model.safetensors")),
    "inspected checkpoint": Target(
        "model.safetensors",
        m.mutate_safetensors,
        lambda f: inspect_checkpoint(f / "model.safetensors").format_summary(),
    ),
    "torch file": Target("model.pth", m.mutate_zip, lambda f: inspect_checkpoint(f / "model.pth").format_summary()),
    "resume.ckpt": Target("resume.ckpt", m.mutate_zip, lambda f: check_resume_file(f / "resume.ckpt", {"w": (2, 3)})),
    "recipe": Target("recipe.yaml", m.mutate_yaml, lambda f: read_recipe(f / "recipe.yaml")),
    "npy": Target("vectors.npy", m.mutate_npy, lambda f: read_embeddings(f / "vectors.npy")),
    "npz": Target("vectors.npz", m.mutate_zip, read_npz),
    "neighbor table": Target("neighbors/images.npy", m.mutate_npy, read_neighbors),
    "neighbor meta": Target("neighbors/meta.json", m.mutate_json, read_neighbors),
    "clusters": Target("clusters/centers.npy", m.mutate_npy, lambda f: Clusters.load(f / "clusters", "f")),
    "cluster assignments": Target(
        "clusters/assignments.npy", m.mutate_npy, lambda f: Clusters.load(f / "clusters", "f")
    ),
    "shard": Target("shards/shard-000000.tar", m.mutate_bytes, read_shards),
    "foreign shard": Target(
        "shards/shard-000000.tar", m.mutate_bytes, lambda f: write_shard_index(f / "shards/shard-000000.tar")
    ),
    "shard index": Target("shards/shard-000000.index.json", m.mutate_json, read_shards),
    "catalog": Target("catalog/annotations.json", m.mutate_json, read_catalog),
    "list of ids": Target("ids.txt", m.mutate_lines, read_list),
    "negatives": Target("negatives.csv", m.mutate_lines, lambda f: read_negatives(f / "negatives.csv")),
    "labels": Target("labels.csv", m.mutate_lines, lambda f: read_labels(f / "labels.csv")),
    "boxes in XML": Target("boxes.xml", m.mutate_bytes, lambda f: read_consensus_boxes(f / "boxes.xml")),
    "maps": Target("maps/maps.npz", m.mutate_zip, read_maps),
    "meta of maps": Target("maps/meta.json", m.mutate_json, read_maps),
    "report": Target("report/report.json", m.mutate_json, read_report),
    "samples of a report": Target("report/samples.csv", m.mutate_lines, read_report),
    "training log": Target("metrics.csv", m.mutate_lines, lambda f: read_train_logs([f / "metrics.csv"])),
    "index": Target("index/index.sqlite", m.mutate_sqlite, read_index),
    "vectors of an index": Target("index/vectors-0.f32", m.mutate_bytes, read_index),
    "index that is added to": Target("index/index.sqlite", m.mutate_sqlite, add_to_index),
    **{
        name: Target(name, m.mutate_bytes, lambda f, name=name: runs.read_video(f / name), decoder=True)
        for name in runs.VIDEOS
    },
    "exported model": Target("model.onnx", m.mutate_bytes, lambda f: runs.read_export(f / "model.onnx"), decoder=True),
    "fields of an exported model": Target(
        "model.onnx", m.mutate_onnx, lambda f: runs.read_export(f / "model.onnx"), decoder=True
    ),
    "exported folder": Target("exported/model.json", m.mutate_json, lambda f: runs.read_export(f / "exported")),
    "exported subgraph": Target(
        "exported/map.onnx", m.mutate_onnx, lambda f: runs.read_export(f / "exported"), decoder=True
    ),
    "released weights": Target("released.pth", m.mutate_zip, lambda f: import_checkpoint(f / "released.pth", "ezvsl")),
    "statistics of a checkpoint": Target(
        "adapted.safetensors", m.mutate_safetensors, lambda f: read_retention(f / "adapted.safetensors")
    ),
    "features": Target("features/image/features.npy", m.mutate_npy, runs.fill),
    "records of features": Target("features/image/records.npy", m.mutate_npy, runs.fill),
    "meta of features": Target("features/image/meta.json", m.mutate_json, runs.fill),
    "run folder": Target("run/recipe.yaml", m.mutate_yaml, runs.read_run),
    "manifest of shards": Target("output/prepared.json", m.mutate_json, runs.read_journal),
    "journal of shards": Target("output/journal.jsonl", m.mutate_bytes, runs.read_journal),
    "draft": Target(".result.part/plan.json", m.mutate_json, runs.continue_draft),
    "meta of an extended table": Target("mined/meta.json", m.mutate_json, runs.extend_table),
    "ids of an extended table": Target("mined/ids.txt", m.mutate_lines, runs.extend_table),
    "embeddings of an extended table": Target("mined/images.embeddings.npy", m.mutate_npy, runs.extend_table),
    "groups of classes": Target(
        "groups.csv", m.mutate_lines, lambda f: read_class_groups(f / "groups.csv", ["dog", "cat"])
    ),
}
