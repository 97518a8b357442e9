"""A progress bar with the rate and the remaining time, for all that takes longer than two seconds.

Commands switch progress on (`show_progress`), and loops that may take long go through `track`. Of loops within loops
the outermost has the bar. Only terminals and notebooks have one: files and pipes get the result alone.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

DELAY = 2.0  # seconds before a bar appears

_is_on: ContextVar[bool] = ContextVar("_is_on", default=False)


@contextmanager
def show_progress() -> Iterator[None]:
    """Switch progress on while the block runs, for all loops in it that `track` counts."""
    before = _is_on.get()
    _is_on.set(True)
    try:
        yield
    finally:
        _is_on.set(before)


@contextmanager
def progress_bar(description: str = "", enabled: bool | None = True) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar while the block runs, once it has run for two seconds; others in it are not shown.

    Args:
        description: text before the bar.
        enabled: whether to show it at all; None: where a command switched progress on.

    Yields:
        Callback (done, total) that moves the bar.
    """
    if not (_is_on.get() if enabled is None else enabled):
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}/s")
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn()
    console = Console(stderr=True)  # stdout stays fit for a pipe
    can_show = console.is_terminal or console.is_jupyter
    bar = Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty())
    task, begin, before = bar.add_task(description, total=None, rate="?"), time.monotonic(), _is_on.get()

    def on_progress(done: int, total: int) -> None:
        speed = bar.tasks[0].speed
        bar.update(task, completed=done, total=total, rate="?" if speed is None else f"{speed:.1f}")
        if can_show and not bar.live.is_started and time.monotonic() - begin >= DELAY:
            bar.start()

    _is_on.set(False)
    try:
        yield on_progress
    finally:
        _is_on.set(before)
        if bar.live.is_started:
            bar.stop()


def track(
    items: Iterable[T],
    description: str = "",
    total: int | None = None,
    enabled: bool | None = None,
    weight: Callable[[T], int] = lambda item: 1,
) -> Iterator[T]:
    """Yield items, with a progress bar that counts those that the loop is done with.

    Args:
        items: items of a loop.
        description: text before the bar.
        total: what there is to count; None: the number of items, which must have a length.
        enabled: whether to show it; None: where a command switched progress on.
        weight: function of an item that gives what it counts.

    Yields:
        The items.
    """
    if total is None:
        assert isinstance(items, Sized), "a total, or items with a length"
        total = len(items)
    with progress_bar(description, enabled) as on_progress:
        done = 0
        on_progress(done, total)
        for item in items:
            yield item
            done += weight(item)
            on_progress(done, total)
