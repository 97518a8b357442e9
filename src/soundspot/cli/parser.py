"""Build the parser of a command from the signature and the docstring of its function."""

import inspect
import os
import re
import types
from argparse import SUPPRESS, Action, ArgumentParser, ArgumentTypeError, HelpFormatter, Namespace
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, Union, get_args, get_origin

import yaml

from soundspot.data.media.file_types import detect_file_type
from soundspot.errors import InputError
from soundspot.utils.signatures import Option, describe_type, format_value, has_type, read_options

OPTION_GROUPS = {  # title in the help -> names of options, which mean the same in every command
    "data": "root options train_list labels frames window seconds rate length position audio_track",
    "images": "boxes mask mask_threshold per_source next_frame",
    "videos": "contact_sheet timeline frame_records maps maps_per_second smooth",
    "events of videos": "events onset offset min_duration_on min_duration_off",
    "scoring": "protocol metrics threshold train_logs bootstraps rule allow_missing intersect names",
    "model and machine": "model calibration device precision batch_size workers seed",
    "output": "output title format intervals json overwrite quiet resume retry",
}
_GROUP_OF = {name: title for title, names in OPTION_GROUPS.items() for name in names.split()}
_METAVARS = {"a whole number": "N", "a number": "NUMBER", "text": "TEXT", "a path": "PATH", "a mapping": "JSON"}


