"""`soundspot calibrate DATA`: fit the peak from which a source counts as present, and the probability that it is."""

from pathlib import Path
from typing import Any, Literal

from typing_extensions import Unpack

from soundspot.cli.shared_options import RefinementOptions
from soundspot.config.named_models import DEFAULT_MODEL, RELEASED_MODELS, is_named_model
from soundspot.errors import OutputError


def calibrate(
    data: str,
    model: str = DEFAULT_MODEL,
    root: Path | None = None,
    options: dict[str, Any] | None = None,
    output: Path | None = None,
    rule: Literal["q3", "q95", "max", "max10"] = "q3",
    presence: Literal["logistic", "isotonic"] = "logistic",
    device: str = "auto",
    batch_size: int = 32,
    seed: int = 0,
    overwrite: bool = False,
    **refinement: Unpack[RefinementOptions],
) -> None:
    """Fit the universal threshold on held-out data and store it in the checkpoint; `locate` can then say "not here".

    Each image is asked with silence, with noise and with the audio of another; the threshold is the third quartile of
    the peaks of those maps. It holds for maps refined alike, and is stored with their refinement. The probability that
    a source is present is fitted on the same peaks and those with the images' own audio, each group as one half.

    Args:
        data: name of the held-out data set (`soundspot datasets`): never one that is scored.
        model: name of a model (`soundspot models`), a checkpoint of `soundspot train`, or `hub:OWNER/NAME`.
        root: folder of the data set; procedural scenes need none.
        options: of the data set, as in a recipe; a catalog's `split` is `val` by default.
        output: checkpoint to write the threshold into, a copy; by default the model itself. A named model needs one.
        rule: `q3` the third quartile, `q95` the 95th percentile, `max` the maximum, `max10` a tenth more than that.
        presence: form of the probability by the peak: `logistic` (Platt scaling), or `isotonic` regression, which needs
            more data.
        device: `auto`, `cpu`, `cuda`, `mps`...
        batch_size: images and audio clips at a time; moves scores by up to 3e-7, as sums of the network are rounded.
        seed: of off-screen audio and noise.
        overwrite: replace an output that is there.

    Examples:
        soundspot calibrate scenes-interactive --model runs/demo/best.safetensors --options '{"seed": 4004}'
    """
    from soundspot.config.checkpoint import save_checkpoint, update_header
    from soundspot.data.datasets.registry import fitting_options, open_dataset
    from soundspot.evaluation.engine import calibrate as engine
    from soundspot.inference.localizer import load
    from soundspot.utils.atomic_io import check_output

    if output is not None:
        check_output(output, overwrite, (".safetensors",))
    elif is_named_model(model):
        raise OutputError(
            f"{model}: comes with the library, and is not written to, expected a file for the copy with the threshold. "
            f"Name one: -o {model}.safetensors"
        )
    localizer = load(model, device=device, **refinement)
    data_options = fitting_options(data, localizer.method.front_end, options or {})
    dataset = open_dataset(data, root, **data_options)
    calibration = engine.calibrate(localizer, dataset, rule=rule, batch_size=batch_size, seed=seed, presence=presence)
    stored = calibration.as_dict() | {"data": data, "options": data_options}
    target = output or Path(localizer.checkpoint)
    fields: dict[str, Any] = {"threshold": calibration.threshold, "calibration": stored}
    if model in RELEASED_MODELS:  # fetched as its authors wrote it
        save_checkpoint(localizer.method, target, **fields)
    else:
        update_header(localizer.checkpoint, target, **fields)
    print(calibration.format_summary())
    print(f"stored in {target}")
