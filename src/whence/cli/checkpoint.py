"""`whence checkpoint inspect FILE`, `import FILE`: what weights are, and released ones as a checkpoint of ours."""

import json as to_json
from pathlib import Path


def inspect(file: Path, json: bool = False) -> int:
    """Tell what a file of weights is: a checkpoint of ours, released weights and of which method, or how far from any.

    Nothing in the file is run. Exit code 0: something here can use it; 1: nothing can; 2: it cannot be read as weights.

    Args:
        file: a .safetensors file or a torch file.
        json: print one JSON object instead of words.

    Examples:
        whence checkpoint inspect runs/demo/best.safetensors
    """
    from whence.inspection import inspect_checkpoint

    found = inspect_checkpoint(file)
    print(to_json.dumps(found.as_dict(), indent=2) if json else found.in_words())
    return 0 if found.usable else 1


def convert(file: Path, method: str, output: Path | None = None, overwrite: bool = False) -> None:
    """Write released weights as a checkpoint, which `whence evaluate`, `locate` and the others take.

    Nothing in the file is run. The front end and the read-out that the weights were made for go with them.

    Args:
        file: a torch file or a .safetensors file of the method's authors.
        method: whose weights they are (`whence checkpoint inspect FILE` says).
        output: the checkpoint; by default FILE with the ending .safetensors, in the working directory.
        overwrite: replace a file that is there.

    Examples:
        whence checkpoint import ours_sup.pth.tar alignment -o ours.safetensors
    """
    from whence.checkpoint import save_method
    from whence.errors import OutputError
    from whence.importers import import_checkpoint

    target = output or Path(file.name).with_suffix(".safetensors")
    if target.exists() and not overwrite:
        raise OutputError(f"{target}: already exists; replace it by --overwrite, or name another file with --output")
    save_method(import_checkpoint(file, method), target, source=file.name)
    print(f"written: {target}")
