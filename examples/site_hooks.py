"""What mkdocs.yml asks for while it builds the site: pages made of what is written elsewhere already.

The home page is the README, the page of methods its section of that name, the changelog and the contributors' page are
the files beside it; the command line's page is made of the parsers, and the words of metrics are the library's.
"""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent

OUTSIDE = {
    "README.md#methods": "methods/index.md",
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
WORDS = re.compile(r"<!-- words: (\w+) -->")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the page of each method to the navigation, in the order of publication."""
    for section in config.nav or ():
        if "Methods" in section:
            section["Methods"] += [{name: f"methods/{name}.md"} for name in methods()]
    return config


def methods() -> list[str]:
    """Return the names of the methods whose pages lie in docs/methods, in the order of the README's table."""
    order = re.findall(r"^\| \[`(\w+)`\]", _read("README.md"), re.MULTILINE)
    return [name for name in order if (ROOT / "docs" / "methods" / f"{name}.md").is_file()]


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made."""
    sys.path[:0] = [str(ROOT / "src"), str(ROOT / "examples")]  # here: what a hook adds when it is loaded is taken back
    from command_pages import page as commands

    readme = _read("README.md")
    made = {
        "index.md": homely(readme),
        "methods/index.md": below(homely(section(readme, "Methods", level=1)), "methods"),
        "contributing.md": homely(_read("CONTRIBUTING.md")),
        "changelog.md": homely(_read("CHANGELOG.md")),
        "reference/commands.md": commands(),
    }
    for where, content in made.items():
        files.append(File.generated(config, where, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Puts in the words of a family of metrics, and leads links out of docs/ to the pages that are made."""
    for name, where in OUTSIDE.items():
        markdown = markdown.replace(f"../{name}", where)
    markdown = markdown.replace("<!-- every method -->", "\n\n".join(f"::: soundspot.methods.{m}" for m in methods()))
    return WORDS.sub(lambda found: words_of(found[1]), markdown)


def homely(text: str) -> str:
    """Text of a file in the root as a page: what it links to lies beside it."""
    text = text.replace("](docs/", "](")
    return text.replace("](CONTRIBUTING.md", "](contributing.md").replace("](CHANGELOG.md", "](changelog.md")


def below(text: str, folder: str) -> str:
    """The text of a page of the root as one of a folder's."""
    return re.sub(r"\]\((?!\w+:)", "](../", text).replace(f"](../{folder}/", "](")


def section(text: str, title: str, level: int = 2) -> str:
    """A section of a page, its heading at `level`."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title!r}"
    return f"{'#' * level} {title}\n{found[1]}"


def words_of(family: str) -> str:
    """The keys of a report that belong to a family, as a table."""
    from soundspot.evaluation.metrics import list_metrics
    from soundspot.evaluation.metrics.registry import get_metric_info

    known = {key: get_metric_info(key) for key in list_metrics()}
    lines = [f"| `{key}` | {m.label} | {m.description} |" for key, m in known.items() if m.family == family]
    return "\n".join(["| in a report | printed | what it is |", "| --- | --- | --- |", *lines])


def _read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
