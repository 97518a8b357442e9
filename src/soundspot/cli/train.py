"""`soundspot train RECIPE --output FOLDER --key.sub value`."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path


def split_arguments(arguments: Sequence[str]) -> tuple[Namespace, list[str]]:
    """What the command itself is told, and the keys of the recipe that are told anew."""
    parser = ArgumentParser(prog="soundspot train", add_help=False, allow_abbrev=False)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("-o", "--output", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--overwrite", action="store_true")
    parser.add_argument("--quiet", action="store_true")
    return parser.parse_known_args(arguments)


def train(arguments: Sequence[str]) -> None:
    """Reads the recipe with its overrides, trains, and says where the result is and what to do with it."""
    known, overrides = split_arguments(arguments)

    from soundspot.config.load import read_recipe
    from soundspot.training.fit import train as run
    from soundspot.utils.distributed import is_launched_rank_zero

    recipe = read_recipe(known.recipe, overrides)
    output = known.output or Path("runs") / f"{recipe.method['name']}-{known.recipe.stem}"
    best = run(recipe, output, known.resume, known.overwrite, progress=not known.quiet)
    if not is_launched_rank_zero():
        return
    print(f"trained:   {best}")
    print(f"score it:  soundspot evaluate {best} DATA    (see `soundspot datasets`)")
    print(f"use it:    soundspot locate {best} PICTURE SOUND -o out.png")
