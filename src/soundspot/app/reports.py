"""The reports tab, and the route that hands out what lies in the folder of reports, and nothing else."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from soundspot.app import html as words

ROUTE = "/reports"
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
}
POLICY = "sandbox allow-popups; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'"
_HEAD = 20_000  # characters of a page in which its title is looked for
HINT = words.render_card(
    "hint",
    "No reports yet",
    "Start the page with `--reports FOLDER`, such as `runs`: each report.html in it and in its folders is listed here.",
    "`soundspot evaluate CKPT DATA -o FOLDER` writes one.",
)


def find_reports(folder: Path, most: int = 200) -> dict[str, str]:
    """Pages in a folder and in those below, the newest first: path in the folder -> title.

    Left out are hidden folders, links that lead out of the folder, names that are no Unicode, and what may not be read
    or goes meanwhile.
    """
    pages, found = [], {}
    for file in _pages(folder):
        with suppress(OSError, UnicodeEncodeError):
            name = str(file.relative_to(folder))
            if name.encode() and resolve_report(folder, name) is not None:
                pages.append((-file.stat().st_mtime, file))
    for _, file in sorted(pages)[:most]:
        with suppress(OSError):
            found[file.relative_to(folder).as_posix()] = _title(file)
    return found


def resolve_report(folder: Path, name: str) -> Path | None:
    """The file called `name` in a folder; None where there is none to hand out: outside, hidden, of another kind.

    Links are followed before they are judged, so none leads out.
    """
    try:
        root, file = folder.resolve(), (folder / name).resolve()
        hidden = any(part.startswith(".") for part in file.relative_to(root).parts)
        return None if hidden or file.suffix.lower() not in MEDIA_TYPES or not file.is_file() else file
    except (ValueError, OSError, RuntimeError):  # outside; a NUL in the name, too long a name; links in a circle
        return None


def render_report_frame(name: str, title: str) -> Markup:
    """A report in a frame in which no script runs, and a link to it alone."""
    address = f"{ROUTE}/{quote(name)}"
    return Markup(
        '<p class="open"><b>{0}</b> <span>{1}</span> <a href="{2}" target="_blank" rel="noopener">Open alone</a></p>'
        '<iframe class="report" sandbox="allow-popups" src="{2}" title="{0}"></iframe>'
    ).format(title, name, address)


def _pages(folder: Path) -> Iterator[Path]:
    for file in folder.rglob("*.html"):
        if not any(part.startswith(".") for part in file.relative_to(folder).parts):
            yield file


def _title(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace") as opened:
        found = re.search(r"<title>([^<]{1,300})</title>", opened.read(_HEAD), re.IGNORECASE)
    return Markup(found[1]).unescape().strip() if found else file.stem


def build_reports_tab(folder: Path | None) -> None:
    """Lays the tab out and wires it."""
    import gradio as gr

    from soundspot.app.components import pass_value, wire_silent_event

    if folder is None:
        gr.HTML(HINT)
        return
    shown = find_reports(folder)
    with gr.Row():
        chosen = pass_value(
            gr.Dropdown(_choices(shown), value=next(iter(shown), None), label="Report", scale=8, elem_id="report")
        )
        again = gr.Button("Look again", scale=1, min_width=120, elem_id="again")
    page = gr.HTML(_render_report(folder, next(iter(shown), None)), elem_id="page")

    def look() -> tuple[dict, Markup]:
        found = find_reports(folder)
        first = next(iter(found), None)
        return gr.update(choices=_choices(found), value=first), _render_report(folder, first)

    def opened(name: str | None) -> Markup:
        return _render_report(folder, name)

    wire_silent_event(chosen.input, opened, [chosen], page)
    wire_silent_event(again.click, look, [], [chosen, page])


def _choices(found: dict[str, str]) -> list[tuple[str, str]]:
    return [(f"{title} · {name}", name) for name, title in found.items()]


def _render_report(folder: Path, name: str | None) -> Markup:
    if name is None:
        return HINT
    file = resolve_report(folder, name) if isinstance(name, str) else None
    with suppress(OSError):
        if file is not None:
            return render_report_frame(name, _title(file))
    return words.render_card("wrong", "No such report", "Look again: it may have been removed.")
