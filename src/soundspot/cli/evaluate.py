"""`soundspot evaluate DATA` and `soundspot evaluate-maps FOLDER DATA`: scores of maps, and a page.

`torchrun --nproc-per-node 2 -m soundspot evaluate ...` divides the work; the report is the same to the bit.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from soundspot.cli.shared_options import RefinementOptions
from soundspot.config.named_models import DEFAULT_MODEL

if TYPE_CHECKING:
    from soundspot.evaluation.engine.distributed import RankShard
    from soundspot.evaluation.report.report import Report
    from soundspot.types import AudioVisualDataset


def evaluate(
    data: str,
    model: str = DEFAULT_MODEL,
    calibration: Path | None = None,
    root: Path | None = None,
    protocol: str = "corrected",
    metrics: list[str] | None = None,
    output: Path | None = None,
    options: dict[str, Any] | None = None,
    threshold: float | None = None,
    train_logs: list[Path] | None = None,
    title: str | None = None,
    group_by: list[str] | None = None,
    device: str = "auto",
    batch_size: int = 32,
    seed: int = 0,
    bootstraps: int = 1000,
    overwrite: bool = False,
    **refinement: Unpack[RefinementOptions],
) -> None:
    """Score a model on a data set; writes report.html, report.json, samples.csv and maps/.

    Args:
        data: name of the data set (`soundspot datasets`).
        model: name of a model (`soundspot models`), a checkpoint of `soundspot train`, or `hub:OWNER/NAME`.
        calibration: threshold and probability for your own recordings, a file that `soundspot check-results` wrote, in
            place of the model's own.
        root: folder of the data set; procedural scenes need none.
        protocol: rules of scoring (`soundspot protocols`); several with commas between, or `all`: the same maps are
            scored under each, the first being the report's own.
        metrics: keys of metrics; by default all.
        output: folder for the report; by default a new one beside the checkpoint, or of a named model here.
        options: of the data set, as in a recipe: `{"length": 500}`; a catalog's `split` is `test` by default.
        threshold: peak from which a source counts as present; by default that of the calibration or the model.
        train_logs: metrics.csv files of the training run; by default those beside the checkpoint.
        title: heading of the page.
        group_by: attributes of the samples by whose values the scores are divided too: `category`, or those that the
            data set has.
        device: `auto`, `cpu`, `cuda`, `mps`...
        batch_size: images and audio clips at a time; moves scores by up to 3e-7, as sums of the network are rounded.
        seed: of off-screen audio, of the bootstrap, and of the samples that the page draws.
        bootstraps: draws behind the 95 % intervals; 0: none.
        overwrite: replace a report that is there.

    Examples:
        soundspot evaluate scenes-interactive --model runs/demo/best.safetensors --protocol all -o runs/reports/demo
    """
    from soundspot.config.checkpoint import describe_checkpoint
    from soundspot.data.datasets.registry import open_dataset, scoring_options
    from soundspot.evaluation.engine import evaluate as engine
    from soundspot.evaluation.engine.distributed import RankShard
    from soundspot.evaluation.protocols.presets import resolve_protocols
    from soundspot.evaluation.report.training_curves import find_train_logs, read_train_logs
    from soundspot.inference.localizer import load
    from soundspot.utils.atomic_io import check_output, next_free_path

    shard = RankShard.from_process_group()
    protocols = resolve_protocols(protocol)
    own_calibration = {} if calibration is None else {"calibration": None, "own_calibration": calibration.name}
    localizer = load(model, device=device, calibration=calibration, **refinement)
    localizer.check_calibration()
    data_options = scoring_options(data, localizer.method.front_end) | (options or {})
    dataset = open_dataset(data, root, **data_options)
    parent = Path() if localizer.model_name else Path(localizer.checkpoint).parent  # not into the package
    folder = output or next_free_path(parent / f"report-{data}")
    if shard.is_first:
        check_output(folder, overwrite)
    logs = find_train_logs(localizer.checkpoint) if train_logs is None else train_logs
    read_train_logs(logs)  # a wrong file is an error before the work, not after it
    with _open_draft(folder, overwrite, shard) as draft:
        report = engine.evaluate(
            localizer,
            dataset,
            protocol=protocols,
            metrics=metrics,
            threshold=threshold,
            batch_size=batch_size,
            output=draft,
            overwrite=True,
            seed=seed,
            bootstraps=bootstraps,
            progress=True,
            group_by=group_by or (),
            source={
                **describe_checkpoint(localizer.checkpoint),
                **own_calibration,
                "data": data,
                "options": data_options,
            },
            distributed=True,
        )
        _write_page(report, draft, folder, dataset, logs, title, seed)


def evaluate_maps(
    folder: Path,
    data: str,
    root: Path | None = None,
    protocol: str = "corrected",
    metrics: list[str] | None = None,
    output: Path | None = None,
    options: dict[str, Any] | None = None,
    threshold: float | None = None,
    allow_missing: bool = False,
    title: str | None = None,
    group_by: list[str] | None = None,
    seed: int = 0,
    bootstraps: int = 1000,
    overwrite: bool = False,
) -> None:
    """Score maps of any code: a folder with maps.npz (id -> map) and meta.json. Reads ground truths alone.

    Args:
        folder: of the predictions; with folders silence, noise, offscreen and saliency in it the report says whether
            the maps depend on the sound.
        data: name of the data set (`soundspot datasets`).
        root: folder of the data set; its annotation files are enough.
        protocol: rules of scoring (`soundspot protocols`); several with commas between, or `all`.
        metrics: keys of metrics; by default all.
        output: folder for the report; by default a new one beside the predictions.
        options: of the data set, as in a recipe: `{"list": "4655"}`.
        threshold: peak from which a source counts as present; by default that of meta.json.
        allow_missing: samples without a map count as failures, and the report says so; otherwise they are an error.
        title: heading of the page.
        group_by: attributes of the samples by whose values the scores are divided too: `category`, or those that the
            data set has.
        seed: of the bootstrap.
        bootstraps: draws behind the 95 % intervals; 0: none.
        overwrite: replace a report that is there.

    Examples:
        soundspot evaluate-maps PREDICTIONS vggss --root ANNOTATIONS --options '{"list": "4655"}'
    """
    from soundspot.data.datasets.registry import open_dataset, scoring_options
    from soundspot.evaluation.engine import evaluate as engine
    from soundspot.evaluation.engine.distributed import RankShard
    from soundspot.evaluation.protocols.presets import resolve_protocols
    from soundspot.utils.atomic_io import next_free_path

    shard = RankShard.from_process_group()
    target = output or next_free_path(folder.absolute().with_name(f"{folder.absolute().name}-{data}"))
    protocols = resolve_protocols(protocol)
    data_options = scoring_options(data, ground_truth_only=True) | (options or {})
    with _open_draft(target, overwrite, shard) as draft:
        report = engine.evaluate_maps(
            folder,
            open_dataset(data, root, **data_options),
            protocol=protocols,
            metrics=metrics,
            threshold=threshold,
            allow_missing=allow_missing,
            seed=seed,
            bootstraps=bootstraps,
            progress=True,
            group_by=group_by or (),
            source={"predictions": folder.absolute().name, "data": data, "options": data_options},
            distributed=True,
        )
        if draft:
            report.write(draft)
        _write_page(report, draft, target, None, [], title, seed)


@contextmanager
def _open_draft(folder: Path, overwrite: bool, shard: "RankShard") -> Iterator[Path | None]:
    """Yield a draft of the folder in which the first process writes all files of a report; None for the others."""
    from soundspot.evaluation.report.report import REPORT_FILE
    from soundspot.utils.atomic_io import atomic_write_folder

    if shard.is_first:
        with atomic_write_folder(folder, overwrite, marker_file=REPORT_FILE) as draft:
            yield draft
    else:
        yield None


def _write_page(
    report: "Report",
    draft: Path | None,
    folder: Path,
    data: "AudioVisualDataset | None",
    train_logs: Sequence[Path],
    title: str | None,
    seed: int,
) -> None:
    """Write and print the report in the first process."""
    from soundspot.evaluation.report.html import write_html

    if draft:
        write_html(report, draft / "report.html", data, train_logs, title, seed)
        print(report.table())
        print(f"written: {folder / 'report.html'}")
