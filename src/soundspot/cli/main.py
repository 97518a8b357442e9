"""`soundspot COMMAND ...`: a command is a function whose signature gives the options and whose docstring the help."""

import errno
import inspect
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from soundspot._version import __version__
from soundspot.errors import InputError, SoundspotError, did_you_mean
from soundspot.utils import renamed
from soundspot.utils.progress import show_progress

EXIT_USER_ERROR = 2
COMMANDS = {  # words of a command -> module.function in this package
    "examples": "examples.examples",
    "demo": "demo.demo",
    "train": "train.train",
    "evaluate": "evaluate.evaluate",
    "evaluate-maps": "evaluate.evaluate_maps",
    "adapt": "adapt.adapt",
    "calibrate": "calibrate.calibrate",
    "compare": "compare.compare",
    "study": "study.study",
    "locate": "locate.locate",
    "check-results": "check_results.check_results",
    "app": "app.app",
    "export": "export.export",
    "neighbors mine": "mine.mine",
    "pseudo-label": "pseudo_label.pseudo_label",
    "checkpoint inspect": "checkpoint.inspect_file",
    "checkpoint import": "checkpoint.import_file",
    "data check": "data.check_data",
    "data flow": "data.extract_flow",
    "data extract": "data.extract",
    "data to-shards": "data.to_shards",
    "data index-shards": "data.index_shards",
    "data scenes": "data.write_scenes",
    "benchmark plan": "benchmark.plan",
    "benchmark images": "benchmark.images",
    "benchmark select": "benchmark.select",
    "benchmark audio": "benchmark.audio",
    "benchmark annotate": "benchmark.annotate",
    "benchmark release": "benchmark.release",
    "benchmark verify": "benchmark.verify",
    "benchmark app": "benchmark.app",
    "search index": "search.index",
    "search query": "search.query",
    "search status": "search.status",
    "search remove": "search.remove",
    "search export": "search.export",
    "models": "models.list_models",
    "models show": "models.show",
    "models fetch": "models.fetch",
    "methods": "list_commands.list_methods",
    "datasets": "list_commands.list_datasets",
    "protocols": "list_commands.list_protocols",
    "completion": "completion.completion",
}
GROUPS = {  # first words that several commands share, and all of them together
    "": "Find where in an image a sound comes from: train, score and use visual sound source localization.",
    "neighbors": "Mine the nearest neighbors of each sample of a data set.",
    "checkpoint": "Inspect files of weights, and import released ones.",
    "data": "Check data sets; write videos as shards for training or their optical flow, or scenes as a catalog.",
    "benchmark": "Make an interactive test set of your own, step by step, and release it.",
    "search": "Index your own images, sounds and videos, and search them by a sound, an image, or both.",
}
GENERAL_OPTIONS = """
options:
    -h, --help, --version
    --import MODULE  in any command: a file or a module of yours to import first, whose methods, encoders, data sets and
                     metrics then have names (never read from a recipe or a checkpoint)
"""
ARGUMENT_HELP = {"train": "recipe_help.format_recipe_keys"}  # command -> function of its argument that adds to its help
DISTRIBUTED = (
    "evaluate",
    "evaluate-maps",
)  # commands that work with all processes of torchrun; training joins by itself


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the words after `soundspot`; None: those of this process.

    Returns:
        The exit code: 0, or what the command returns; 2 after a user's mistake, which is printed as one message.
    """
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except SoundspotError as error:
        if not error.is_reported:
            print(f"soundspot: {error}", file=sys.stderr)
        return EXIT_USER_ERROR
    except KeyboardInterrupt:
        print("soundspot: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output (a pager, `head`) went away
        sys.stderr.close()
        return 0
    except OSError as error:
        if error.errno not in (errno.ENAMETOOLONG, errno.EACCES):
            raise
        print(
            f"soundspot: {error.filename!s:.60}: {error.strerror}; expected a path to open. Check it", file=sys.stderr
        )
        return EXIT_USER_ERROR


def _run(arguments: list[str]) -> int:
    warnings.filterwarnings("default", category=UserWarning, module="soundspot")
    if arguments == ["--version"]:
        print(f"soundspot {__version__}")
        return 0
    arguments = import_user_modules(arguments)
    name = find_command(arguments)
    if name in GROUPS:
        print(format_commands(name))
        return 0 if arguments and arguments[-1] in ("-h", "--help") else EXIT_USER_ERROR
    if name in DISTRIBUTED and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from soundspot.utils.distributed import process_group

        with process_group():
            return run_command(name, arguments[1:])
    return run_command(name, arguments[len(name.split()) :])


def import_user_modules(arguments: list[str]) -> list[str]:
    """Import what `--import MODULE` names, wherever it stands, so that what it registers has a name in the command.

    Args:
        arguments: words of a command line.

    Returns:
        The words without these options.

    Raises:
        InputError: a name is left out, there is no such file or module, or another module has its name.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    words, rest = arguments[:end], arguments[end:]
    others: list[str] = []
    while words:
        flag, equals, name = words.pop(0).partition("=")
        if flag != "--import":
            others.append(flag + equals + name)
            continue
        if not equals and not words:
            raise InputError("--import: no module is named; give a file or a module of yours, as in --import mine.py.")
        _import_module(name if equals else words.pop(0))
    return others + rest


