"""`soundspot checkpoint inspect FILE`, `import FILE`: identify files of weights, and convert released ones."""

import json as to_json
from pathlib import Path


def inspect_file(file: Path, json: bool = False) -> int:
    """Identify a file of weights: a checkpoint of soundspot, released weights and their method, or the nearest method.

    Nothing in the file is run. Exit code 0: it can be used here; 1: it cannot; 2: it cannot be read as weights.

    Args:
        file: a .safetensors file or a torch file.
        json: print one JSON object instead of text.

    Examples:
        soundspot checkpoint inspect runs/demo/best.safetensors
    """
    from soundspot.config.inspect_checkpoint import inspect_checkpoint

    inspection = inspect_checkpoint(file)
    print(to_json.dumps(inspection.as_dict(), indent=2) if json else inspection.format_summary())
    return 0 if inspection.is_usable else 1


def import_file(file: Path, method: str, output: Path | None = None, overwrite: bool = False) -> None:
    """Convert released weights to a checkpoint, with the front end and the upsampling they were made for.

    Nothing in the file is run.

    Args:
        file: a torch file or a .safetensors file of the method's authors.
        method: its method (`soundspot checkpoint inspect FILE` says).
        output: the checkpoint; by default FILE with the ending .safetensors, in the working directory.
        overwrite: replace an existing file.

    Examples:
        soundspot checkpoint import ours_sup.pth.tar alignment -o ours.safetensors
    """
    from soundspot.config.checkpoint import save_checkpoint
    from soundspot.importers import import_checkpoint
    from soundspot.utils.atomic_io import check_output

    target = output or Path(file.name).with_suffix(".safetensors")
    imported = import_checkpoint(file, method)
    check_output(target, overwrite, (".safetensors",))
    save_checkpoint(imported, target, source=file.name)
    print(f"written: {target}")
