"""Mutated files raise nothing but our errors, in 5 s and 1 GB each; `campaign.py` feeds as many as asked."""

from pathlib import Path

import pytest
from campaign import run
from targets import TARGETS, make_inputs

pytestmark = pytest.mark.filterwarnings("ignore")
QUICK = [name for name in TARGETS if not name.startswith(("exported", "fields of an exported"))]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("valid")
    make_inputs(folder, with_exports=False)
    return folder


@pytest.fixture(scope="module")
def all_inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    folder = tmp_path_factory.mktemp("all")
    make_inputs(folder)
    return folder


def test_valid_inputs_are_read(inputs: Path) -> None:
    for name in QUICK:
        TARGETS[name].read(inputs)


def test_some_mutated_inputs_raise_nothing_but_our_errors(inputs: Path) -> None:
    result = run(2, 0, QUICK, inputs)
    assert not result["failures"]
    assert all(sum(counts.values()) == 2 for counts in result["outcomes"].values())


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_mutated_inputs_raise_nothing_but_our_errors(all_inputs: Path, name: str) -> None:
    assert not run(1000, 1, [name], all_inputs)["failures"]
