"""`whence COMMAND ...`: thin. Each command is a function whose signature makes its options."""

import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from whence import __version__
from whence.errors import InputError, WhenceError, did_you_mean

USERS_MISTAKE = 2
LAUNCHED = int(os.environ.get("WORLD_SIZE", "1")) > 1  # as `whence.processes.launched`, which takes torch with it


def commands() -> dict[str, Callable[..., Any]]:
    """Name -> function; imported here so that `import whence` and `whence --version` stay quick."""
    from whence.cli.app import app
    from whence.cli.calibrate import calibrate
    from whence.cli.checkpoint import convert, inspect
    from whence.cli.compare import compare
    from whence.cli.data import check, flow, index, pack, prepare, scenes
    from whence.cli.demo import demo
    from whence.cli.evaluate import evaluate, score
    from whence.cli.export import export
    from whence.cli.label import label
    from whence.cli.locate import locate
    from whence.cli.mine import mine
    from whence.cli.names import datasets, methods, protocols
    from whence.cli.search import export as export_vectors
    from whence.cli.search import index as index_files
    from whence.cli.search import query, remove, status

    return {
        "demo": demo,
        "train": _train_help,
        "evaluate": evaluate,
        "score": score,
        "calibrate": calibrate,
        "compare": compare,
        "locate": locate,
        "app": app,
        "export": export,
        "mine": mine,
        "label": label,
        "checkpoint": {"_help": _CHECKPOINT, "inspect": inspect, "import": convert},  # type: ignore[dict-item]
        "data": {  # type: ignore[dict-item]
            "_help": _DATA,
            "check": check,
            "flow": flow,
            "prepare": prepare,
            "pack": pack,
            "index": index,
            "scenes": scenes,
        },
        "search": {  # type: ignore[dict-item]
            "_help": _SEARCH,
            "index": index_files,
            "query": query,
            "status": status,
            "remove": remove,
            "export": export_vectors,
        },
        "methods": methods,
        "datasets": datasets,
        "protocols": protocols,
    }


def _train_help(recipe: str, output: str | None = None, resume: bool = False, overwrite: bool = False) -> None:
    """Train by a recipe; any key of it can be given here, as in `--train.lr 0.001`.

    Args:
        recipe: a YAML file, such as recipes/alignment/scenes.yaml.
        output: folder of the run; by default runs/METHOD-RECIPE.
        resume: go on with the run that is there.
        overwrite: replace the run that is there.

    Examples:
        whence train alignment/scenes -o runs/mine --train.lr 0.001
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; a user's mistake is told in one message, with exit code 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if arguments[:1] not in (["evaluate"], ["score"]) or not LAUNCHED:
            return _run(arguments)  # training joins the others itself
        from whence.processes import together

        with together():
            return _run(arguments)
    except WhenceError as error:
        if not getattr(error, "told", False):  # by another process, which prints it
            print(f"whence: {error}", file=sys.stderr)
        return USERS_MISTAKE
    except KeyboardInterrupt:
        print("whence: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (a pager, `head`) went away
        sys.stderr.close()
        return 0


def _run(arguments: list[str]) -> int:
    warnings.filterwarnings("default", category=UserWarning, module="whence")
    if arguments == ["--version"]:
        print(f"whence {__version__}")
        return 0
    refuse_unknown(arguments, commands())
    if arguments[:1] == ["train"] and not {"-h", "--help"} & set(arguments):
        from whence.cli.train import train

        train(arguments[1:])
        return 0
    if arguments[:1] == ["compare"]:  # its list is told by words, `compare A B`, as people write lists of files
        from whence.cli.compare import as_lists

        arguments = ["compare", *as_lists(arguments[1:])]
    from jsonargparse import auto_cli

    from whence.cli.parser import repeatable

    said = auto_cli(meant(arguments), args=repeatable(arguments), **_how())
    return said if isinstance(said, int) else 0


def parser(arguments: Sequence[str] = ()) -> Any:
    """What reads the command line, without running anything: a jsonargparse parser, for the docs and their tests.

    Args:
        arguments: a line that it is to read; what `locate` takes depends on whether it is asked of a video.
    """
    from jsonargparse import auto_parser

    return auto_parser(meant(arguments), **_how())


def meant(arguments: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """The commands; that of a picture, a video or a camera behind `locate`, as the arguments tell."""
    known = commands()
    if list(arguments[:1]) == ["locate"]:
        from whence.cli.locating import chosen

        known["locate"] = chosen(arguments[1:])
    return known


def _how() -> dict[str, Any]:
    from whence.cli.parser import Parser

    return {"parser_class": Parser, "prog": "whence", "description": _DESCRIPTION}


_DATA = "Check data, write videos as shards to train on or their optical flow, or composed scenes as a catalogue."


def refuse_unknown(arguments: Sequence[str], known: Mapping[str, Any], of: str = "command") -> None:
    """Raise InputError where the first word is no command, or the second none of its group; flags are let through."""
    word = next(iter(arguments), "-")
    if word.startswith("-"):
        return
    names = [name for name in known if not name.startswith("_")]
    if word not in names:
        raise InputError(f"unknown {of} {word!r}{did_you_mean(word, names)} `whence --help` tells what they do.")
    if isinstance(group := known[word], Mapping):
        refuse_unknown(arguments[1:], group, f"command of `whence {word}`")


_SEARCH = "Index your own pictures, sounds and videos, and find them by a sound, a picture, or both."
_CHECKPOINT = "Tell what a file of weights is."
_DESCRIPTION = "Find where in a picture a sound comes from: train, score and use visual sound source localisation."

if __name__ == "__main__":
    raise SystemExit(main())
