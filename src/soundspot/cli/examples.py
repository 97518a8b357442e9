"""`soundspot examples`: photographs, recordings and a clip to begin with."""

from pathlib import Path


def examples(output: Path = Path("examples"), overwrite: bool = False) -> None:
    """Copy photographs, recordings and a clip that come with the library into a folder, to try it on.

    Args:
        output: folder to copy to; it is made where it does not exist.
        overwrite: replace files that are there.

    Examples:
        soundspot examples --output examples
    """
    from soundspot.examples import copy_examples

    names = [path.name for path in copy_examples(output, overwrite)]
    print(f"{output}: {', '.join(names)}")
