"""Build the parser of a command from the signature and the docstring of its function."""

import inspect
import os
import re
from argparse import SUPPRESS, Action
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

from jsonargparse import ActionConfigFile, ArgumentParser


class CommandParser(ArgumentParser):
    """Parser of one command: flags need no value, lists are given as words, `-o` is `--output`.

    Names of several words are written with `-` or `_`.
    """

    example = ""

    def add_argument(self, *names: str, **options: Any) -> Any:
        """Add one argument of the function, as jsonargparse asks for it."""
        if options.get("action") is ActionConfigFile:
            return None
        annotation = getattr(options.get("action"), "_typehint", None)
        is_option = names[0].startswith("-")
        if lists := [hint for hint in (annotation, *get_args(annotation)) if get_origin(hint) is list]:
            del options["action"]
            options |= {"type": get_args(lists[0])[0], "nargs": "*"}
            if is_option:
                options |= {"nargs": "+", "action": "extend"}
        if is_option and names[0].endswith("_"):  # a word of Python, such as `from`
            options |= {"dest": names[0].strip("-"), "metavar": names[0].strip("-_").upper()}
            names = (names[0].rstrip("_"),)
        dashed = [n.replace("_", "-") for n in names if n.startswith("--") and "_" in n]
        names = (*(["-o"] if names == ("--output",) else []), *dashed, *names)
        if options.get("default") is False or annotation is bool or options.get("type") is bool:
            default = options.get("default", SUPPRESS)
            return super().add_argument(*names, action="store_true", default=default, help=options.get("help"))
        return super().add_argument(*names, **options)

    def format_help(self) -> str:
        """Return the help, with an example of the command at its end."""
        return super().format_help() + (f"\nexample:\n  {self.example}\n" if self.example else "")

    def split_arguments(self, arguments: Sequence[str]) -> tuple[list[str], list[str]]:
        """Split a command line into words that the command knows, positional ones first, and flags it does not know.

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
            action = self._option_string_actions.get(word.partition("=")[0].partition(".")[0])
            group = unknown if action is None else options
            group.append(word)
            if "=" not in word and (action is None or action.nargs != 0):
                several = action is not None and action.nargs == "+"
                while words and (not words[0].startswith("--") or self._is_file(words[0])):
                    value = words.pop(0)
                    is_path = self._is_file(value) or (action and not several and Path in _list_types(action))
                    group.append(f"./{value}" if is_path and value.startswith("-") else value)
                    if not several:
                        break
        return [*positional, *options], unknown

    def _is_file(self, word: str) -> bool:
        """Return True for the name of a file that begins with a dash, and is no option."""
        return word.startswith("-") and word not in self._option_string_actions and os.path.lexists(word)


def _list_types(action: Action) -> tuple[Any, ...]:
    """Return the types that the value of an option may have."""
    hint = getattr(action, "_typehint", action.type)
    return (hint, *get_args(hint))


def build_parser(name: str, function: Callable[..., Any]) -> CommandParser:
    """Build the parser of a command.

    Args:
        name: words of the command, such as `data check`.
        function: what it runs; a parameter `overrides` takes the flags that its signature does not name.

    Returns:
        The parser; its help ends with the example of the docstring.
    """
    text = inspect.getdoc(function) or ""
    parser = CommandParser(prog=f"soundspot {name}", description=re.split(r"\n\n(?:Args|Examples):", text)[0])
    parser.example = get_example(function)
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip={"overrides"})
    return parser


def get_example(function: Callable[..., Any]) -> str:
    """Return the command line at the end of a command's docstring, under `Examples:`."""
    return inspect.cleandoc((inspect.getdoc(function) or "").partition("\nExamples:\n")[2])
