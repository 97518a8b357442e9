"""What pages show, run: blocks of code and of shell lines are read from a page and carried out in order.

A block of ```python is executed, all of a page in one namespace; one with a `title` is written to that file instead,
whatever its language. Lines of ```console that begin with `$ ` are run and what follows them is what they print. There
`...` stands for any text, a line of it for any lines, and a number for any number: figures move from machine to
machine, words do not. Blocks of ```sh hold placeholders and are read by the parsers alone. What a comment hides is not
run.
"""

import contextlib
import io
import os
import re
import runpy
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
NUMBER = r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?"
ANY, ANY_LINES = r"[^\n]*", r"(?:[^\n]*\n)*?"


@dataclass(frozen=True)
class Block:
    """A fence of a page: its language, the file it is to be, what is in it, and the line of the page it begins at."""

    language: str
    title: str
    text: str
    line: int


@dataclass(frozen=True)
class Command:
    """A shell line and what the page says that it prints."""

    line: str
    said: str


def blocks(page: str) -> list[Block]:
    """The fences of a page, in order; those in comments are left out, and lines still count."""
    seen = COMMENT.sub(lambda found: "\n" * found[0].count("\n"), page)
    return [Block(f[1], f[2] or "", f[3], seen[: f.start()].count("\n") + 1) for f in BLOCK.finditer(seen)]


def commands(text: str) -> Iterator[Command]:
    """The lines of a console block with what each prints; a line that ends in a backslash goes on."""
    for part in re.split(r"^\$ ", text.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        line, _, said = part.partition("\n")
        yield Command(line.strip(), said)


def prints(said: str) -> re.Pattern[str]:
    """What a page says is printed, as a pattern of what may be."""
    lines = []
    for line in said.strip().splitlines():
        if line.strip() == "...":
            lines.append(ANY_LINES)
            continue
        parts = (_numbers(part) for part in " ".join(line.split()).split("..."))
        lines.append(ANY.join(parts) + r"\n")
    return re.compile("".join(lines))


def _numbers(text: str) -> str:
    return NUMBER.join(map(re.escape, re.split(NUMBER, text)))


def told(printed: str) -> str:
    """What was printed as `prints` expects it: spaces between words do not count, nor do empty lines at its ends."""
    return "".join(" ".join(line.split()) + "\n" for line in printed.strip().splitlines())


Runner = Callable[[str], str]


@dataclass
class Walk:
    """Carries out pages in a folder, which must be the working directory.

    Attributes:
        run: a shell line -> what it prints; raises where it fails.
        names: what Python blocks share.
    """

    folder: Path
    run: Runner
    names: dict[str, Any] = field(default_factory=dict)

    def page(self, page: Path) -> int:
        """Everything that a page shows; the number of its blocks that were carried out."""
        done = 0
        for block in blocks(page.read_text(encoding="utf-8")):
            where = f"{page.name}:{block.line}"
            if block.title:
                (self.folder / block.title).write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                self.execute(block.text, page, block.line)
            elif block.language == "console":
                for command in commands(block.text):
                    self.check(command, where)
            else:
                continue
            done += 1
        return done

    def execute(self, code: str, page: Path, line: int) -> None:
        """Runs a block of Python; tracebacks name the page and the line."""
        exec(compile("\n" * line + code, str(page), "exec"), self.names)

    def alike(self, text: str) -> str:
        """What of a text is compared: all of it."""
        return text

    def check(self, command: Command, where: str) -> None:
        """Runs a line and holds what it prints against what the page says."""
        printed = told(self.run(command.line))
        if command.said.strip():
            assert prints(self.alike(command.said)).fullmatch(self.alike(printed)), (
                f"{where}: `{command.line}` printed\n{printed}\nwhere the page has\n{command.said}"
            )


def in_process(line: str) -> str:
    """Run `soundspot ...` and `python FILE ...` in this process, which has loaded what they need; others in a shell."""
    words = shlex.split(line, comments=True)
    if words[:2] == ["soundspot", "app"]:
        return answered([sys.executable, "-m", *words])
    if words[0] == "soundspot":
        from soundspot.cli.main import main

        code, printed = _captured(lambda: main(words[1:]), words)
    elif words[0] == "python" and words[1].endswith(".py"):
        code, printed = _captured(lambda: runpy.run_path(words[1], run_name="__main__"), words[1:])
    else:
        return in_shell(line)
    assert not code, f"`{line}` ended with {code}:\n{printed}"
    return printed


def in_shell(line: str, **options: Any) -> str:
    """Runs a line as it stands."""
    done = subprocess.run(line, shell=True, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"`{line}` ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def answered(words: list[str], env: Mapping[str, str] = os.environ, cwd: Path | None = None) -> str:
    """Starts a server, waits until the address that it prints answers, and ends it; what it printed until then."""
    begun = {**env, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=begun, cwd=cwd) as server:
        try:
            assert server.stdout is not None
            printed = server.stdout.readline()
            address = re.search(r"http://[\w.:]+", printed)
            assert address, f"{words} printed no address: {printed}"
            assert _answers(address[0]), f"{address[0]} did not answer within a minute"
        finally:
            server.terminate()
    return printed


def _answers(address: str) -> bool:
    for _ in range(120):
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as reply:
            return bool(reply.status == 200)
        time.sleep(0.5)
    return False


def _captured(do: Callable[[], Any], words: list[str]) -> tuple[Any, str]:
    before, out = sys.argv, io.StringIO()
    sys.argv = words
    try:
        with contextlib.redirect_stdout(out):
            code = do()
    except SystemExit as stopped:
        code = stopped.code
    finally:
        sys.argv = before
    return code if isinstance(code, int) else 0, out.getvalue()
