"""Methods beside one another: trains NAME/scenes of each alike, scores all on unseen scenes, writes docs/table.md.

make table        # under an hour on two cores

Each method has one core to itself: two trainings side by side do more in a minute than one that is spread over both.
The scenes are composed once and kept for all of them. A method that fails is told and the others go on; the page is
written when all are there, and `python examples/table.py NAME...` trains those that it names again and no others.
`python examples/table.py --score [NAME...]` trains nothing: it scores the checkpoints that are there again.
"""

import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import date
from importlib.metadata import version
from itertools import zip_longest
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import table_page
import torch
import torch.nn.functional as F

import soundspot
from soundspot.config.load import read_recipe
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.media.image import normalize, squash
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.inference.localizer import Localizer
from soundspot.inference.render import draw_outline, make_contact_sheet
from soundspot.models.encoders import build_encoder
from soundspot.models.heads import mean_pool
from soundspot.training.fit import open_recipe_dataset, train
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import atomic_write

sys.path.insert(0, str(table_page.ROOT))
from benchmarks.__main__ import machine

RUNS = table_page.ROOT / "runs" / "table"
START = RUNS / "shapes.pt"
ALIKE = [
    *("--front_end.preset", "alignment", "--image.weights", str(START)),
    *("--train.epochs", "3", "--validation.data", "null"),
]
SEED, SEED_OF_START = 5005, 6006  # recipes were chosen on seed 1001
TESTS = {"single": 250, "interactive": 250, "extended": 400}
SHOWN = (0, 1, 2, 3)  # items of the interactive test: two pictures, each with two sounds


def main(names: list[str], training: bool = True) -> None:
    began = time.time()
    if training:
        if not names:
            shutil.rmtree(RUNS, ignore_errors=True)
            make_start(START)
        compose()
    failed = each(one if training else score_again, names or sorted(soundspot.list_methods(), key=weight), began)
    found = {name: read(name) for name in soundspot.list_methods() if (RUNS / name / "result.json").exists()}
    minutes = spent((time.time() - began) / 60 if training else 0)
    missing = sorted(failed | (soundspot.list_methods().keys() - found.keys()))
    if missing:
        sys.exit(f"no page is written: there is no result of {', '.join(missing)}. Name them to train them again")
    steps = {result.pop("steps") for result in found.values()}
    assert len(steps) == 1, "trained alike"
    record = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "torch": version("torch"),
        "minutes": round(minutes, 1),
        "steps": steps.pop(),
        "methods": {name: found[name] for name in sorted(found)},
    }
    table_page.DOCS.mkdir(parents=True, exist_ok=True)
    with atomic_write(table_page.RESULTS) as draft:
        draft.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    draw_maps(table_page.in_order(record["methods"]))
    table_page.main()
    print(table_page.table(record))


def each(work: Callable[[str], None], names: list[str], began: float) -> set[str]:
    """Does the work for each name on a core of its own; answers with those that failed."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    failed = set()
    with ProcessPoolExecutor(cores, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        runs = {pool.submit(work, name): name for name in names}
        for count, done in enumerate(as_completed(runs), 1):
            name, error = runs[done], done.exception()
            failed |= {name} if error else set()
            told = f"failed: {error}" if error else "done"
            print(f"{count} of {len(names)}, {(time.time() - began) / 60:.1f} minutes: {name} {told}", flush=True)
    return failed


def compose() -> None:
    """Puts every scene that is trained on on its shelf."""
    epochs = int(read_recipe("alignment/scenes", ALIKE).train.epochs)
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        list(pool.map(compose_epoch, range(epochs)))


def compose_epoch(epoch: int) -> None:
    scenes = open_recipe_dataset(read_recipe("alignment/scenes", ALIKE).data).at_epoch(epoch)
    for i in range(len(scenes)):
        scenes.read_image(i)
        scenes.read_audio(i)


def spent(minutes: float) -> float:
    """Minutes of this run's training and of the runs before it that began the table."""
    file = RUNS / "minutes"
    minutes += float(file.read_text()) if file.exists() else 0
    file.write_text(str(minutes))
    return minutes


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((RUNS / name / "result.json").read_text(encoding="utf-8"))
    return found


def weight(name: str) -> float:
    """The longest trainings come first; a step of theirs costs about so much more than EZ-VSL's."""
    longer = {"sspl_pcm": 4, "ssltie": 2.5, "sspl": 2, "slavc": 2, "hardpos": 2, "joint_slots": 2, "heartheflow": 2}
    return -longer.get(name, 1)


