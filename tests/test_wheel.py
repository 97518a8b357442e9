"""What is installed works by itself: the wheel carries all that is needed when there is no checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from conftest import ROOT

NO_CODE = (
    ".yaml",
    ".txt",
    ".jpg",
    ".flac",
    ".mp4",
    ".csv",
    ".j2",
    ".css",
    ".js",
    ".html",
    ".typed",
    ".svg",
    ".json",
    ".safetensors",
)


@pytest.mark.slow
def test_a_wheel_works_without_a_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--quiet", "-w", str(tmp_path)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip("the wheel cannot be built: no index that has hatchling")
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("soundspot-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        packed.extractall(installed)
    source = ROOT / "src"
    needed = {
        f.relative_to(source).as_posix() for f in (source / "soundspot").rglob("*") if f.suffix in (".py", *NO_CODE)
    }
    yamls = [*(ROOT / "recipes").rglob("*.yaml"), *(ROOT / "studies").rglob("*.yaml")]
    needed |= {f"soundspot/{f.relative_to(ROOT).as_posix()}" for f in yamls}
    assert not needed - names
    assert not [name for name in names if "__pycache__" in name or "/tests/" in name]

    alone = {**os.environ, "PYTHONPATH": str(installed)}
    told = (
        "import soundspot; print(soundspot.__file__); print(*soundspot.list_methods()); "
        "soundspot.read_recipe('lvs/scenes')"
    )
    said = subprocess.run(
        [sys.executable, "-c", told], cwd=tmp_path, env=alone, capture_output=True, text=True, check=True
    ).stdout.split()
    assert said[0].startswith(str(installed))
    assert "ezvsl" in said
    toy = ["-m", "soundspot", "train", "ezvsl/debug", "-o", "toy", "--quiet", "--train.epochs", "1"]
    subprocess.run([sys.executable, *toy], cwd=tmp_path, env=alone, capture_output=True, check=True)
    assert (tmp_path / "toy" / "best.safetensors").is_file()
