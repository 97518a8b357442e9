"""`soundspot demo`: real sounds located by the starter model, and a model trained and scored, in minutes."""

from pathlib import Path


def demo(output: Path = Path("runs/demo"), overwrite: bool = False) -> None:
    """Locate real sounds with the starter model, then train a method on drawn scenes, score it, and write a page.

    Args:
        output: folder for the maps (in `real`), the checkpoint that is trained, the page and its examples.
        overwrite: replace what is there.

    Examples:
        soundspot demo --output runs/demo
    """
    from soundspot import demo as demonstration

    page = demonstration.demo(output, overwrite, log=print)
    print(f"look at {page}")
