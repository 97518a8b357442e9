"""What `soundspot adapt` teaches: two things left out of a training of the starter, from 20 images and 20 sounds.

python examples/starter_adapt.py   # needs runs/starter-without.safetensors (python examples/starter.py package without)

Scored on composed images of test objects with test sounds: of the two new things, against the full starter, and of the
old ones, before and after. Images and sounds to learn from are the first ones of `train`, as they come, without masks.
"""

import json
import os
import shutil
import time
from pathlib import Path

import starter
from starter_card import DOCS

from soundspot.config.named_models import NAMED_MODELS
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.registry import open_dataset
from soundspot.evaluation.engine.evaluate import evaluate
from soundspot.inference.localizer import Localizer
from soundspot.training.adapt import adapt

PER_THING = 10
SCENES = {"split": "test", "length": 100, "size": 320, "seconds": 5.0}
METRICS = ("ciou_adaptive", "iiou_adaptive")


def write_folder(folder: Path) -> Path:
    """Copy the first images and sounds of each thing left out into a folder of its name."""
    root = Path(os.environ["SOUNDSPOT_REALSET2"])
    catalog = Catalog(root, "train")
    shutil.rmtree(folder, ignore_errors=True)
    for thing in starter.LEFT_OUT:
        (folder / thing).mkdir(parents=True)
        for entries in (catalog.images, catalog.audio):
            for entry in [entry for entry in entries if entry.category == thing][:PER_THING]:
                shutil.copy(root / entry.file, folder / thing)
    return folder


def scores(model: Path, categories: list[str]) -> dict[str, float]:
    """Scores of a model on composed images of some categories."""
    data = open_dataset("cutouts-interactive", os.environ["SOUNDSPOT_REALSET2"], **SCENES, categories=categories)
    row = evaluate(Localizer.load(model), data, bootstraps=0).rows[0]
    return {name: row.metrics[name].value for name in METRICS}


def main() -> None:
    before, after = starter.RUNS / "starter-without.safetensors", starter.RUNS / "starter-adapted.safetensors"
    folder = write_folder(starter.RUNS / "starter-things")
    begin = time.perf_counter()
    report = adapt(folder, after, str(before), overwrite=True)
    seconds = time.perf_counter() - begin
    print(report.format_summary())
    new = [*starter.LEFT_OUT]
    old = [name for name in Catalog(os.environ["SOUNDSPOT_REALSET2"], "test").categories if name not in new]
    facts = {
        "seconds": round(seconds),
        "things": new,
        "new": {name: scores(path, new) for name, path in models(before, after)},
        "old": {name: scores(path, old) for name, path in models(before, after)},
    }
    (DOCS / "adapt.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(facts, indent=1))


def models(before: Path, after: Path) -> list[tuple[str, Path]]:
    """The full starter, the one without the things, and the latter after it was taught them."""
    return [("starter", NAMED_MODELS["starter"]), ("without", before), ("adapted", after)]


if __name__ == "__main__":
    main()
