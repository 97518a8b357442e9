"""`soundspot COMMAND ...`: thin. Each command is a function whose signature makes its options."""

import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from soundspot._version import __version__
from soundspot.errors import InputError, SoundspotError, did_you_mean

EXIT_USER_ERROR = 2
IS_LAUNCHED = (
    int(os.environ.get("WORLD_SIZE", "1")) > 1
)  # as `soundspot.utils.distributed.launched`, which takes torch with it


def load_commands() -> dict[str, Callable[..., Any]]:
    """Name -> function; imported here so that `import soundspot` and `soundspot --version` stay quick."""
    from soundspot.cli.app import app
    from soundspot.cli.calibrate import calibrate
    from soundspot.cli.checkpoint import import_file, inspect_file
    from soundspot.cli.compare import compare
    from soundspot.cli.data import check_data, extract, extract_flow, index_shards, to_shards, write_scenes
    from soundspot.cli.demo import demo
    from soundspot.cli.evaluate import evaluate, evaluate_maps
    from soundspot.cli.export import export
    from soundspot.cli.list_commands import list_datasets, list_methods, list_protocols
    from soundspot.cli.locate import locate
    from soundspot.cli.mine import mine
    from soundspot.cli.pseudo_label import pseudo_label
    from soundspot.cli.search import export as export_vectors
    from soundspot.cli.search import index as index_files
    from soundspot.cli.search import query, remove, status

    return {
        "demo": demo,
        "train": _train_help,
        "evaluate": evaluate,
        "score": evaluate_maps,
        "calibrate": calibrate,
        "compare": compare,
        "locate": locate,
        "app": app,
        "export": export,
        "mine": mine,
        "label": pseudo_label,
        "checkpoint": {"_help": _CHECKPOINT, "inspect": inspect_file, "import": import_file},  # type: ignore[dict-item]
        "data": {  # type: ignore[dict-item]
            "_help": _DATA,
            "check": check_data,
            "flow": extract_flow,
            "prepare": extract,
            "pack": to_shards,
            "index": index_shards,
            "scenes": write_scenes,
        },
        "search": {  # type: ignore[dict-item]
            "_help": _SEARCH,
            "index": index_files,
            "query": query,
            "status": status,
            "remove": remove,
            "export": export_vectors,
        },
        "methods": list_methods,
        "datasets": list_datasets,
        "protocols": list_protocols,
    }


def _train_help(recipe: str, output: str | None = None, resume: bool = False, overwrite: bool = False) -> None:
    """Train by a recipe; any key of it can be given here, as in `--train.lr 0.001`.

    Args:
        recipe: a YAML file, such as recipes/alignment/scenes.yaml.
        output: folder of the run; by default runs/METHOD-RECIPE.
        resume: go on with the run that is there.
        overwrite: replace the run that is there.

    Examples:
        soundspot train alignment/scenes -o runs/mine --train.lr 0.001
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; a user's mistake is told in one message, with exit code 2."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        if arguments[:1] not in (["evaluate"], ["score"]) or not IS_LAUNCHED:
            return _run(arguments)  # training joins the others itself
        from soundspot.utils.distributed import process_group

        with process_group():
            return _run(arguments)
    except SoundspotError as error:
        if not getattr(error, "told", False):  # by another process, which prints it
            print(f"soundspot: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("soundspot: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (a pager, `head`) went away
        sys.stderr.close()
        return 0


def _run(arguments: list[str]) -> int:
    warnings.filterwarnings("default", category=UserWarning, module="soundspot")
    if arguments == ["--version"]:
        print(f"soundspot {__version__}")
        return 0
    check_command(arguments, load_commands())
    if arguments[:1] == ["train"] and not {"-h", "--help"} & set(arguments):
        from soundspot.cli.train import train

        train(arguments[1:])
        return 0
    if arguments[:1] == ["compare"]:  # its list is told by words, `compare A B`, as people write lists of files
        from soundspot.cli.compare import to_json_arguments

        arguments = ["compare", *to_json_arguments(arguments[1:])]
    from jsonargparse import auto_cli

    from soundspot.cli.parser import accept_repeated_lists

    said = auto_cli(resolve_commands(arguments), args=accept_repeated_lists(arguments), **_how())
    return said if isinstance(said, int) else 0


def build_parser(arguments: Sequence[str] = ()) -> Any:
    """What reads the command line, without running anything: a jsonargparse parser, for the docs and their tests.

    Args:
        arguments: a line that it is to read; what `locate` takes depends on whether it is asked of a video.
    """
    from jsonargparse import auto_parser

    return auto_parser(resolve_commands(arguments), **_how())


def resolve_commands(arguments: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """The commands; that of a picture, a video or a camera behind `locate`, as the arguments tell."""
    known = load_commands()
    if list(arguments[:1]) == ["locate"]:
        from soundspot.cli.dispatch import select_command

        known["locate"] = select_command(arguments[1:])
    return known


def _how() -> dict[str, Any]:
    from soundspot.cli.parser import CommandParser

    return {"parser_class": CommandParser, "prog": "soundspot", "description": _DESCRIPTION}


_DATA = "Check data, write videos as shards to train on or their optical flow, or composed scenes as a catalogue."


def check_command(arguments: Sequence[str], known: Mapping[str, Any], of: str = "command") -> None:
    """Raise InputError where the first word is no command, or the second none of its group; flags are let through."""
    word = next(iter(arguments), "-")
    if word.startswith("-"):
        return
    names = [name for name in known if not name.startswith("_")]
    if word not in names:
        raise InputError(f"unknown {of} {word!r}{did_you_mean(word, names)} `soundspot --help` tells what they do.")
    if isinstance(group := known[word], Mapping):
        check_command(arguments[1:], group, f"command of `soundspot {word}`")


_SEARCH = "Index your own pictures, sounds and videos, and find them by a sound, a picture, or both."
_CHECKPOINT = "Tell what a file of weights is."
_DESCRIPTION = "Find where in a picture a sound comes from: train, score and use visual sound source localisation."

if __name__ == "__main__":
    raise SystemExit(main())
