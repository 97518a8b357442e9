"""How a command line is read: jsonargparse's way, less what a command of this kind does not need."""

import re
from collections.abc import Sequence
from typing import Any

from jsonargparse import ActionConfigFile, ArgumentParser

from soundspot.cli.examples import get_example


class CommandParser(ArgumentParser):
    """Flags are given by name alone (`--overwrite`), `-o` is `--output`, and commands have no `--config`.

    Names of several words are written with `-` or `_`.
    """

    def add_argument(self, *names: str, **options: Any) -> Any:
        if options.get("action") is ActionConfigFile:
            return None
        dashed = tuple(n.replace("_", "-") for n in names if n.startswith("--") and "_" in n)
        names = (*(("-o",) if names == ("--output",) else ()), *names, *dashed)
        if options.get("default") is False:
            return super().add_argument(*names, action="store_true", help=options.get("help"))
        return super().add_argument(*names, **options)

    def format_help(self) -> str:
        """The help, with an example of the command at its end."""
        words = self.prog.replace("[options]", "").split()
        shown = get_example(" ".join(words[1:]))
        return super().format_help() + (f"\nexample:\n  {shown}\n" if shown else "")


def accept_repeated_lists(arguments: Sequence[str]) -> list[str]:
    """Arguments in which a list may be given by several flags: jsonargparse adds to it where its flag ends in `+`."""
    return [re.sub(r"^--train[-_]list(?==|$)", "--train_list+", argument) for argument in arguments]
