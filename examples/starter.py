"""Makes the starter: trains its heads, fits its threshold, writes it into the package, scores it and writes its card.

make starter                              # all of it; SOUNDSPOT_REALSET and SOUNDSPOT_REALSET2 name the two catalogs
python examples/starter.py train SEED     # one training, runs/starter-SEED; its features take 2.7 GB
python examples/starter.py package SEED   # of that training, with its threshold: runs/starter-SEED.safetensors
python examples/starter.py ship           # of the first seed's: the file in the package, and its sources
python examples/starter.py score          # of the file in the package and of every training that is there: the card

Nothing is chosen on a test split: the recipe and its rates were chosen on held-out groups of `train`, on which the
threshold is fitted too.
"""

import csv
import json
import os
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import starter_card
import starter_scores
import torch
from starter_masks import catalogs_with_masks

from soundspot.config.checkpoint import load_checkpoint, read_header, save_checkpoint, update_header
from soundspot.config.load import read_recipe
from soundspot.config.named_models import NAMED_MODELS
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.concat import ConcatDataset
from soundspot.data.datasets.registry import open_dataset
from soundspot.evaluation.engine.calibrate import calibrate
from soundspot.inference.localizer import Localizer
from soundspot.methods.ezvsl_base import EZVSLBase
from soundspot.scenes.cutouts import CutoutSource
from soundspot.training.fit import train
from soundspot.training.projection_inputs import read_inputs
from soundspot.training.retention import Retention, measure_retention

ROOT = Path(__file__).resolve().parent.parent
RUNS = ROOT / "runs"
SHIPPED_SEED = 0
SEEDS = (0, 1, 2)
LEFT_OUT = ("guitar", "telephone")  # of the training by which `adapt` is checked
THRESHOLD_RULE = "q95"
VIDEO_SIZE = 224
SCENES = {"length": 100, "size": 320, "seconds": 5.0}  # composed images that the threshold is fitted on too


def catalogs() -> tuple[Path, list[str]]:
    """The parent of the two catalogs, and their names below it."""
    folders = [Path(os.environ[name]).resolve() for name in ("SOUNDSPOT_REALSET", "SOUNDSPOT_REALSET2")]
    root = Path(os.path.commonpath(folders))
    return root, [str(folder.relative_to(root)) for folder in folders]


def options(split: str) -> dict[str, Any]:
    """Options of the catalog as the recipe has them, for one split."""
    (member, _) = read_recipe("nowhere/starter").data.options["datasets"]
    wanted = {key: value for key, value in member["options"].items() if key != "train_ground_truth"}
    return {**wanted, "folders": catalogs()[1], "split": split}


def train_heads(seed: int, left_out: tuple[str, ...] = ()) -> Path:
    """Train by the recipe, without some categories; returns the checkpoint."""
    root, folders = catalogs()
    masked = catalogs_with_masks(root, folders, RUNS / "starter-catalogs")
    recipe = read_recipe("nowhere/starter", ["--data.root", str(masked), "--train.seed", str(seed)])
    known = Catalog(masked, **options("train"))
    members = [dict(member) for member in recipe.data.options["datasets"]]
    for member in members:
        member["options"] = {**member["options"], "folders": folders}
    if left_out:
        for member, names in zip(members, (known.categories, CutoutSource(known).categories), strict=True):
            member["options"]["categories"] = sorted({*names} - {*left_out})
    data = replace(recipe.data, options={"datasets": members})
    cache = replace(recipe.feature_cache, folder=str(RUNS / "starter-features"))
    return train(replace(recipe, data=data, feature_cache=cache), RUNS / run_name(seed, left_out), overwrite=True)


def run_name(seed: int, left_out: tuple[str, ...]) -> str:
    """Name of a training, below `RUNS`."""
    return f"starter-{'without' if left_out else seed}"


