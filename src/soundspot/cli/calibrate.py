"""`soundspot calibrate CHECKPOINT`: fit the peak from which a source counts as present, and store it in the checkpoint."""

from pathlib import Path
from typing import Any, Literal

from typing_extensions import Unpack

from soundspot.cli.shared_options import RefinementOptions


def calibrate(
    checkpoint: Path,
    data: str,
    root: Path | None = None,
    options: dict[str, Any] | None = None,
    rule: Literal["q3", "max", "max10"] = "q3",
    device: str = "auto",
    batch_size: int = 32,
    seed: int = 0,
    **refinement: Unpack[RefinementOptions],
) -> None:
    """Fit the universal threshold on held-out data and store it in the checkpoint; `locate` can then say "not here".

    Every picture is asked with silence, with noise and with the sound of another; the threshold is the third quartile
    of the peaks of those maps. It holds for maps refined in the same way, and is stored with that.

    Args:
        checkpoint: a .safetensors file that `soundspot train` wrote; its header is written anew, its weights stay.
        data: name of the held-out data set (`soundspot datasets`): never one that is scored.
        root: folder of the data set; procedural scenes need none.
        options: of the data set, as in a recipe; a catalogue's `split` is `val` by default.
        rule: `q3` the third quartile, `max` the maximum, `max10` a tenth more than that.
        device: `auto`, `cpu`, `cuda`...
        batch_size: pictures and sounds at a time; moves no number.
        seed: of foreign sounds and noise.

    Examples:
        soundspot calibrate runs/demo/best.safetensors scenes-interactive --options '{"seed": 4004, "length": 250}'
    """
    from soundspot.config.checkpoint import update_header
    from soundspot.data.datasets.registry import fitting_options, open_dataset
    from soundspot.evaluation.engine.calibrate import calibrate as fit
    from soundspot.inference.localizer import Localizer

    localizer = Localizer.load(checkpoint, device=device, **refinement)
    chosen = fitting_options(data, localizer.method.front_end, options or {})
    found = fit(localizer, open_dataset(data, root, **chosen), rule=rule, batch_size=batch_size, seed=seed)
    update_header(
        checkpoint, threshold=found.threshold, calibration=found.as_dict() | {"data": data, "options": chosen}
    )
    print(found.format_summary())
    print(f"stored in {checkpoint}")