def make_start(file: Path, pictures: int = 3200, steps: int = 150, batch: int = 64) -> None:
    """A picture encoder that has learned to name what single scenes show, as published ones begin with ImageNet's."""
    recipe = read_recipe("alignment/scenes")
    scenes = open_dataset("scenes-single", length=pictures, size=128, seconds=1.0, seed=SEED_OF_START)
    shown = torch.stack([squash(scenes.read_image(i), 128) for i in range(pictures)])
    names = sorted({scenes.category(i) for i in range(pictures)})
    named = torch.tensor([names.index(scenes.category(i)) for i in range(pictures)])
    torch.manual_seed(0)
    encoder = build_encoder(recipe.image, in_channels=3).to(memory_format=torch.channels_last)
    head = torch.nn.Linear(encoder.channels, len(names))
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for _ in range(steps):
        some = torch.randint(0, pictures, (batch,))
        images = normalize(shown[some], recipe.front_end.build().image)
        loss = F.cross_entropy(head(mean_pool(encoder(images))), named[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(encoder.state_dict(), file)


def one(name: str) -> None:
    """Trains one method, scores it on every test, and writes what was found beside its checkpoint."""
    warnings.simplefilter("ignore")
    (RUNS / name / "result.json").unlink(missing_ok=True)
    began = time.time()
    recipe = read_recipe(f"{name}/scenes", ALIKE)
    localizer = Localizer.load(train(recipe, RUNS / name, overwrite=True, progress=False))
    trained = {
        "steps": round(recipe.train.epochs * recipe.data.options["length"] / recipe.train.batch_size),
        "weights": sum(p.numel() for p in localizer.method.parameters() if p.requires_grad),
        "training": round((time.time() - began) / 60, 2),
    }
    write(name, trained | scored(localizer))


def score_again(name: str) -> None:
    """Scores the checkpoint of a method that was trained before; what is known of its training stays."""
    warnings.simplefilter("ignore")
    write(name, read(name) | scored(Localizer.load(RUNS / name / "best.safetensors")))


def write(name: str, found: dict[str, Any]) -> None:
    with atomic_write(RUNS / name / "result.json") as draft:
        draft.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def scored(localizer: Localizer) -> dict[str, Any]:
    """The scores of every test, and the minutes that they took."""
    began = time.time()
    tests = {kind: scores(localizer, kind) for kind in TESTS}
    return {"tests": tests, "scoring": round((time.time() - began) / 60, 2)}


def scores(localizer: Localizer, kind: str) -> dict[str, Any]:
    """By row, the scores that the page shows; the model's row is `model`."""
    report = evaluate(localizer, opened(kind))
    columns = table_page.COLUMNS | table_page.MIXTURES
    keys = {key for test, key in columns.values() if test == kind}
    rows = {
        "model" if row is report.model else row.name: {k: vars(v) for k, v in row.metrics.items() if k in keys}
        for row in report.rows
    }
    return rows | ({"verdict": report.sound_sensitivity.verdict} if report.sound_sensitivity else {})


def opened(kind: str) -> AudioVisualDataset:
    return open_dataset(f"scenes-{kind}", length=TESTS[kind], size=128, seconds=1.0, seed=SEED)


def draw_maps(names: list[str]) -> None:
    """Two pictures, each asked with both of its sounds, by every method; two methods stand side by side."""
    test = opened("interactive")
    truths = [test.ground_truth(i).to_map(128, 128).numpy() > 0 for i in SHOWN]
    rows = [[draw_outline(test.read_image(i), truth) for i, truth in zip(SHOWN, truths, strict=True)]]
    captions = [[test.category(i) for i in SHOWN]]
    for name in names:
        localizer = Localizer.load(RUNS / name / "best.safetensors")
        found = [localizer.locate(test.read_image(i), test.read_audio(i)).overlay() for i in SHOWN]
        rows.append([draw_outline(answer, truth) for answer, truth in zip(found, truths, strict=True)])
        captions.append([name] * len(SHOWN))
    beside = [
        [left + right for left, right in zip_longest(one[::2], one[1::2], fillvalue=[])] for one in (rows, captions)
    ]
    with atomic_write(table_page.DOCS / "maps.jpg") as draft:
        make_contact_sheet(*beside, height=112).save(draft, quality=88)


if __name__ == "__main__":
    main([name for name in sys.argv[1:] if name != "--score"], training="--score" not in sys.argv)
