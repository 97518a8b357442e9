"""`soundspot adapt FOLDER -o mine.safetensors`: teach a model things of your own."""

from pathlib import Path


def adapt(
    folder: Path,
    output: Path = Path("mine.safetensors"),
    model: str | None = None,
    overwrite: bool = False,
    seed: int = 0,
) -> None:
    """Teach a model things of your own, from a folder for each, in minutes; it goes on knowing those that it knows.

    Each subfolder is named by a thing and holds images and recordings of it, or videos. A quarter of the files is held
    out to fit the threshold and to see what was learned.

    Args:
        folder: folder with a subfolder for each thing.
        output: file of the model to write.
        model: model to teach: the starter, or one that was adapted from it.
        overwrite: replace an existing file.
        seed: of the augmented views and of their order.

    Examples:
        soundspot adapt my_things --output mine.safetensors
    """
    from soundspot.training.adapt import adapt as teach
    from soundspot.utils.progress import progress_bar

    with progress_bar() as on_progress:
        report = teach(folder, output, model, overwrite, seed, on_progress)
    print(report.format_summary())
    print(f"written: {output}")