def write_model(checkpoint: Path, output: Path, to_be_taught: bool) -> None:
    """Fit the threshold of a training on held-out groups, and write it in half precision.

    With `to_be_taught` the file has what `adapt` needs too.
    """
    root, _ = catalogs()
    localizer = Localizer.load(checkpoint)
    method, header = load_checkpoint(checkpoint)
    in_recipe = header["recipe"]["data"]["options"]["datasets"][0]["options"].get("categories")
    learned = Catalog(root, **options("train"))
    names = tuple(name for name in learned.categories if in_recipe is None or name in in_recipe)
    photographs = Catalog(root, **options("val"), categories=names)
    objects = CutoutSource(photographs).categories
    scenes = open_dataset("cutouts-interactive", root, **options("val"), **SCENES, categories=objects)
    held_out = ConcatDataset([photographs, scenes], [1, 1])
    fitted = calibrate(localizer, held_out, rule=THRESHOLD_RULE)
    print(fitted.format_summary())
    save_checkpoint(
        method,
        output,
        half_precision=True,
        statistics=retention(localizer, learned, names, held_out).tensors() if to_be_taught else None,
        retained=list(names),
        recipe=strip_paths(header["recipe"]),
        threshold=fitted.threshold,
        calibration=fitted.as_dict(),
        video_size=VIDEO_SIZE,
        card={**starter_card.header_facts({}), "categories": list(names)},
    )
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB")


def retention(localizer: Localizer, learned: Catalog, names: tuple[str, ...], held_out: ConcatDataset) -> Retention:
    """What holds the categories that were learned while others are taught."""
    encoders = localizer.method
    assert isinstance(encoders, EZVSLBase)
    inputs = read_inputs(encoders, learned, names)
    peaks = starter_scores.peaks(localizer, held_out)
    absent = peaks["silence"] + peaks["noise"] + peaks["offscreen"]
    return measure_retention(encoders, inputs, names, torch.tensor(peaks["own"]), torch.tensor(absent))


def strip_paths(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe without the folders of the machine that it was run on."""
    return {
        **recipe,
        "data": {**recipe["data"], "root": None},
        "feature_cache": {**recipe["feature_cache"], "folder": None},
    }


def write_sources(path: Path) -> None:
    """List every file that was learned from or held out of it, with license and attribution."""
    root, folders = catalogs()
    chosen = [entry for split in ("train", "val") for entry in entries(Catalog(root, **options(split)))]
    raw: dict[str, dict[str, Any]] = {}
    for folder in folders:
        document = json.loads((root / folder / "annotations.json").read_text(encoding="utf-8"))
        raw |= {f"{folder}/{entry['file']}": entry for kind in ("images", "audio") for entry in document[kind]}
    keys = ("category", "source", "licence", "rights", "attribution", "origin", "note")
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", *("license" if key == "licence" else key for key in keys)])
        writer.writerows([name, *(raw[name].get(key) or "" for key in keys)] for name in sorted({*chosen}))
    print(f"{path}: {len({*chosen})} files", Counter(raw[name]["licence"] for name in {*chosen}).most_common())


def entries(catalog: Catalog) -> list[str]:
    """Files of a catalog's images and recordings."""
    return [entry.file for entry in (*catalog.images, *catalog.audio)]


def main(words: list[str]) -> None:
    task, *arguments = words or ["all"]
    seeds = [int(word) for word in arguments if word.isdecimal()] or [SHIPPED_SEED]
    left_out = LEFT_OUT if "without" in arguments else ()
    if task == "train":
        for seed in seeds:
            train_heads(seed, left_out)
    elif task == "package":
        for seed in seeds:
            run = RUNS / run_name(seed, left_out)
            write_model(run / "best.safetensors", run.with_suffix(".safetensors"), to_be_taught=bool(left_out))
    elif task == "ship":
        write_model(RUNS / run_name(SHIPPED_SEED, ()) / "best.safetensors", NAMED_MODELS["starter"], to_be_taught=True)
        write_sources(starter_card.SOURCES)
    elif task == "score":
        facts = starter_scores.score_all(RUNS, starter_card.FACTS)
        card = read_header(NAMED_MODELS["starter"])["card"] | starter_card.header_facts(facts)
        update_header(NAMED_MODELS["starter"], card=card)
        starter_card.write()
    else:
        others = [str(seed) for seed in SEEDS if seed != SHIPPED_SEED]
        for step in (["train", str(SHIPPED_SEED), *others], ["train", "without"], ["ship"], ["package", *others]):
            main(step)
        main(["package", "without"])
        main(["score"])


if __name__ == "__main__":
    main(sys.argv[1:])
