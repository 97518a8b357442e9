"""What is installed works by itself: the wheel carries all that is needed when there is no checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
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


MAX_BYTES = 40_000_000  # of the wheel, with the starter and the open test set


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "--quiet", "-w", str(folder)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    if done.returncode and "hatchling" in done.stderr:
        pytest.skip("the wheel cannot be built: no index that has hatchling")
    assert done.returncode == 0, done.stderr
    (built,) = folder.glob("soundspot-*.whl")
    return built


@pytest.mark.slow
def test_a_wheel_works_without_a_checkout(wheel: Path, tmp_path: Path) -> None:
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


@pytest.mark.slow
def test_an_installed_wheel_locates_and_scores(wheel: Path, tmp_path: Path) -> None:
    """In a new environment that has the dependencies of this one, and nothing of this library but the wheel."""
    assert wheel.stat().st_size <= MAX_BYTES
    venv.create(tmp_path / "env", with_pip=False)
    scripts = tmp_path / "env" / ("Scripts" if os.name == "nt" else "bin")
    install = [sys.executable, "-m", "pip", "--python", str(scripts / "python"), "install", "--no-deps", "--no-index"]
    subprocess.run([*install, "--quiet", "--disable-pip-version-check", str(wheel)], check=True)
    (packages,) = {Path(path).parent for path in (tmp_path / "env").rglob("site-packages/soundspot")}
    of_others = sysconfig.get_paths()["purelib"]  # only now: pip does not see what is there
    (packages / "others.pth").write_text(f"{of_others}\n", encoding="utf-8")  # its own .pth files are not read

    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

    def run(*words: str | Path) -> str:
        done = subprocess.run(
            [*map(str, words)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    where = run(scripts / "python", "-c", "import soundspot.examples as e; print(e.__file__)").strip()
    assert Path(where).is_relative_to(packages)
    examples, command = Path(where).parent, scripts / "soundspot"
    run(command, "locate", examples / "cat.jpg", examples / "cat.flac", "-o", "out.json")
    (result,) = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert result["present"] is True
    told = run(
        command, "evaluate", "open-interactive", "--bootstraps", "0", "--metrics", "ciou_adaptive", "-o", "report"
    )
    assert "cIoU, adaptive" in told
    assert json.loads((tmp_path / "report" / "report.json").read_text(encoding="utf-8"))["n"] == 128
