"""The reports tab, and the route that serves the reports of a folder, and nothing else."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from soundspot.app.components import pass_value, render_card, wire_silent_event

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
_TITLE_CHARACTERS = 20_000  # of a report in which its title is looked for
HINT = render_card(
    "hint",
    "No reports yet",
    "Start the page with `--reports FOLDER`, such as `runs`: each report.html in it and in its folders is listed here.",
    "`soundspot evaluate DATA --model FILE -o FOLDER` writes one.",
)


def find_reports(folder: Path, max_reports: int = 200) -> dict[str, str]:
    """Find the reports (.html) in a folder and below it, the newest first.

    Hidden folders, links that lead out of the folder, names that are no Unicode, and files that cannot be read or are
    deleted meanwhile are left out.

    Args:
        folder: folder of the reports.
        max_reports: largest number of reports.

    Returns:
        Path relative to the folder -> title.
    """
    dated, reports = [], {}
    for file in folder.rglob("*.html"):
        with suppress(OSError, UnicodeEncodeError):
            name = file.relative_to(folder).as_posix()
            if name.encode() and resolve_report(folder, name) is not None:
                dated.append((-file.stat().st_mtime, name))
    for _, name in sorted(dated)[:max_reports]:
        with suppress(OSError):
            reports[name] = _read_title(folder / name)
    return reports


def resolve_report(folder: Path, name: str) -> Path | None:
    """Return the file of a report, or of an image or table beside it. Links are followed first, so that none leads out.

    Args:
        folder: folder of the reports.
        name: path relative to the folder.

    Returns:
        Path with links resolved; None where it is outside of the folder, hidden, of another kind, or absent.
    """
    try:
        root, file = folder.resolve(), (folder / name).resolve()
        is_hidden = any(step.startswith(".") for step in (*Path(name).parts, *file.relative_to(root).parts))
        return None if is_hidden or file.suffix.lower() not in MEDIA_TYPES or not file.is_file() else file
    except (ValueError, OSError, RuntimeError):  # outside; a NUL in the name, too long a name; links in a circle
        return None


def add_report_route(app: Any, folder: Path | None) -> None:
    """Add the route `/reports/NAME` to a FastAPI application, which serves files without scripts, or status 404.

    Args:
        app: FastAPI application, changed in place.
        folder: folder of the reports; None: every name is absent.
    """
    from starlette.responses import FileResponse, JSONResponse, Response

    async def serve_report(name: str) -> Response:
        file = None if folder is None else resolve_report(folder, name)
        if file is None:
            return JSONResponse({"detail": "There is no such report."}, 404)
        headers = {"content-security-policy": POLICY, "cache-control": "no-cache"}
        return FileResponse(file, media_type=MEDIA_TYPES[file.suffix.lower()], headers=headers)

    app.get(ROUTE + "/{name:path}")(serve_report)


def build_reports_tab(folder: Path | None) -> None:
    """Lay out the tab that shows reports, and wire its events; to be called inside Gradio blocks.

    Args:
        folder: folder of the reports; None: the tab says how to write reports.
    """
    import gradio as gr

    if folder is None:
        gr.HTML(HINT)
        return
    reports = find_reports(folder)
    first = next(iter(reports), None)
    with gr.Row():
        report = pass_value(
            gr.Dropdown(_list_choices(reports), value=first, label="Report", scale=8, min_width=280, elem_id="report")
        )
        refresh = gr.Button("Refresh", scale=1, min_width=120, elem_id="refresh")
    page = gr.HTML(_render_report(folder, first), elem_id="page")

    def list_again() -> tuple[dict, Markup]:
        reports = find_reports(folder)
        first = next(iter(reports), None)
        return gr.update(choices=_list_choices(reports), value=first), _render_report(folder, first)

    wire_silent_event(report.input, lambda name: _render_report(folder, name), [report], page)
    wire_silent_event(refresh.click, list_again, [], [report, page])


def _read_title(file: Path) -> str:
    with file.open(encoding="utf-8", errors="replace") as opened:
        match = re.search(r"<title>([^<]{1,300})</title>", opened.read(_TITLE_CHARACTERS), re.IGNORECASE)
    return Markup(match[1]).unescape().strip() if match else file.stem


def _list_choices(reports: dict[str, str]) -> list[tuple[str, str]]:
    return [(f"{title} · {name}", name) for name, title in reports.items()]


def _render_report(folder: Path, name: str | None) -> Markup:
    """Render a report in a frame in which no script runs, with a link to it."""
    if name is None:
        return HINT
    file = resolve_report(folder, name) if isinstance(name, str) else None
    with suppress(OSError):
        if file is not None:
            return Markup(
                '<p class="open"><b>{0}</b> <span>{1}</span> <a href="{2}" target="_blank" rel="noopener">Open in a '
                'new tab</a></p><iframe class="report" sandbox="allow-popups" src="{2}" title="{0}"></iframe>'
            ).format(_read_title(file), name, f"{ROUTE}/{quote(name)}")
    return render_card("wrong", "No such report", "Refresh the list: it may have been removed.")
