"""`whence evaluate CHECKPOINT`: scores, beside those of rows that hear nothing, and a page to look at."""

from pathlib import Path
from typing import Any


def evaluate(
    checkpoint: str,
    data: str,
    root: Path | None = None,
    protocol: str = "corrected",
    output: Path | None = None,
    options: dict[str, Any] | None = None,
    curves: list[Path] | None = None,
    title: str | None = None,
    device: str = "auto",
    batch_size: int = 32,
    seed: int = 0,
    bootstraps: int = 1000,
    overwrite: bool = False,
) -> None:
    """Score a checkpoint on a data set; writes report.html, report.json, samples.csv and maps/.

    Args:
        checkpoint: a .safetensors file that `whence train` wrote.
        data: name of the data set (`whence datasets`).
        root: folder of the data set; procedural scenes need none.
        protocol: rules of scoring (`whence protocols`).
        output: folder for the report; by default a new one beside the checkpoint.
        options: of the data set, as in a recipe: `{"length": 500}`; a catalogue's `split` is `test` by default.
        curves: metrics.csv files of the training run; by default those beside the checkpoint.
        title: heading of the page.
        device: `auto`, `cpu`, `cuda`...
        batch_size: pictures and sounds at a time; moves no number.
        seed: of foreign sounds, of the bootstrap, and of the samples the page draws.
        bootstraps: draws behind the 95 % intervals; 0 leaves them out.
        overwrite: replace a report that is there.
    """
    from whence.data.datasets import open_dataset
    from whence.evaluation.curves import find_curves, read_curves
    from whence.evaluation.evaluate import evaluate as score
    from whence.evaluation.html import write_html
    from whence.inference.localizer import Localizer
    from whence.output import check_output, unused, whole_folder

    folder = output or unused(Path(checkpoint).with_name(f"report-{data}"))
    localizer = Localizer.load(checkpoint, device=device)
    check_output(folder, overwrite)
    logs = find_curves(checkpoint) if curves is None else curves
    read_curves(logs)  # a wrong file is told before the work, not after it
    dataset = open_dataset(data, root, **({"split": "test"} if data == "catalogue" else {}) | (options or {}))
    report = score(
        localizer,
        dataset,
        protocol=protocol,
        batch_size=batch_size,
        seed=seed,
        bootstraps=bootstraps,
        progress=True,
    )
    with whole_folder(folder, overwrite, holds="report.json") as draft:
        report.save(draft, overwrite=True)
        write_html(report, draft / "report.html", dataset, logs, title, seed)
    print(report.table())
    print(f"written: {folder / 'report.html'}")
