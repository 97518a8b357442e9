"""`soundspot evaluate CHECKPOINT` and `soundspot score FOLDER`: scores beside rows that hear nothing, and a page.

`torchrun --nproc-per-node 2 -m soundspot evaluate ...` divides the work; what is written is the same to the bit.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from soundspot.cli.shared_options import RefinementOptions

if TYPE_CHECKING:
    from soundspot.evaluation.engine.distributed import RankShard
    from soundspot.evaluation.report.report import Report


def evaluate(
    checkpoint: str,
    data: str,
    root: Path | None = None,
    protocol: str = "corrected",
    output: Path | None = None,
    options: dict[str, Any] | None = None,
    threshold: float | None = None,
    train_logs: list[Path] | None = None,
    title: str | None = None,
    device: str = "auto",
    batch_size: int = 32,
    seed: int = 0,
    bootstraps: int = 1000,
    overwrite: bool = False,
    **refinement: Unpack[RefinementOptions],
) -> None:
    """Score a checkpoint on a data set; writes report.html, report.json, samples.csv and maps/.

    Args:
        checkpoint: a .safetensors file that `soundspot train` wrote.
        data: name of the data set (`soundspot datasets`).
        root: folder of the data set; procedural scenes need none.
        protocol: rules of scoring (`soundspot protocols`); several with commas between, or `all`: the same maps are scored
            under each, the first being the report's own.
        output: folder for the report; by default a new one beside the checkpoint.
        options: of the data set, as in a recipe: `{"length": 500}`; a catalogue's `split` is `test` by default.
        threshold: from which peak on a source counts as present; by default the one `soundspot calibrate` stored.
        curves: metrics.csv files of the training run; by default those beside the checkpoint.
        title: heading of the page.
        device: `auto`, `cpu`, `cuda`...
        batch_size: pictures and sounds at a time; moves no number.
        seed: of foreign sounds, of the bootstrap, and of the samples the page draws.
        bootstraps: draws behind the 95 % intervals; 0 leaves them out.
        overwrite: replace a report that is there.

    Examples:
        soundspot evaluate runs/demo/best.safetensors scenes-interactive --protocol all -o runs/reports/demo
    """
    from soundspot.config.checkpoint import describe_checkpoint
    from soundspot.data.datasets.registry import open_dataset, scoring_options
    from soundspot.evaluation.engine.distributed import RankShard
    from soundspot.evaluation.engine.evaluate import evaluate as score_localizer
    from soundspot.evaluation.protocols.presets import resolve_protocols
    from soundspot.evaluation.report.html import write_html
    from soundspot.evaluation.report.training_curves import find_train_logs, read_train_logs
    from soundspot.inference.localizer import Localizer
    from soundspot.utils.atomic_io import check_output, next_free_path

    share = RankShard.from_process_group()
    folder = output or next_free_path(Path(checkpoint).with_name(f"report-{data}"))
    rules = resolve_protocols(protocol)
    localizer = Localizer.load(checkpoint, device=device, **refinement)
    if share.is_first:
        check_output(folder, overwrite)
    logs = find_train_logs(checkpoint) if train_logs is None else train_logs
    read_train_logs(logs)  # a wrong file is told before the work, not after it
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
            source={**describe_checkpoint(checkpoint), "data": data, "options": chosen},
            distributed=True,
        )
        if draft:
            write_html(report, draft / "report.html", dataset, logs, title, seed)
    if share.is_first:
        _told(report, folder)


def evaluate_maps(
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
        data: name of the data set (`soundspot datasets`).
        root: folder of the data set; its annotation files are enough.
        protocol: rules of scoring (`soundspot protocols`); several with commas between, or `all`.
        output: folder for the report; by default a new one beside the predictions.
        options: of the data set, as in a recipe: `{"list": "4655"}`.
        threshold: from which peak on a source counts as present; by default what meta.json says.
        allow_missing: items without a map count as failures, and the report says so; otherwise they are refused.
        title: heading of the page.
        seed: of the bootstrap.
        bootstraps: draws behind the 95 % intervals; 0 leaves them out.
        overwrite: replace a report that is there.

    Examples:
        soundspot score PREDICTIONS vggss --root ANNOTATIONS --options '{"list": "4655"}'
    """
    from soundspot.data.datasets.registry import open_dataset, scoring_options
    from soundspot.evaluation.engine.distributed import RankShard
    from soundspot.evaluation.engine.evaluate import evaluate_maps as score_predictions
    from soundspot.evaluation.protocols.presets import resolve_protocols
    from soundspot.evaluation.report.html import write_html
    from soundspot.utils.atomic_io import next_free_path

    share = RankShard.from_process_group()
    target = output or next_free_path(folder.absolute().with_name(f"{folder.absolute().name}-{data}"))
    rules = resolve_protocols(protocol)
    chosen = scoring_options(data, ground_truth_only=True) | (options or {})
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
            distributed=True,
        )
        if draft:
            report.write(draft)
            write_html(report, draft / "report.html", None, [], title, seed)
    if share.is_first:
        _told(report, target)


@contextmanager
def _drafted(folder: Path, overwrite: bool, share: "RankShard") -> Iterator[Path | None]:
    """Where the first process writes all files of a report, so that they appear together; None for the others."""
    from soundspot.evaluation.report.report import REPORT_FILE
    from soundspot.utils.atomic_io import atomic_write_folder

    if share.is_first:
        with atomic_write_folder(folder, overwrite, marker_file=REPORT_FILE) as draft:
            yield draft
    else:
        yield None


def _told(report: "Report", folder: Path) -> None:
    print(report.table())
    print(f"written: {folder / 'report.html'}")
