"""Compute what must not move between two states of the library, and compare.

    python tests/equivalence.py make FOLDER       # with the interpreter that has the state: `whence` or `soundspot`
    python tests/equivalence.py compare BEFORE AFTER

Compared are numbers and bytes, not names: a file of JSON or CSV by its numbers in sorted order, an .npz by its arrays,
a checkpoint by its tensors, a shard by its members.
"""

import csv
import hashlib
import json
import math
import subprocess
import sys
import tarfile
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

OLD = find_spec("soundspot") is None
NAME = "whence" if OLD else "soundspot"
METHODS = [
    *("alignment", "attention10k", "coarsetofine", "dmc", "dsol", "ezvsl", "fnac", "hardpos", "heartheflow"),
    *("joint_slots", "lcbm", "lvs", "marginnce", "slavc", "sspl", "sspl_pcm", "ssltie"),
]
WHOLE = ("dsol", "hardpos", "dmc", "coarsetofine")  # something happens in the middle of their runs
SCENES = {"length": 40, "size": 128, "seconds": 1.0}


def run(*arguments: object) -> str:
    command = [sys.executable, "-m", NAME, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def digest(array: Any) -> str:
    array = np.ascontiguousarray(array)
    return f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"


def numbers(value: Any) -> list[float]:
    """Return every number of nested JSON, sorted; times, sizes and versions are no results."""
    if isinstance(value, dict):
        skipped = ("seconds_taken", "mtime", "version", "took", "generated")
        return sorted(x for key, inner in value.items() if key not in skipped for x in numbers(inner))
    if isinstance(value, list):
        return sorted(x for inner in value for x in numbers(inner))
    if isinstance(value, bool) or not isinstance(value, int | float):
        return []
    return [float(value)] if math.isfinite(value) else [-1e300]


def of_json(path: Path) -> str:
    values = numbers(json.loads(path.read_text(encoding="utf-8")))
    return f"{len(values)} numbers {hashlib.sha256(repr(values).encode()).hexdigest()[:16]}"


def of_csv(path: Path) -> str:
    values = []
    for row in csv.reader(path.read_text(encoding="utf-8").splitlines()):
        for cell in row:
            try:
                values.append(float(cell))
            except ValueError:
                continue
    values = sorted(-1e300 if math.isnan(x) else x for x in values)
    return f"{len(values)} numbers {hashlib.sha256(repr(values).encode()).hexdigest()[:16]}"


def of_npz(path: Path) -> list[str]:
    with np.load(path, allow_pickle=False) as arrays:
        return sorted(digest(arrays[key]) for key in arrays.files)


def of_checkpoint(path: Path) -> list[str]:
    from safetensors.numpy import load_file

    return sorted(digest(tensor) for tensor in load_file(path).values())


def of_shards(folder: Path) -> list[str]:
    members = []
    for shard in sorted(folder.rglob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                content = tar.extractfile(member).read()
                text = of_text(content) if member.name.endswith(".json") else hashlib.sha256(content).hexdigest()[:16]
                members.append(f"{member.name} {text}")
    return members


def of_text(content: bytes | str) -> str:
    return repr(numbers(json.loads(content)))


def of_method(name: str) -> list[str]:
    """Fresh weights of a seed, their maps of noise, and the losses of a batch with their gradients' norm."""
    create = import_module(NAME).create
    torch.manual_seed(0)
    small = {"encoder": "resnet", "blocks": [1, 1], "strides": [2, 2], "width": 8}
    method = create(name, image=small, audio=small).eval()
    weights = sorted(digest(tensor.numpy()) for tensor in method.state_dict().values())
    spec = method.front_end
    draw = torch.Generator().manual_seed(1)
    planes = spec.image.planes if OLD else spec.image.num_channels
    images = torch.rand(3, planes, 64, 64, generator=draw)
    vector = getattr(spec.audio, "vector", 0) or getattr(spec.audio, "embedding_dim", 0)
    sound = torch.rand(3, vector, generator=draw) if vector else torch.rand(3, 1, 64, 64, generator=draw)
    with torch.no_grad():
        maps = method.maps(images, sound)
    return [*weights, digest(maps.numpy())]


def videos(folder: Path) -> None:
    """Write ten small clips: a bright square that moves, and a tone."""
    import av

    folder.mkdir(parents=True)
    for number in range(10):
        with av.open(str(folder / f"clip{number}.mp4"), "w") as file:
            stream = file.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            audio = file.add_stream("aac", rate=16000)
            audio.layout = "mono"
            for step in range(20):
                image = np.full((64, 96, 3), 20 * number, np.uint8)
                image[10:30, 4 * step % 70 : 4 * step % 70 + 20] = 255 - 10 * number
                for packet in stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")):
                    file.mux(packet)
            tone = np.sin(2 * np.pi * (200 + 40 * number) * np.arange(32000) / 16000)
            frame = av.AudioFrame.from_ndarray((tone * 8000).astype(np.int16)[None], "s16", "mono")
            frame.rate = 16000
            for coder in (audio, stream):
                for packet in coder.encode(frame) if coder is audio else ():
                    file.mux(packet)
            for coder in (stream, audio):
                for packet in coder.encode(None):
                    file.mux(packet)


def make(folder: Path) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}

    def note(name: str, value: Any) -> None:
        results[name] = value
        print(name, value if isinstance(value, str) else f"{len(value)} entries", flush=True)
        (folder / "results.json").write_text(json.dumps(results, indent=1), encoding="utf-8")

    for name in METHODS:
        note(f"method {name}", of_method(name))
    for name in METHODS:
        out = folder / "debug" / name
        if not (out / "best.safetensors").exists():
            short = () if name in WHOLE else ("--train.epochs", 1)
            run("train", f"{name}/debug", "-o", out, "--quiet", "--overwrite", *short)
        note(f"trained {name}", of_checkpoint(out / "best.safetensors"))
    demo = folder / "demo"
    if not (demo / "best.safetensors").exists():
        run("demo", "--output", demo)
    note("demo: weights", of_checkpoint(demo / "best.safetensors"))
    note("demo: report", of_json(demo / "report.json"))
    note("demo: samples", of_csv(demo / "samples.csv"))
    best = demo / "best.safetensors"

    def model(*before: object) -> list[object]:
        return [before[0], best, *before[1:]] if OLD else [*before, "--model", best]

    for data in ("scenes-single", "scenes-interactive", "scenes-extended"):
        out = folder / f"report-{data}"
        if not out.exists():
            run(*model("evaluate", data), "--protocol", "all", "--options", json.dumps(SCENES), "-o", out)
        note(f"{data}: report", of_json(out / "report.json"))
        note(f"{data}: samples", of_csv(out / "samples.csv"))
        note(f"{data}: maps", [line for file in sorted(out.rglob("*.npz")) for line in of_npz(file)])
    scored = folder / "scored"
    if not scored.exists():
        predictions = folder / "report-scenes-interactive" / "maps"
        command = "score" if OLD else "evaluate-maps"
        run(command, predictions, "scenes-interactive", "--options", json.dumps(SCENES), "-o", scored)
    note("scored maps", of_json(scored / "report.json"))

    image, sounds = demo / "example.png", (demo / "example.wav", demo / "other.wav")
    written = ("--json", "-o", folder / "located.png", "--overwrite")
    several = [f"[{sounds[0]},{sounds[1]}]"] if OLD else sounds
    note("locate", of_text(run(*model("locate", image, sounds[0]), *written)))
    note("locate: two", of_text(run(*model("locate", image, *several), *written)))
    records = folder / "records.npz"
    localizer = import_module(f"{NAME}.inference.localizer").Localizer.load(best)
    if not records.exists():
        located = localizer.locate_video(demo / "example.mp4")
        np.savez(records, *[np.asarray(frame.map.scores) for frame in located])
    note("locate_video", of_npz(records))

    catalog = folder / "catalog"
    if not catalog.exists():
        run("data", "scenes", "scenes-single", catalog, "--length", 24, "--size", 128, "--seconds", 1, "--seed", 5)
    name = "catalogue" if OLD else "catalog"
    table = folder / "table"
    if not table.exists():
        command = ("mine", best, name) if OLD else ("neighbors", "mine", name)
        arguments = [*command, table, "--root", catalog, "--k", 5, "--options", '{"split": "test"}']
        run(*arguments, *([] if OLD else ["--model", best]))
    note("mined", sorted(digest(np.load(file)) for file in table.glob("*.npy")))

    index = folder / "index"
    if not index.exists():
        run("search", "index", catalog, "--index", index, "--checkpoint" if OLD else "--model", best)
    sound = "--sound" if OLD else "--audio"
    query = ("search", "query", "--index", index, sound, sounds[0], "--k", 9, "--json")
    note("search: audio", of_text(run(*query)))
    mix = ("--mix" if OLD else "--image-weight", 0.5)
    note("search: both", of_text(run(*query, "--image", image, *mix)))

    clips = folder / "clips"
    if not clips.exists():
        videos(clips)
    shards = folder / "shards"
    if not shards.exists():
        run("data", "prepare" if OLD else "extract", clips, shards, "--seconds", 1)
    note("shards", of_shards(shards))
    return results


def compare(before: Path, after: Path) -> int:
    first, second = (json.loads((folder / "results.json").read_text(encoding="utf-8")) for folder in (before, after))
    different = [name for name in sorted(first.keys() | second.keys()) if first.get(name) != second.get(name)]
    for name in different:
        print("DIFFERENT", name, str(first.get(name))[:300], str(second.get(name))[:300], sep="\n   ")
    print(f"{len(first)} results, {len(different)} different")
    return bool(different)


if __name__ == "__main__":
    if sys.argv[1] == "make":
        make(Path(sys.argv[2]).resolve())
    else:
        raise SystemExit(compare(Path(sys.argv[2]), Path(sys.argv[3])))
