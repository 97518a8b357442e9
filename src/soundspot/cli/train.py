"""`soundspot train RECIPE --output FOLDER --key.sub value`."""

from collections.abc import Sequence
from pathlib import Path


def train(
    recipe: str,
    output: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    overrides: Sequence[str] = (),
) -> None:
    """Train a model by a recipe; any key of the recipe is an option, such as `--train.lr 0.001`.

    `soundspot train RECIPE --help` lists the keys of that recipe with their values.

    Args:
        recipe: a YAML file, or the name of a recipe of the library, such as alignment/scenes.
        output: folder of the run; by default runs/METHOD-RECIPE.
        resume: continue the run in that folder.
        overwrite: replace the run in that folder.
        quiet: show no progress bar.
        overrides: keys of the recipe and their values.

    Examples:
        soundspot train alignment/scenes -o runs/mine --train.lr 0.001
    """
    from soundspot.config.load import read_recipe

    values = read_recipe(recipe, overrides)
    # After the recipe's own mistakes: this imports torch.
    from soundspot.training import fit
    from soundspot.utils.distributed import is_launched_rank_zero

    folder = output or Path("runs") / f"{values.method['name']}-{Path(recipe).stem}"
    best = fit.train(values, folder, resume, overwrite, progress=not quiet)
    if is_launched_rank_zero():
        print(f"trained:   {best}")
        print(f"score it:  soundspot evaluate DATA --model {best}    (see `soundspot datasets`)")
        print(f"use it:    soundspot locate IMAGE AUDIO --model {best} -o out.png")
