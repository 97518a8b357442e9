"""Clips to train on: plain files read and turned to tensors one by one, against ours from shards, on one thread.

The plain way is the field's: PIL decodes, resizes, crops and mirrors a frame, scipy makes the spectrogram of three
seconds of the file. Ours decodes from the shard; crops, mirrors and spectrograms are made for the batch. Both make the
same batches: pictures of 224 x 224, a crop of about 0.8 of the area, mirrored or not, normalised, and spectrograms of
257 x 200.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image
from scipy import signal

from benchmarks import Row, side_by_side
from soundspot.config.frontend import IMAGENET_MEAN, IMAGENET_STD, PRESETS
from soundspot.config.schema import ViewsConfig
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.shards.encoding import ShardFormat
from soundspot.data.shards.executors import ProcessExecutor
from soundspot.data.shards.from_dataset import write_shards_from_dataset
from soundspot.training.clip_reader import ClipReader, SampleRequest
from soundspot.training.datamodule import build_batch

RATE, LONG, WINDOW, BATCH = 16000, 10, 3, 32
WAYS = {
    "252 x 252 pixels and wav": ShardFormat(max_side=252, shape="square", audio_format="wav"),
    "what is written by default": ShardFormat(),
}


def write(root: Path, clips: int) -> None:
    """Frames of 640 x 360 with the detail of a photograph, ten seconds of sound each."""
    for folder in ("frames", "audio"):
        (root / folder).mkdir(parents=True)
    chance = np.random.default_rng(0)
    for n in range(clips):
        coarse = Image.fromarray(chance.integers(0, 256, (45, 80, 3), np.uint8)).resize(
            (640, 360), Image.Resampling.BICUBIC
        )
        noisy = np.asarray(coarse, np.int16) + chance.normal(0, 6, (360, 640, 1)).astype(np.int16)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(root / "frames" / f"clip{n:04d}.jpg", quality=90)
        sound = 0.1 * chance.standard_normal(LONG * RATE).cumsum() / 100
        soundfile.write(root / "audio" / f"clip{n:04d}.wav", np.clip(sound, -1, 1), RATE)


def plain(root: Path, names: list[str], chance: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A batch, clip by clip."""
    images, sounds = [], []
    mean, std = (np.array(one, np.float32) for one in (IMAGENET_MEAN, IMAGENET_STD))
    for name in names:
        picture = (
            Image.open(root / "frames" / f"{name}.jpg").convert("RGB").resize((246, 246), Image.Resampling.BICUBIC)
        )
        left, top = chance.integers(0, 22, 2)
        picture = picture.crop((left, top, left + 224, top + 224))
        if chance.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        images.append(torch.from_numpy(((np.asarray(picture, np.float32) / 255 - mean) / std).transpose(2, 0, 1)))
        samples, rate = soundfile.read(root / "audio" / f"{name}.wav", dtype="float32")
        start = (len(samples) - WINDOW * rate) // 2
        part = np.clip(samples[start : start + WINDOW * rate], -1, 1)
        power = signal.spectrogram(part, rate, nperseg=512, noverlap=274)[2]
        sounds.append(torch.from_numpy(np.log(power + 1e-7) / 12)[None])
    return torch.stack(images), torch.stack(sounds)


def run(quick: bool = False) -> list[Row]:
    """Time a clip takes one core; the files lie in memory by then, for both."""
    clips = 16 if quick else 256
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "files"
        write(root, clips)
        names = [path.stem for path in sorted((root / "frames").iterdir())]
        batches = [range(first, min(clips, first + BATCH)) for first in range(0, clips, BATCH)]
        chance = np.random.default_rng(0)
        spec, views = PRESETS["ezvsl"], ViewsConfig(multi_view=False, semantic=False)

        def theirs() -> None:
            for batch in batches:
                plain(root, [names[n] for n in batch], chance)

        def ours(feed: ClipReader) -> None:
            for batch in batches:
                build_batch(feed.read([SampleRequest(0, n, n, n) for n in batch]), spec, views, seed=0)

        works = [theirs]
        for number, how in enumerate(WAYS.values()):
            shards = Path(folder) / str(number)
            write_shards_from_dataset(open_dataset("pairs", root), shards, how, ProcessExecutor(0))
            works.append(partial(ours, ClipReader(open_dataset("shards", shards), spec, views, seed=0)))
        plainly, *taken = (1e3 * one / clips for one in side_by_side(works))
    torch.set_num_threads(threads)
    return [
        Row(
            f"loading {clips} clips, one core, from shards: {name}",
            plainly,
            one,
            "ms a clip",
            target=None if number else 4.0,
            note=f"{1e3 / plainly:.0f} against {1e3 / one:.0f} samples/s per core",
        )
        for number, (name, one) in enumerate(zip(WAYS, taken, strict=True))
    ]
