"""`whence evaluate CHECKPOINT` and `whence score FOLDER`: scores beside rows that hear nothing, and a page.

`torchrun --nproc-per-node 2 -m whence evaluate ...` divides the work; what is written is the same to the bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from whence.cli.refining import Refining

if TYPE_CHECKING:
    from whence.evaluation.report import Report
    from whence.evaluation.shares import Share


def evaluate(
    checkpoint: str,
    data: str,
    root: Path | None = None,
    protocol: str = "corrected",
    output: Path | None = None,
    options: dict[str, Any] | None = None,
    threshold: float | None = None,
    curves: list[Path] | None = None,
    title: str | None = None,
    device: str = "auto",
    batch_size: int = 32,
    seed: int = 0,
    bootstraps: int = 1000,
    overwrite: bool = False,
    **refinement: Unpack[Refining],
) -> None:
    """Score a checkpoint on a data set; writes report.html, report.json, samples.csv and maps/.

    Args:
        checkpoint: a .safetensors file that `whence train` wrote.
        data: name of the data set (`whence datasets`).
        root: folder of the data set; procedural scenes need none.
        protocol: rules of scoring (`whence protocols`); several with commas between, or `all`: the same maps are scored
            under each, the first being the report's own.
        output: folder for the report; by default a new one beside the checkpoint.
        options: of the data set, as in a recipe: `{"length": 500}`; a catalogue's `split` is `test` by default.
        threshold: from which peak on a source counts as present; by default the one `whence calibrate` stored.
        curves: metrics.csv files of the training run; by default those beside the checkpoint.
        title: heading of the page.
        device: `auto`, `cpu`, `cuda`...
        batch_size: pictures and sounds at a time; moves no number.
        seed: of foreign sounds, of the bootstrap, and of the samples the page draws.
        bootstraps: draws behind the 95 % intervals; 0 leaves them out.
        overwrite: replace a report that is there.

    Examples:
        whence evaluate runs/demo/best.safetensors scenes-interactive --protocol all -o runs/reports/demo
    """
    from whence.checkpoint import identity
    from whence.data.datasets import open_dataset, scoring_options
    from whence.evaluation.curves import find_curves, read_curves
    from whence.evaluation.evaluate import evaluate as score_localizer
    from whence.evaluation.html import write_html
    from whence.evaluation.protocols import choose
    from whence.evaluation.shares import Share
    from whence.inference.localizer import Localizer
    from whence.output import check_output, unused

    share = Share.of_process()
    folder = output or unused(Path(checkpoint).with_name(f"report-{data}"))
    rules = choose(protocol)
    localizer = Localizer.load(checkpoint, device=device, **refinement)
    if share.is_first:
        check_output(folder, overwrite)
    logs = find_curves(checkpoint) if curves is None else curves
    read_curves(logs)  # a wrong file is told before the work, not after it
    chosen = scoring_options(data, localizer.method.front_end) | (options or {})
    dataset = open_dataset(data, root, **chosen)
    with _drafted(folder, overwrite, share) as draft:
        report = score_localizer(
            localizer,
            dataset,
            protocol=rules,
            threshold=threshold,
            batch_size=batch_size,
            output=draft,
            overwrite=True,
            seed=seed,
            bootstraps=bootstraps,
            progress=True,
            source={**identity(checkpoint), "data": data, "options": chosen},
            shared=True,
        )
        if draft:
            write_html(report, draft / "report.html", dataset, logs, title, seed)
    if share.is_first:
        _told(report, folder)


def score(
    folder: Path,
    data: str,
    root: Path | None = None,
    protocol: str = "corrected",
    output: Path | None = None,
    options: dict[str, Any] | None = None,
    threshold: float | None = None,
    allow_missing: bool = False,
    title: str | None = None,
    seed: int = 0,
    bootstraps: int = 1000,
    overwrite: bool = False,
) -> None:
    """Score maps that any model has written: a folder with maps.npz (id -> map) and meta.json. Reads truths alone.

    Args:
        folder: of the predictions; optional folders silence, noise, offscreen and saliency in it tell whether the
            model listens.
        data: name of the data set (`whence datasets`).
        root: folder of the data set; its annotation files are enough.
        protocol: rules of scoring (`whence protocols`); several with commas between, or `all`.
        output: folder for the report; by default a new one beside the predictions.
        options: of the data set, as in a recipe: `{"list": "4655"}`.
        threshold: from which peak on a source counts as present; by default what meta.json says.
        allow_missing: items without a map count as failures, and the report says so; otherwise they are refused.
        title: heading of the page.
        seed: of the bootstrap.
        bootstraps: draws behind the 95 % intervals; 0 leaves them out.
        overwrite: replace a report that is there.

    Examples:
        whence score PREDICTIONS vggss --root ANNOTATIONS --options '{"list": "4655"}'
    """
    from whence.data.datasets import open_dataset, scoring_options
    from whence.evaluation.evaluate import score as score_predictions
    from whence.evaluation.html import write_html
    from whence.evaluation.protocols import choose
    from whence.evaluation.shares import Share
    from whence.output import unused

    share = Share.of_process()
    target = output or unused(folder.absolute().with_name(f"{folder.absolute().name}-{data}"))
    rules = choose(protocol)
    chosen = scoring_options(data, truths_only=True) | (options or {})
    with _drafted(target, overwrite, share) as draft:
        report = score_predictions(
            folder,
            open_dataset(data, root, **chosen),
            protocol=rules,
            threshold=threshold,
            allow_missing=allow_missing,
            seed=seed,
            bootstraps=bootstraps,
            progress=True,
            source={"predictions": folder.absolute().name, "data": data, "options": chosen},
            shared=True,
        )
        if draft:
            report.write(draft)
            write_html(report, draft / "report.html", None, [], title, seed)
    if share.is_first:
        _told(report, target)


@contextmanager
def _drafted(folder: Path, overwrite: bool, share: "Share") -> Iterator[Path | None]:
    """Where the first process writes all files of a report, so that they appear together; None for the others."""
    from whence.evaluation.report import REPORT
    from whence.output import whole_folder

    if share.is_first:
        with whole_folder(folder, overwrite, holds=REPORT) as draft:
            yield draft
    else:
        yield None


def _told(report: "Report", folder: Path) -> None:
    print(report.table())
    print(f"written: {folder / 'report.html'}")
