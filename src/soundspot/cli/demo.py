"""`soundspot demo`: train, score and show a model in a few minutes, with nothing to download."""

from pathlib import Path


def demo(output: Path = Path("runs/demo"), overwrite: bool = False) -> None:
    """Train the alignment method on built-in scenes, score it, and write a page with images.

    Args:
        output: folder for the checkpoint, the page and the examples.
        overwrite: replace what is there.

    Examples:
        soundspot demo --output runs/demo
    """
    from soundspot import demo as demonstration

    page = demonstration.demo(output, overwrite, log=print)
    print(f"look at {page}")