class CommandFormatter(HelpFormatter):
    """Format the help of a command: names as they are typed, a plain type, and the default after the meaning."""

    def _format_action_invocation(self, action: Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        return f"{', '.join(action.option_strings)} {self._format_args(action, '')}"

    def _format_args(self, action: Action, default_metavar: Any) -> str:
        return super()._format_args(action, default_metavar).replace(f" [{action.metavar} ...]", " ...")

    def _expand_help(self, action: Action) -> str:
        default = action.default
        is_value = action.option_strings and action.nargs != 0 and default not in (None, SUPPRESS)
        return f"{action.help} (default: {format_value(default)})" if is_value else action.help or ""


class CommandParser(ArgumentParser):
    """Parser of one command: flags need no value, lists are given as words, `-o` is `--output`.

    Names of several words are written with `-` or `_`; `--options.length 5` is `--options '{length: 5}'`.
    """

    example = ""
    keys = ""

    def add_option(self, option: Option) -> None:
        """Add one parameter of the function of a command: a positional argument where it has no default."""
        item = next((get_args(h)[0] for h in (option.hint, *get_args(option.hint)) if get_origin(h) is list), None)
        hint = item or option.hint
        settings: dict[str, Any] = {"help": option.help, "type": partial(_convert, hint)}
        if option.is_required:
            self._positionals.add_argument(option.name, **settings | ({"nargs": "*"} if item else {}))
            return
        flags = [*(["-o"] if option.name == "output" else []), f"--{option.name.rstrip('_').replace('_', '-')}"]
        settings |= {"dest": option.name, "default": SUPPRESS if option.group else option.default}
        words = describe_type(hint).split(" or ")
        settings["metavar"] = "|".join(_METAVARS.get(word, word) for word in words)
        if option.hint is bool:
            settings |= {"action": "store_true"}
            del settings["type"], settings["metavar"]
        elif item:
            settings |= {"nargs": "+", "action": "extend"}
        elif words == ["a mapping"]:
            settings |= {"action": _UpdateAction}
        title = option.group or _GROUP_OF.get(option.name, "options")
        groups = {group.title: group for group in self._action_groups}
        (groups.get(title) or self.add_argument_group(title)).add_argument(*flags, **settings)

    def error(self, message: str) -> NoReturn:
        """Raise InputError with one message, in place of printing the usage."""
        surplus = message.removeprefix("unrecognized arguments: ")
        if surplus != message:
            known = self._option_string_actions
            names = ", ".join(sorted(name for name in known if name.startswith("--")))
            path = Path(surplus)
            wanted = "--root" if path.is_dir() else f"--{detect_file_type(os.fsencode(path))}"
            hint = f"Give it as {wanted} {surplus}" if path.exists() and wanted in known else f"There are: {names}"
            message = f"found {surplus!r} beyond its arguments, expected an option before it. {hint}"
        raise InputError(f"`{self.prog}`: {message.removeprefix('argument ')}. See `{self.prog} --help`.")

    def format_help(self) -> str:
        """Return the help, with keys of a recipe and an example of the command at its end."""
        return (
            super().format_help()
            + (f"\n{self.keys}\n" if self.keys else "")
            + (f"\nexample:\n  {self.example}\n" if self.example else "")
        )

    def check_complete(self, num_positional: int) -> None:
        """Raise InputError that names the first positional argument that is missing."""
        required = [action for action in self._positionals._group_actions if action.nargs != "*"]
        if missing := required[num_positional:]:
            raise InputError(
                f"`{self.prog}`: {missing[0].dest.upper()} is missing: "
                f"{re.split(r'; |[.](?: |$)', missing[0].help or '')[0]}. See `{self.prog} --help`."
            )

    def find_option(self, word: str) -> Action | None:
        """Return the option that a word names, in full, with `-` or `_`, before `=` or `.`; None: no option."""
        flag = word.partition("=")[0].partition(".")[0]
        known = self._option_string_actions
        return known.get(flag) or known.get(f"--{flag.removeprefix('--').replace('_', '-')}")

    def split_arguments(self, arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
        """Split a command line into positional words, options that the command knows, and flags it does not know.

        A word that begins with a dash is a file where it comes after `--`, is the value of an option that takes a path,
        or is no option and exists; it gets `./` before it.
        """
        positional: list[str] = []
        options: list[str] = []
        unknown: list[str] = []
        words = list(arguments)
        while words:
            word = words.pop(0)
            if word == "--":
                positional += [f"./{file}" if file.startswith("-") else file for file in words]
                break
            if not word.startswith("-") or self._is_file(word):
                positional.append(f"./{word}" if word.startswith("-") else word)
                continue
            action = self.find_option(word)
            group = unknown if action is None else options
            flag, equals, value = word.partition("=")
            if action is not None:
                flag, dot, key = flag.partition(".")
                flag = flag if flag in action.option_strings else flag.replace("_", "-")
                if dot:
                    value = f"{{{key}: {value if equals or not words else words.pop(0)}}}"
                    equals = "="
            group.append(flag + equals + value)
            if not equals and (action is None or action.nargs != 0):
                several = action is not None and action.nargs == "+"
                while words and (not words[0].startswith("--") or self._is_file(words[0])):
                    value = words.pop(0)
                    is_path = self._is_file(value) or (action and not several and "PATH" in str(action.metavar))
                    group.append(f"./{value}" if is_path and value.startswith("-") else value)
                    if not several:
                        break
        return positional, options, unknown

    def _is_file(self, word: str) -> bool:
        """Return True for the name of a file that begins with a dash, and is no option."""
        return word.startswith("-") and self.find_option(word) is None and os.path.lexists(word)


class _UpdateAction(Action):
    """Add the keys of a mapping to those that are given before."""

    def __call__(self, parser: Any, namespace: Namespace, values: Any, option_string: str | None = None) -> None:
        setattr(namespace, self.dest, (getattr(namespace, self.dest) or {}) | (values or {}))


def _convert(hint: Any, text: str) -> Any:
    """Convert a word of a command line to the type of an option."""
    kinds = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    if Path in kinds:
        return Path(text)
    value: Any = text
    with suppress(yaml.YAMLError):
        value = yaml.safe_load(text)
    for number in {int, float} & {*kinds}:
        with suppress(ValueError):
            value = number(text)
    if hint is str or not has_type(value, hint):
        value = text
    if not has_type(value, hint):
        raise ArgumentTypeError(f"found {text!r}, expected {describe_type(hint)}")
    return value


def build_parser(name: str, function: Callable[..., Any]) -> CommandParser:
    """Build the parser of a command.

    Args:
        name: words of the command, such as `data check`.
        function: what it runs; a parameter `overrides` takes the flags that its signature does not name.

    Returns:
        The parser; its help ends with the example of the docstring.
    """
    text = inspect.getdoc(function) or ""
    description = re.split(r"\n\n(?:Args|Examples):", text)[0]
    parser = CommandParser(
        prog=f"soundspot {name}", description=description, formatter_class=CommandFormatter, allow_abbrev=False
    )
    parser.example = get_example(function)
    parser._positionals.title, parser._optionals.title = "arguments", "options"
    for title in OPTION_GROUPS:  # in this order; the help leaves out those that stay empty
        parser.add_argument_group(title)
    for option in read_options(function):
        if option.name != "overrides":
            parser.add_option(option)
    words = [parser._get_formatter()._format_args(a, a.dest.upper()) for a in parser._positionals._group_actions]
    parser.usage = " ".join([parser.prog, *words, *(["[options]"] if len(parser._actions) > len(words) + 1 else [])])
    return parser


def get_example(function: Callable[..., Any]) -> str:
    """Return the command line at the end of a command's docstring, under `Examples:`."""
    return inspect.cleandoc((inspect.getdoc(function) or "").partition("\nExamples:\n")[2])
