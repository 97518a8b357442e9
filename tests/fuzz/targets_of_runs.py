"""Further inputs: videos, exported models, released weights, and folders of runs that are continued."""

import json
import shutil
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from conftest import ROOT
from media_writers import AudioTrack, number_image, sine, write_video
from soundspot.config.checkpoint import save_checkpoint
from soundspot.config.load import read_recipe
from soundspot.config.schema import DataConfig, FeatureCacheConfig, FrontEndConfig, Recipe, TrainConfig, ViewsConfig
from soundspot.data.media.audio import open_windows
from soundspot.data.media.video import open_video
from soundspot.data.neighbors.table import IDS_FILE, META_FILE, fingerprint_ids
from soundspot.data.shards.writer import Journal, read_manifest
from soundspot.export import OnnxLocalizer, export_model
from soundspot.inference.localizer import Localizer
from soundspot.inference.mining.incremental import PreviousTable
from soundspot.models.encoders import ENCODERS
from soundspot.training.clip_reader import ClipReader
from soundspot.training.feature_fill import FEATURES, fill_features
from soundspot.training.feature_plan import FeaturePlan, RepeatedEpochs, list_items
from soundspot.training.feature_reader import FeatureStore, _open_array
from soundspot.training.fit import build_method, open_recipe_dataset
from soundspot.training.retention import Retention, SpaceStatistics
from soundspot.training.run_folder import check_run_dir, prepare_run_dir
from soundspot.utils.atomic_io import resumable_folder
from toys import TinyStaged

VIDEOS = {
    "video.mp4": ("libx264", "aac"),
    "video.webm": ("libvpx", "libopus"),
    "video.mkv": ("mpeg4", "pcm_s16le"),
    "video.mov": ("libx264", "aac"),
    "video.avi": ("mpeg4", "mp3"),
}


def make_videos(folder: Path) -> None:
    """Write a video of each container, of eight small images and a tone."""
    for name, (codec, audio_codec) in VIDEOS.items():
        images = [number_image(n)[:48, :64] for n in range(8)]
        rate = 48000 if audio_codec == "libopus" else 16000
        tracks = [AudioTrack(sine(440), audio_codec, rate)]
        write_video(folder / name, images, tracks, codec=codec, gop=4, b_frames=2 if codec == "libx264" else 0)


def read_video(path: Path) -> None:
    """Read images and sound of a video as its users do."""
    with open_video(path) as video:
        times = [0.0, video.duration / 2, video.end_time]
        video.frames_at(times), video.frame_rate, video.activity, video.notes, list(islice(video.frames(), 4))
        video.frame_pair(0.1), video.read_audio(0.0, 0.2, 16000)
    open_windows(path).read_segment(0, 1000)


def make_exports(folder: Path, localizer: Localizer) -> None:
    """Write an exported model as one file and as a folder of its subgraphs."""
    export_model(localizer, folder / "model.onnx")
    export_model(localizer, folder / "exported")


def read_export(path: Path) -> None:
    """Load an exported model and locate once."""
    localizer = OnnxLocalizer.load(path, threads=1)
    localizer.locate(np.full((40, 48, 3), 99, np.uint8), (np.zeros(4000, np.float32) + 0.1, 8000))


def make_release(folder: Path) -> None:
    """Write released weights whose values take no room: names and shapes alone are real."""
    keys = json.loads((ROOT / "tests" / "golden" / "ezvsl" / "keys.json").read_text())
    state = {name: torch.zeros((), dtype=getattr(torch, dtype)).expand(shape) for name, shape, dtype in keys}
    torch.save({"model": state}, folder / "released.pth")


def write_adapted(folder: Path, method: Any) -> None:
    """Write a checkpoint with the statistics of its data."""
    maps, retrieval = (
        SpaceStatistics(torch.ones(2, 8), torch.ones(2, 8), torch.eye(5), torch.eye(5)) for _ in range(2)
    )
    statistics = Retention(("cat", "dog"), maps, retrieval, torch.ones(3), torch.ones(3)).tensors()
    save_checkpoint(method, folder / "adapted.safetensors", statistics=statistics, retained=["cat", "dog"])


