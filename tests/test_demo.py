"""The demonstration from end to end, and what the README and the tutorial show: every line of theirs works, in order.

The demonstration itself is at toy size here, made once and handed to both pages. How well it has learned shows in
verdicts and boxes, so these may be others than the page's, and `tests/test_examples.py` has its real sounds; `slow`
runs every line literally, in a new environment.
"""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT
from pages import Walk, answered, in_process, in_shell
from soundspot.demo import demo

TINY = (
    "--train.epochs",
    "1",
    "--train.checkpoint_every_n_steps",
    "4",
    "--train.batch_size",
    "16",
    "--train.workers",
    "0",
)
TINY += ("--data.options.length", "64", "--validation.data.options.length", "8")
PAGES = [ROOT / "README.md", ROOT / "docs" / "tutorial.md"]
ENVIRONMENT = ("python3 -m venv", ". .venv/", "pip install")
BOX = r"\(\d+, \d+\)-\(\d+, \d+\)"


def unlearned(text: str) -> str:
    """What is printed, less what depends on how well a model has learned."""
    text = re.sub(rf"boxes: (?:none|{BOX}(?:, {BOX})*)", "boxes", text)
    return re.sub(r"(?<=, )(?:present|not in the image)$", "verdict", text, flags=re.MULTILINE)


class Toy(Walk):
    """A walk in an environment that is there already, with a model that has hardly learned."""

    def check(self, command: Any, where: str) -> None:
        if not command.line.startswith(ENVIRONMENT):
            super().check(command, where)

    def alike(self, text: str) -> str:
        return unlearned(text)


class Literal(Walk):
    """A walk in a shell, with Python blocks as programs of their own: what went before is run again."""

    def execute(self, code: str, page: Path, line: int) -> None:
        self.names["so far"] = self.names.get("so far", "") + code
        (self.folder / "so_far.py").write_text(self.names["so far"], encoding="utf-8")
        self.run("python so_far.py")


def test_everything_that_is_shown_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "made"
    said: list[str] = []
    monkeypatch.setattr("soundspot.demo.locate_examples", lambda *_: None)  # tests/test_examples.py
    assert demo(made, overrides=TINY, num_images=6, log=said.append) == made / "report.html"
    what_was_promised_is_there(made)

    def at_hand(output: Path, overwrite: bool, log: Any) -> Path:
        shutil.copytree(made, output)
        for line in said:
            log(line)
        return output / "report.html"

    monkeypatch.setattr("soundspot.demo.demo", at_hand)
    for page in PAGES:
        folder = tmp_path / page.stem
        folder.mkdir()
        monkeypatch.chdir(folder)
        assert Toy(folder, in_process).page(page) >= 4
        assert (folder / "out.png").stat().st_size > 0


def what_was_promised_is_there(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "best.safetensors",
        "report.html",
        "report.json",
        "samples.csv",
        "strip.jpg",
        "example.png",
        "example.mp4",
    }
    rows = {row["name"]: row["kind"] for row in json.loads((folder / "report.json").read_text())["rows"]}
    assert rows["ceiling"] == "ceiling"
    assert [kind for kind in rows.values() if kind == "sound-blind"]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_line_works_literally_in_a_new_environment(page: Path, tmp_path: Path) -> None:
    """A copy of the tracked files, an environment of its own, the whole demonstration."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("this is no checkout: git does not list its files")
    for name in tracked.stdout.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)

    def run(line: str) -> str:
        enter = "[ ! -e .venv/bin/activate ] || . .venv/bin/activate; "
        if line.startswith("soundspot app"):
            return answered(["bash", "-c", f"{enter} exec {line}"], clean(), tmp_path)
        return in_shell(enter + line, cwd=tmp_path, env=clean())

    assert Literal(tmp_path, run).page(page) >= 4


def clean() -> dict[str, str]:
    """This process' environment without what would lead to the package under test."""
    return {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