def _import_module(name: str) -> None:
    path = Path(name).resolve()
    is_file = name.endswith(".py")
    if is_file and not path.is_file():
        raise InputError(f"--import {name}: found no such file. Check the path.")
    folder = str(path.parent if is_file else Path.cwd())
    if folder not in sys.path:  # processes that read data import it from there too
        sys.path.insert(0, folder)
    try:
        module = import_module(path.stem if is_file else name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"--import {name}: found no module {error.name!r}. Check its name, or give its file."
        ) from error
    if is_file and Path(module.__file__ or "") != path:
        raise InputError(f"--import {name}: another module is named {path.stem!r}. Rename the file.")


def run_command(name: str, arguments: Sequence[str]) -> int:
    """Call the function of a command; return its exit code, 0 where it returns none."""
    function, options = parse_command(name, arguments)
    with show_progress():
        code = function(**options)
    return code if isinstance(code, int) else 0


def parse_command(name: str, arguments: Sequence[str]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Parse the arguments of a command.

    Args:
        name: words of the command, a key of `COMMANDS`.
        arguments: what follows them.

    Returns:
        The function of the command and its keyword arguments.

    Raises:
        InputError: an argument is missing, an option is unknown, has another name now or a value of another type, or
            the model is given as a positional argument.
    """
    from soundspot.cli.parser import build_parser

    function = load_command(name)
    parser = build_parser(name, function)
    positional, known, unknown = parser.split_arguments(arguments)
    overrides = {}
    if "overrides" in inspect.signature(function).parameters:
        overrides, unknown = {"overrides": unknown}, []
    for word in unknown:
        flag = word.partition("=")[0].lstrip("-").replace("_", "-")
        if new := (renamed.OPTIONS[""] | renamed.OPTIONS.get(name, {})).get(flag):
            raise InputError(f"`soundspot {name}`: --{flag} is now --{new}.")
        if hint := renamed.GONE.get(name, {}).get(flag):
            raise InputError(f"`soundspot {name}`: --{flag} is gone. {hint}")
        if word.startswith("-"):
            raise InputError(
                f"`soundspot {name}`: unknown option {word}{did_you_mean(f'--{flag}', parser._option_string_actions)} "
                f"See `soundspot {name} --help`."
            )
    if positional and positional[0].endswith(".safetensors") and parser.find_option("--model"):
        model = positional[0]
        raise InputError(f"`soundspot {name}`: found the model {model} as an argument; give it as --model {model}.")
    if not {"-h", "--help"} & {*known}:
        parser.check_complete(len(positional))
    elif positional and name in ARGUMENT_HELP:
        parser.keys = import_target(ARGUMENT_HELP[name])(positional[0])
    return function, vars(parser.parse_args([*positional, *known, *unknown])) | overrides


def load_command(name: str) -> Callable[..., Any]:
    """Return the function of a command; its module is imported."""
    return import_target(COMMANDS[name])


def import_target(target: str) -> Callable[..., Any]:
    """Return the function that `module.function` names in this package."""
    module, _, function = target.partition(".")
    return getattr(import_module(f"soundspot.cli.{module}"), function)  # type: ignore[no-any-return]


def find_command(arguments: Sequence[str]) -> str:
    """Return the command that a line begins with, a key of `COMMANDS`; a key of `GROUPS` where a word is missing.

    Raises:
        InputError: the words name no command.
    """
    name = ""
    for word in arguments:
        prefix = f"{name} ".lstrip()
        names = {key.removeprefix(prefix).split()[0] for key in COMMANDS if key.startswith(prefix)}
        if word.startswith("-") or not names:
            break
        longer = f"{prefix}{word}"
        if longer in renamed.COMMANDS:
            raise InputError(f"`soundspot {longer}` is now `soundspot {renamed.COMMANDS[longer]}`.")
        if word not in names:
            group = f"command of `soundspot {name}`" if name else "command"
            raise InputError(f"unknown {group} {word!r}{did_you_mean(word, names)} See `soundspot --help`.")
        name = longer
    return name


def format_commands(group: str) -> str:
    """Return the help of a group of commands (of all: the empty group), a line each; none of them is imported."""
    lines = {}
    prefix = f"{group} ".lstrip()
    for name, target in COMMANDS.items():
        words = name.removeprefix(prefix).split()
        if name.startswith(prefix):
            if words[0] in GROUPS:
                lines[words[0]] = GROUPS[words[0]]
            else:
                lines[" ".join(words)] = summarize(target)
    width = max(map(len, lines))
    rows = "\n".join(f"    {word:<{width}}  {line}" for word, line in lines.items())
    command = f"soundspot {group}".strip()
    options = "" if group else GENERAL_OPTIONS
    return f"usage: {command} COMMAND ...\n\n{GROUPS[group]}\n{options}\ncommands (`{command} COMMAND --help`):\n{rows}"


def summarize(target: str) -> str:
    """Return the first line of a command's docstring, read from its file."""
    module, _, function = target.partition(".")
    text = (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")
    match = re.search(rf'^def {function}\(.*?^    """(.+?)$', text, re.DOTALL | re.MULTILINE)
    return match[1].rstrip('"') if match else ""


if __name__ == "__main__":
    raise SystemExit(main())
