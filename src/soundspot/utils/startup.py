"""Imports of a command that is over in two seconds, of which torch alone takes more than one."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def fast_imports() -> Iterator[None]:
    """Import torch, and what needs it, in less time; without effect where torch is imported already.

    The garbage collector pauses, and never looks at the imported objects again: they stay, and a search among them
    takes 0.07 s. Idle threads of torch sleep (`OMP_WAIT_POLICY`, unless it is set): on a CPU that others use too, GNU's
    OpenMP otherwise spends more processor time waiting than computing.

    Yields:
        Nothing; what is imported in the block is what the above is true of.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # OpenMP reads it when torch is loaded
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
