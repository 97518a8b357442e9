"""The demonstration from end to end, at toy size: every file it promises is there and says what it should."""

import json
from pathlib import Path

import pytest

from whence.cli.main import main
from whence.demo import demo

TINY = ("--train.epochs", "1", "--train.leg", "4", "--train.batch_size", "16", "--train.workers", "0")
TINY += ("--data.options.length", "64", "--select.data.options.length", "8")


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "demo"
    assert demo(folder, overrides=TINY, pictures=6) == folder / "report.html"
    return folder


def test_what_the_readme_promises_is_there(output: Path) -> None:
    names = {path.name for path in output.iterdir()}
    assert names >= {
        "best.safetensors",
        "report.html",
        "report.json",
        "samples.csv",
        "strip.jpg",
        "example.png",
        "example.mp4",
    }
    rows = {row["name"]: row["kind"] for row in json.loads((output / "report.json").read_text())["rows"]}
    assert rows["ceiling"] == "ceiling"
    assert [kind for kind in rows.values() if kind == "sound-blind"]


def test_the_readmes_example_runs(output: Path, tmp_path: Path) -> None:
    import whence

    localizer = whence.load(str(output / "best.safetensors"))
    result = localizer.locate(str(output / "example.png"), str(output / "example.wav"))
    result.save(tmp_path / "out.png")
    assert (tmp_path / "out.png").stat().st_size > 0
    assert result.mask().shape == result.upsample().shape == (128, 128)


def test_the_readmes_command_runs(output: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    names = [str(output / name) for name in ("best.safetensors", "example.png", "example.wav")]
    assert main(["locate", *names, "-o", str(tmp_path / "out.png")]) == 0
    assert "peak" in capsys.readouterr().out
    assert main(["locate", *names, "-o", str(tmp_path / "out.png")]) == 2
    assert "--overwrite" in capsys.readouterr().err
