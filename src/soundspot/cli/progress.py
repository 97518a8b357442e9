"""A bar of what is done, with its rate and the time that is left."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress_bar() -> Iterator[Callable[[int, int], None]]:
    """A bar while the block runs; what it gives is called with (done, in all)."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}/s")
    columns = BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True)) as bar:  # what is printed stays fit for a pipe
        task = bar.add_task("", total=None, rate="?")

        def seen(done: int, of: int) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, completed=done, total=of, rate="?" if speed is None else f"{speed:.1f}")

        yield seen
