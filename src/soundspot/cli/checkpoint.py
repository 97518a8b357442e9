"""`soundspot checkpoint inspect FILE`, `import FILE`: what weights are, and released ones as a checkpoint of ours."""

import json as to_json
from pathlib import Path


def inspect_file(file: Path, json: bool = False) -> int:
    """Tell what a file of weights is: a checkpoint of ours, released weights and of which method, or how far from any.

    Nothing in the file is run. Exit code 0: something here can use it; 1: nothing can; 2: it cannot be read as weights.

    Args:
        file: a .safetensors file or a torch file.
        json: print one JSON object instead of words.

    Examples:
        soundspot checkpoint inspect runs/demo/best.safetensors
    """
    from soundspot.config.inspect_checkpoint import inspect_checkpoint

    found = inspect_checkpoint(file)
    print(to_json.dumps(found.as_dict(), indent=2) if json else found.format_summary())
    return 0 if found.is_usable else 1


def import_file(file: Path, method: str, output: Path | None = None, overwrite: bool = False) -> None:
    """Write released weights as a checkpoint, which `soundspot evaluate`, `locate` and the others take.

    Nothing in the file is run. The front end and the read-out that the weights were made for go with them.

    Args:
        file: a torch file or a .safetensors file of the method's authors.
        method: whose weights they are (`soundspot checkpoint inspect FILE` says).
        output: the checkpoint; by default FILE with the ending .safetensors, in the working directory.
        overwrite: replace a file that is there.

    Examples:
        soundspot checkpoint import ours_sup.pth.tar alignment -o ours.safetensors
    """
    from soundspot.config.checkpoint import save_checkpoint
    from soundspot.errors import OutputError
    from soundspot.importers import import_checkpoint

    target = output or Path(file.name).with_suffix(".safetensors")
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: already exists; replace it by --overwrite, or name another file with --output")
    save_checkpoint(import_checkpoint(file, method), target, source=file.name)
    print(f"written: {target}")
