"""Imports of a short command: the garbage collector pauses, and nothing changes where torch is imported already."""

import gc
import os
import subprocess
import sys

from soundspot.utils.startup import fast_imports

SCRIPT = """
import gc, os, sys, types
from soundspot.utils.startup import fast_imports
assert gc.get_freeze_count() == 0
with fast_imports():
    assert not gc.isenabled()
    sys.modules["torch"] = types.ModuleType("torch")
frozen = gc.get_freeze_count()
assert gc.isenabled() and frozen > 1000
with fast_imports():  # torch is there
    assert gc.isenabled()
assert gc.get_freeze_count() == frozen
print(os.environ["OMP_WAIT_POLICY"])
"""


def run(**environment: str) -> str:
    inherited = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=inherited | environment, capture_output=True, check=True)
    return done.stdout.decode().strip()


def test_imports_are_not_searched_for_garbage_and_threads_sleep() -> None:
    assert run() == "passive"


def test_the_users_own_wait_policy_stays() -> None:
    assert run(OMP_WAIT_POLICY="active") == "active"


def test_nothing_changes_where_torch_is_imported_already() -> None:
    import torch  # noqa: F401

    frozen, policy = gc.get_freeze_count(), os.environ.get("OMP_WAIT_POLICY")
    with fast_imports():
        assert gc.isenabled()
    assert (gc.get_freeze_count(), os.environ.get("OMP_WAIT_POLICY")) == (frozen, policy)
