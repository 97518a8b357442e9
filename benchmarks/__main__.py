"""Runs the benchmarks, prints one table and writes all figures to benchmarks/results/DATE-MACHINE.json.

    python -m benchmarks                 # all of them, at full size: some minutes
    python -m benchmarks mining          # one of them; the day's other figures stay
    python -m benchmarks metrics --quick # one of them, at toy size: to see that it runs; nothing is written

Nothing else should run on the machine meanwhile.
"""

import argparse
import json
import os
import platform
import re
from dataclasses import asdict
from datetime import date
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks import Row

MODULES = (
    "scoring",
    "metrics",
    "training_step",
    "nine_pairs",
    "spectrogram",
    "loading",
    "feeding",
    "feature_cache",
    "mining",
    "preparing",
    "video",
    "starter",
    "search",
    "export",
)
GROWTH = "growth"  # how costs grow is no ratio, and is measured last
RESULTS = Path(__file__).parent / "results"


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "system": f"{platform.system()} {platform.machine()}",
    }


def _cpu() -> str:
    """The processor's name, as Linux tells it; elsewhere what Python knows."""
    try:
        names = re.findall(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text())
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def table(rows: list[Row]) -> str:
    """The rows in columns, with a word where a target is missed."""
    head = ("what", "plain way", "ours", "ratio", "target")
    cells = [
        (
            row.what,
            f"{row.plain:.3g} {row.unit}",
            f"{row.ours:.3g} {row.unit}",
            f"{row.ratio:.1f}",
            "" if row.target is None else f">= {row.target:g}" + (" MISSED" if row.missed else ""),
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (head, *cells)) for column in range(len(head))]
    lines = ["  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)) for line in (head, *cells)]
    notes = [f"{row.what}: {row.note}" for row in rows if row.note]
    return "\n".join(line.rstrip() for line in [*lines, "", *notes])


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument(
        "names",
        nargs="*",
        choices=[[], *MODULES, GROWTH],
        default=[],
        metavar="name",
        help=", ".join((*MODULES, GROWTH)),
    )
    parser.add_argument("--quick", action="store_true", help="toy sizes; nothing is written")
    asked = parser.parse_args()
    rows = []
    names = asked.names or (*MODULES, GROWTH)
    for name in names:
        if name != GROWTH:
            print(f"{name}...", flush=True)
            rows += import_module(f"benchmarks.{name}").run(quick=asked.quick)
    costs = []
    if GROWTH in names:
        growth = import_module("benchmarks.growth")
        for name in growth.COSTS:
            print(f"growth of {name}...", flush=True)
            costs.append(growth.grown(name, quick=asked.quick))
            print(costs[-1], flush=True)
    where = machine()
    print(f"\n{where['cpu']}, {where['cores']} cores, GPU: {where['gpu'] or 'none'}\n\n{table(rows)}")
    if asked.quick:
        return
    RESULTS.mkdir(exist_ok=True)
    slug = re.sub(r"[^a-z0-9]+", "-", f"{where['gpu'] or where['cpu']} {where['cores']} cores".lower()).strip("-")
    path = RESULTS / f"{date.today().isoformat()}-{slug}.json"
    result = {
        "date": date.today().isoformat(),
        "machine": where,
        "versions": {"python": platform.python_version()}
        | {package: version(package) for package in ("soundspot", "torch", "numpy", "scipy")},
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
        "growth": costs,
    }
    if path.exists():  # of the same day and machine: what was not measured again stays
        before = json.loads(path.read_text(encoding="utf-8"))
        for part in ("rows", "growth"):
            anew = {one["what"] for one in result[part]}
            result[part] = [one for one in before.get(part, []) if one["what"] not in anew] + result[part]
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten: {path}")


if __name__ == "__main__":
    main()
