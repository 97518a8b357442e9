"""`soundspot demo`: see it work in a few minutes, with nothing to download."""

from pathlib import Path


def demo(output: Path = Path("runs/demo"), overwrite: bool = False) -> None:
    """Train the alignment method on built-in scenes, score it, and write a page with pictures.

    Args:
        output: folder for the checkpoint, the page and the pictures.
        overwrite: replace what is there.

    Examples:
        soundspot demo --output runs/demo
    """
    from soundspot.demo import demo as run

    page = run(output, overwrite, log=print)
    print(f"look at {page}")
