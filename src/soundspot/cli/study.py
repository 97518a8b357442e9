"""`soundspot study STUDY -o FOLDER`: train and score methods alike, with seeds, and write a page."""

from pathlib import Path
from typing import Literal


def study(
    study: str,
    output: Path | None = None,
    root: Path | None = None,
    workers: int | None = None,
    executor: Literal["pool", "ray"] = "pool",
) -> None:
    """Train and score methods by the file of a study; given again after a kill, it continues.

    Args:
        study: a YAML file, or the name of a study of the library, such as debug.
        output: folder of the study; by default runs/study-NAME.
        root: folder of data sets that name none.
        workers: processes, each of one thread and at most 4 GiB; by default one for each core; 0: this
            process.
        executor: where they run: `pool`, on this machine; or `ray`, on the cluster that RAY_ADDRESS names or a local
            one (extra `ray`).

    Examples:
        soundspot study debug -o runs/study-debug
    """
    from soundspot.study.run import run_study

    folder = output or Path("runs") / f"study-{Path(study).stem}"
    page = run_study(
        study, folder, root=root, workers=workers, executor=executor, on_done=lambda line: print(line, flush=True)
    )
    print(f"written: {page}")
