"""The command line as a page of the site, from the parsers themselves: nothing is written twice.

python examples/command_pages.py        # prints it
"""

import argparse
from collections.abc import Iterator
from functools import partial

from soundspot.cli.main import COMMANDS, load_command
from soundspot.cli.parser import CommandParser, build_parser
from soundspot.utils.signatures import describe_type

HEAD = """# Command line

`soundspot COMMAND --help` says the same. Flags of several words are written with `-` or `_`; `-o` is `--output`. A
mistake is answered with one message, with exit code 2. Where a command takes `--options`, they are JSON, or
`--options.name value`.

"""


def page() -> str:
    """The page, in Markdown: a section for each command, a row for each option."""
    return HEAD + "\n".join("\n".join(describe(name, parser)) for name, parser in parsers())


def parsers() -> Iterator[tuple[str, CommandParser]]:
    """Yield the words and the parser of each command, in the order of the help."""
    for name in COMMANDS:
        yield name, build_parser(name, load_command(name))


def describe(name: str, parser: CommandParser) -> Iterator[str]:
    """Yield the lines about one command: what it does, an example, its arguments."""
    yield f"## soundspot {name}\n"
    yield f"{' '.join((parser.description or '').split())}\n"
    yield f"```sh\n{parser.example}\n```\n"
    rows = [row(action) for action in parser._actions if shown(action)]
    if rows:
        yield "| | takes | |\n| --- | --- | --- |"
        yield from rows
        yield ""


def shown(action: argparse.Action) -> bool:
    return not isinstance(action, argparse._HelpAction)


def row(action: argparse.Action) -> str:
    """An argument's name, what it takes, and what it means with its default."""
    flags = action.option_strings
    name = ", ".join(f"`{flag}`" for flag in flags) or f"`{action.dest.upper()}`"
    meaning = " ".join((action.help or "").split()).replace("|", "\\|")
    default = action.default
    if flags and default not in (None, False, argparse.SUPPRESS, []):
        meaning += f" Default: `{default}`."
    return f"| {name} | {takes(action)} | {meaning} |"


def takes(action: argparse.Action) -> str:
    """The type in words: `text`, `a path`, `a list of text`..."""
    if action.nargs == 0:
        return "flag"
    hint = action.type.args[0] if isinstance(action.type, partial) else str
    return describe_type(list[hint] if action.nargs in ("*", "+") else hint)  # type: ignore[valid-type]


if __name__ == "__main__":
    print(page())
