"""Run a study: do what its journal lacks, on workers, and write its page."""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from soundspot import __version__
from soundspot.errors import DataError
from soundspot.study.checks import check_study
from soundspot.study.journal import Record, StudyJournal, open_journal
from soundspot.study.page import write_page
from soundspot.study.plan import Job, Planner, describe_job
from soundspot.study.recipes import IMAGE_FOLDER
from soundspot.study.schema import Study, read_study
from soundspot.study.tasks import Outcome
from soundspot.study.workers import Worker, WorkerStoppedError, open_workers
from soundspot.utils.atomic_io import DiskFullError
from soundspot.utils.progress import progress_bar


def run_study(
    study: str | Path | Study,
    output: str | Path,
    *,
    root: str | Path | None = None,
    workers: int | None = None,
    executor: Literal["pool", "ray"] = "pool",
    on_done: Callable[[str], None] = lambda line: None,
) -> Path:
    """Train and score all that a study names and its journal lacks, and write its page.

    A killed study continues: what is in the journal is not done again, and a training in the middle is resumed.

    Args:
        study: the study, the path of its file, or its name.
        output: folder of the study.
        root: folder of data sets that name none.
        workers: number of processes, each of one thread and at most 4 GiB; None: one for each core; 0: this process.
        executor: `pool`, processes of this machine; or `ray`, a cluster whose machines all see the folder.
        on_done: callback of a line on each job that is done.

    Returns:
        Path of the page, study.md.

    Raises:
        RecipeError: the study cannot be carried out; nothing is trained.
        DataError: a data set cannot be opened, the start weights or features cannot be made, or the journal is damaged.
        OutputError: the folder cannot be written, or another process works in it.
    """
    study = study if isinstance(study, Study) else read_study(study)
    planner = Planner(study, Path(output), None if root is None else str(root))
    check_study(planner)
    with open_journal(planner.folder) as journal:
        for key in planner.find_lost(journal.records):
            del journal.records[key]
        if planner.ready(journal.records):
            with open_workers(executor, workers) as pool:
                do_jobs(planner, journal, pool, on_done)
        shutil.rmtree(planner.folder / IMAGE_FOLDER, ignore_errors=True)
        return write_page(planner, journal.records)


def do_jobs(planner: Planner, journal: StudyJournal, workers: list[Worker], on_done: Callable[[str], None]) -> None:
    """Do jobs until none is ready, and append a record of each.

    Args:
        planner: jobs of the study.
        journal: journal that the records are appended to.
        workers: workers, not empty.
        on_done: callback of a line on each job that is done.

    Raises:
        DataError: start weights or features cannot be made, without which nothing can be trained.
        DiskFullError: the disk is full; nothing of what was running is recorded.
        KeyboardInterrupt: somebody ended a worker.
    """
    free, running = list(workers), dict[Future[Outcome], tuple[Job, Worker]]()
    threads, num_jobs = ThreadPoolExecutor(len(workers)), planner.count_jobs()
    with progress_bar("study", enabled=None) as on_progress, _cancelling(threads):
        while True:
            taken = {job.key for job, _ in running.values()}
            for job in [job for job in planner.ready(journal.records) if job.key not in taken][: len(free)]:
                worker = free.pop()
                running[threads.submit(worker, job.task)] = job, worker
            if not running:
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                job, worker = running.pop(done)
                free.append(worker)
                try:
                    outcome = done.result()
                except WorkerStoppedError as error:
                    raise KeyboardInterrupt from error
                if outcome.is_disk_full:
                    raise DiskFullError(f"{describe_job(job)} could not be written ({outcome.error}). Make room there")
                if outcome.error and job.kind in ("start", "features"):
                    raise DataError(f"{describe_job(job)}: {outcome.error}")
                journal.append(make_record(job, outcome))
                state = f"failed: {outcome.error}" if outcome.error else f"{outcome.seconds:.1f} s"
                on_done(f"{describe_job(job)}: {state}")
                on_progress(planner.count_done(journal.records), num_jobs)


@contextmanager
def _cancelling(threads: ThreadPoolExecutor) -> Iterator[None]:
    """Cancel at the end of the block what threads have not begun."""
    try:
        yield
    finally:
        threads.shutdown(wait=False, cancel_futures=True)


def make_record(job: Job, outcome: Outcome) -> Record:
    """Return the record of a job.

    Args:
        job: the job.
        outcome: what came of it.

    Returns:
        `key`, `kind`, `version`, labels, cost, `error` and what the task found.
    """
    record = {"key": job.key, "kind": job.kind, "version": __version__, **job.labels}
    cost = {"seconds": outcome.seconds, "cpu_seconds": outcome.cpu_seconds, "peak_mb": outcome.peak_mb}
    return record | cost | {"error": outcome.error} | outcome.facts