def tiny_recipe(folder: Path) -> Recipe:
    """EZ-VSL with frozen stages on three fixed scenes, whose features are stored below `folder`."""
    if "tiny_staged" not in ENCODERS:
        ENCODERS.register("tiny_staged")(TinyStaged)
    staged = {"encoder": "tiny_staged", "width": 8}
    scenes = {"length": 3, "size": 32, "seconds": 0.5, "categories": 3, "regenerate": False}
    return Recipe(
        method={"name": "ezvsl", "width": 8},
        image=staged,
        audio=staged,
        front_end=FrontEndConfig("ezvsl", size=32, seconds=0.5),
        data=DataConfig("scenes", None, scenes),
        views=ViewsConfig(multi_view=False, semantic=False, base_view="unaugmented"),
        train=TrainConfig(epochs=1.0, batch_size=2, workers=0, precision="fp32"),
        feature_cache=FeatureCacheConfig(str(folder / "features"), augmentations=1, epochs=1),
    )


class FixedFolder(FeaturePlan):
    """Plan whose features lie in a folder of a fixed name."""

    @property
    def folder(self) -> Path:
        return Path(self.recipe.feature_cache.folder or "") / "image"


@cache
def plan_image_features(folder: Path) -> FeaturePlan:
    """Plan the features of the images of the scenes."""
    recipe = tiny_recipe(folder)
    torch.manual_seed(0)
    data = RepeatedEpochs(open_recipe_dataset(recipe.data), 1)  # type: ignore[abstract]
    method = build_method(recipe, 0).eval()
    reader = ClipReader(data, method.front_end, recipe.views, 0, False)
    return FixedFolder("image", method.image_encoder, reader, recipe, list_items(data, "image", 1, False), "fp32")


def fill(folder: Path) -> None:
    """Continue a cache of features that somebody else began, and read it."""
    plan = plan_image_features(folder)
    fill_features(plan, torch.device("cpu"))
    store = FeatureStore(
        plan.folder / FEATURES, None, plan.channels, plan.num_variants, plan.ranges, plan.items.positions
    )
    _open_array.cache_clear()
    store.read(np.arange(3))


def make_runs(folder: Path) -> None:
    """Write the folders of runs that are continued: a training, features, shards, a table, a draft."""
    fill(folder)
    (folder / "run").mkdir()
    recipe = read_recipe("ezvsl/debug")
    prepare_run_dir(folder / "run", recipe, resume=False)
    (folder / "output").mkdir()
    (folder / "output" / "prepared.json").write_text(json.dumps({"soundspot": "1", "seed": 3, "inputs": [1, 2]}))
    lines = [{"cause": "", "shard": 0}, {"cause": "no sound", "message": "x"}] * 2
    (folder / "output" / "journal.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (folder / ".result.part").mkdir()
    (folder / ".result.part" / "plan.json").write_text(json.dumps({"k": 3, "nested": [1, 2]}))
    table = folder / "mined"
    table.mkdir()
    for modality in ("images", "audio"):
        np.save(table / f"{modality}.npy", np.array([[1], [0], [0]], np.int32))
        np.save(table / f"{modality}.embeddings.npy", np.ones((3, 2), np.float32))
    (table / IDS_FILE).write_text("a\nb\nc")
    groups = fingerprint_ids(["a", "b", "c"])
    meta = {"n": 3, "k": 1, "data_fingerprint": groups, "encoder": "e", "weights_digest": "w", "groups": groups}
    (table / META_FILE).write_text(json.dumps(meta))
    (folder / "groups.csv").write_text("class,group\ndog,animal\ncat,animal\n")


def read_run(folder: Path) -> None:
    """Check the folder of a run before it is resumed."""
    check_run_dir(folder / "run", read_recipe("ezvsl/debug"), resume=True, overwrite=False)


def continue_draft(folder: Path) -> None:
    """Continue results that a killed run began."""
    with resumable_folder(folder / "result", {"k": 3, "nested": [1, 2]}) as draft:
        (draft / "file").write_text("x")
    shutil.rmtree(folder / "result")
    (folder / ".result.part").mkdir()


def extend_table(folder: Path) -> None:
    """Extend a table of neighbors."""
    ids = ["a", "b", "c", "d"]
    table = PreviousTable.load(folder / "mined", ids, ids, ("e", "w"))
    table.merge(folder / "merged.npy", "images", np.zeros((1, 2), np.float32))


def read_journal(folder: Path) -> None:
    """Open the journal and the manifest of shards that are continued."""
    read_manifest(folder / "output", {"seed": 3})
    with Journal(folder / "output" / "journal.jsonl"):
        pass
