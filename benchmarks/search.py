"""An index of 50,000 files: how fast it is built, how fast it answers, and whether it finds what a plain one finds.

Files are generated: small pictures of coloured noise and short sounds. The 50,000 go the whole way through a small
model, whose vectors have 512 numbers as ResNet-18's do; the rate of building is measured by a ResNet-18 on fewer.
"""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image

from benchmarks import Row, peak_megabytes
from soundspot.config.schema import FrontEndConfig
from soundspot.data.media.audio import read_audio
from soundspot.data.media.image import preprocess_images, read_image
from soundspot.data.neighbors.exact_knn import normalize_to_grid
from soundspot.data.shards.executors import count_cores
from soundspot.data.transforms.spectrogram import preprocess_audio
from soundspot.inference.localizer import Localizer
from soundspot.methods import create
from soundspot.search import Index
from soundspot.search.indexer import BATCH_SIZE
from soundspot.search.query import compose_query

SMALL = {"encoder": "resnet", "blocks": [1, 1], "strides": [1, 2], "width": 8}
QUERIES, K = 200, 10
RATE = 16000


def run(quick: bool = False) -> list[Row]:
    """Building, asking, and asking a million vectors that nothing was read for."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [_built(Path(folder) / "full", 100 if quick else 1000)]
        rows += _asked(Path(folder) / "many", 500 if quick else 50_000)
        rows += [_plainly(20_000 if quick else 1_000_000, Path(folder) / "vectors")]
    return rows


def files(root: Path, n: int, side: int, seconds: float) -> None:
    """n files, every tenth a sound: pictures of noise brought to `side` pixels, and noise that comes and goes."""
    root.mkdir(parents=True)
    chance = np.random.default_rng(0)
    for i in range(n):
        if i % 10:
            coarse = Image.fromarray(chance.integers(0, 256, (8, 8, 3), dtype=np.uint8))
            coarse.resize((side, side), Image.Resampling.BICUBIC).save(root / f"{i:06d}.jpg", quality=85)
        else:
            t = np.arange(int(seconds * RATE)) / RATE
            loud = np.sin(2 * np.pi * chance.uniform(100, 4000) * t) * np.sin(np.pi * chance.uniform(1, 9) * t) ** 2
            soundfile.write(root / f"{i:06d}.wav", 0.5 * loud, RATE)


def small() -> Localizer:
    """Two small encoders, projected to 512 numbers."""
    torch.manual_seed(0)
    front_end = FrontEndConfig("ezvsl", size=32, seconds=0.5).build()
    return Localizer(create("ezvsl", image=SMALL, audio=SMALL, front_end=front_end))


def _built(root: Path, n: int) -> Row:
    """The whole of indexing, against the networks alone on what is ready for them."""
    torch.manual_seed(0)
    localizer = Localizer(create("alignment"))
    files(root, n, 320, 10.0)
    spec = localizer.method.front_end
    paths = sorted(root.iterdir())[: 2 * BATCH_SIZE * 10]
    pixels = preprocess_images([read_image(path) for path in paths if path.suffix == ".jpg"][:BATCH_SIZE], spec.image)
    heard = preprocess_audio([read_audio(path) for path in paths if path.suffix == ".wav"][:BATCH_SIZE], spec.audio)
    bare = n * (
        0.9 * _seconds_of(lambda: localizer.embed_pixels(pixels)) / len(pixels)
        + 0.1 * _seconds_of(lambda: localizer.embed_spectrograms(heard)) / len(heard)
    )
    start = time.perf_counter()
    with Index.create(root.with_name("full-index"), localizer, root) as index:
        index.add(root, num_workers=count_cores())
        taken = time.perf_counter() - start
        note = f"{n / taken:.0f} files/s, {bare / taken:.0%} of the networks alone; {count_cores()} processes read"
        return Row(f"index {len(index)} files by ResNet-18", bare, taken, "s", note=note)


def _seconds_of(work: Callable[[], object]) -> float:
    work()
    start = time.perf_counter()
    for _ in range(4):
        work()
    return (time.perf_counter() - start) / 4


def _asked(root: Path, n: int) -> list[Row]:
    """Every kind of query, against all similarities in float64."""
    localizer = small()
    files(root, n, 40, 0.5)
    start = time.perf_counter()
    with Index.create(root.with_name("many-index"), localizer, root) as index:
        index.add(root, num_workers=count_cores())
        built = time.perf_counter() - start
        pictures = [root / f"{i:06d}.jpg" for i in range(1, n) if i % 10][:: max(1, n // QUERIES)]
        sounds = [root / f"{i:06d}.wav" for i in range(0, n, 10)][:: max(1, n // 10 // QUERIES)]
        seen = localizer.embed_images([read_image(path) for path in pictures])
        heard = localizer.embed_audio([read_audio(path) for path in sounds])
        asked = [compose_query(v, a, mix) for v, a, mix in zip(seen, heard, np.linspace(0, 1, len(seen)), strict=False)]
        now = index._current_snapshot()
        unit = torch.from_numpy(np.array(now.vectors, np.float64))
        index.query_vector(asked[0], K)
        took, plain, found = [], [], 0.0
        for query in asked:
            start = time.perf_counter()
            hits = index.query_vector(query, K)
            took.append(time.perf_counter() - start)
            start = time.perf_counter()
            best = (unit @ query).topk(K).values
            plain.append(time.perf_counter() - start)
            found += float(np.mean([hit.score >= float(best[-1]) for hit in hits])) if len(hits) == K else 0.0
        words = f"built at {n / built:.0f} files/s by a small model; recall@{K} {found / len(asked):.4f} against "
        words += f"float64 over {len(asked)} composed queries; peak {peak_megabytes():.0f} MB, the plain way's included"
        half, most = (1e3 * np.percentile(took, at) for at in (50, 95))
        return [
            Row(f"query of {n} files, p50", 1e3 * float(np.median(plain)), float(half), "ms", note=words),
            Row(f"query of {n} files, p95", 1e3 * float(np.percentile(plain, 95)), float(most), "ms"),
        ]


def _plainly(n: int, path: Path) -> Row:
    """The search alone, over vectors in a file of which every one is a file's."""
    from soundspot.data.neighbors.exact_knn import find_nearest_rows, quantize_unit
    from soundspot.utils.npy_writer import RowWriter

    chance = torch.Generator().manual_seed(0)
    with RowWriter(path, 512) as writer:
        for _ in range(0, n, 10_000):
            writer.append(quantize_unit(torch.randn(10_000, 512, generator=chance)))
    vectors, groups = np.memmap(path, "<f4", "c", shape=(n, 512)), np.arange(n)
    asked = normalize_to_grid(torch.randn(40, 512, generator=chance))
    took, plain = [], []
    for query in asked:
        start = time.perf_counter()
        find_nearest_rows(vectors, query, groups, K)
        took.append(time.perf_counter() - start)
        start = time.perf_counter()
        torch.mv(torch.from_numpy(np.asarray(vectors)), query.float()).topk(K)
        plain.append(time.perf_counter() - start)
    note = f"p95 {1e3 * np.percentile(took, 95):.0f} ms; plain: the float32 product and topk; {n * 2048 / 1e9:.1f} GB"
    return Row(f"search {n} vectors, p50", 1e3 * float(np.median(plain)), 1e3 * float(np.median(took)), "ms", note=note)
