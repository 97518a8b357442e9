"""Mutated files raise nothing but our errors, in 5 s and 1 GB each; `campaign.py` feeds as many as asked."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import campaign
import pytest
from campaign import QUICK
from targets import TARGETS, Target, make_inputs

CAMPAIGN = Path(__file__).with_name("campaign.py")


def run(count: int, seed: int, *names: str) -> dict[str, dict[str, int]]:
    """Run the campaign in a process without other threads, since it forks; return the outcomes of each target."""
    paths = [str(CAMPAIGN.parents[1]), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, str(CAMPAIGN), str(count), str(seed), *names],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
        timeout=3600 if count > 10 else 300,
    )
    results: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [failure for result in results for failure in result["failures"]]
    return {name: counts for result in results for name, counts in result["outcomes"].items()}


@pytest.mark.filterwarnings("ignore")
def test_valid_inputs_are_read(tmp_path: Path) -> None:
    make_inputs(tmp_path, with_exports=False)
    for name in QUICK:
        TARGETS[name].read(tmp_path)


def test_some_mutated_inputs_raise_nothing_but_our_errors() -> None:
    outcomes = run(2, 0, *QUICK)
    assert [sum(counts.values()) for counts in outcomes.values()] == [2] * len(QUICK)


@pytest.mark.filterwarnings("ignore")  # of a fork beside threads: this child only waits
def test_an_input_that_waits_for_ever_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").touch()
    monkeypatch.setattr(campaign, "HANG_SECONDS", 0.1)
    monkeypatch.setitem(TARGETS, "lock", Target("x", lambda content, rng: content, lambda folder: time.sleep(60)))
    counts, failures = campaign.attack(tmp_path, "lock", 1, 0)
    assert counts == {"hang": 1}
    assert failures == {"hang": "lock: seed 0, input 0: hang"}


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs_raise_nothing_but_our_errors(name: str) -> None:
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    run(1000, 1, name)
