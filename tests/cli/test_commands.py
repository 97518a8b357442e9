"""The command line is read as its help says; what it writes is whole."""

import json

import pytest

from whence.cli.main import commands
from whence.data.datasets.catalogue import Catalogue


@pytest.mark.parametrize("command", [name for name in commands() if name != "data"])
def test_every_command_explains_itself(whence, command) -> None:
    answer = whence(command, "--help")
    assert answer.code == 0
    assert answer.out.startswith("usage: whence")
    assert "--config" not in answer.out


def test_help_lists_every_command_with_a_line(whence) -> None:
    answer = whence("--help")
    lines = [line.split(maxsplit=1) for line in answer.out.splitlines() if line.startswith("    ")]
    told = {words[0] for words in lines if len(words) > 1}
    assert set(commands()) <= told


def test_a_word_that_is_no_command(whence) -> None:
    answer = whence("lcoate")
    assert answer.code == 2
    assert "invalid choice: 'lcoate'" in answer.err


@pytest.mark.parametrize("command", ["methods", "datasets", "protocols"])
def test_lists_have_a_name_and_a_line_each(whence, command) -> None:
    answer = whence(command)
    assert answer.code == 0
    assert all(len(line.split(maxsplit=1)) == 2 for line in answer.out.splitlines() if line)


def test_scenes_become_a_catalogue(whence, tmp_path) -> None:
    write = ("data", "scenes", "scenes-interactive", tmp_path / "scenes", "--length", 3, "--size", 48, "--seconds", 0.5)
    answer = whence(*write, "--options", json.dumps({"objects": 3}), "--seed", 5)
    assert answer.code == 0, answer.err
    assert "9 items of scenes-interactive" in answer.out
    assert len(Catalogue(tmp_path / "scenes", "test")) == 9
    again = whence(*write)
    assert again.code == 2
    assert not again.written
    assert "--overwrite" in again.err
    assert whence(*write, "--overwrite").code == 0, "a flag needs no word"
    assert len(Catalogue(tmp_path / "scenes", "test")) == 6


def test_a_check_tells_what_a_catalogue_holds(whence, catalogue) -> None:
    answer = whence("data", "check", catalogue)
    assert answer.code == 0
    head, *rows, total, _, verdict = answer.out.splitlines()
    assert head.split() == ["category", "pictures", "train", "recordings", "train"]
    assert total.split() == ["all", "8", "8"]
    assert sum(int(row.split()[-1]) for row in rows) == 8
    assert verdict == "no problems found"
