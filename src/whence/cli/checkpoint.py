"""`whence checkpoint inspect FILE`: what a file of weights is, and what can be done with it."""

import json as to_json
from pathlib import Path


def inspect(file: Path, json: bool = False) -> int:
    """Tell what a file of weights is: a checkpoint of ours, released weights and of which method, or how far from any.

    Nothing in the file is run. Exit code 0: something here can use it; 1: nothing can; 2: it cannot be read as weights.

    Args:
        file: a .safetensors file or a torch file.
        json: print one JSON object instead of words.
    """
    from whence.inspection import inspect_checkpoint

    found = inspect_checkpoint(file)
    print(to_json.dumps(found.as_dict(), indent=2) if json else found.in_words())
    return 0 if found.usable else 1
