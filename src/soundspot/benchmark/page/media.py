"""Images and sounds of a project as addresses of its page, and as HTML that shows them."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from soundspot.benchmark.project import Project
from soundspot.benchmark.records import ImageRecord
from soundspot.errors import DataError

ROUTE = "/project"


def add_media_routes(app: Any, project: Project) -> None:
    """Add the routes `/project/images/NUMBER` and `/project/audio/NUMBER` to a FastAPI application.

    Args:
        app: FastAPI application, changed in place.
        project: the project.
    """
    from starlette.responses import FileResponse, JSONResponse, Response

    async def serve(kind: str, number: int) -> Response:
        path = find_media(project, kind, number)
        if path is None:
            return JSONResponse({"detail": "There is no such file in the project."}, 404)
        media_type = "image/jpeg" if kind == "images" else "audio/flac"
        return FileResponse(path, media_type=media_type, headers={"cache-control": "private, max-age=3600"})

    app.get(ROUTE + "/{kind}/{number:int}")(serve)


def find_media(project: Project, kind: str, number: int) -> Path | None:
    """Find a file of a project by its number.

    Args:
        project: the project.
        kind: `images` or `audio`.
        number: number in the journal.

    Returns:
        Path of the file; None where there is none, or it is gone.
    """
    try:
        if kind == "images":
            file = project.journal.read_image(number).file
        elif kind == "audio":
            file = next((record.file for record in project.journal.read_audio("id = ?", (number,))), "")
        else:
            return None
    except (DataError, OverflowError):
        return None
    path = project.folder / file
    return path if file and path.is_file() else None


def render_image(record: ImageRecord, caption: str = "") -> Markup:
    """Render an image of the project.

    Args:
        record: the image.
        caption: text below it; empty: its categories.

    Returns:
        HTML of a figure.
    """
    template = Markup(
        '<figure class="project-image" data-image="{id}"><img src="{route}/images/{id}?{digest}" alt="{name}" '
        'width="{width}" height="{height}"><figcaption>{caption}</figcaption></figure>'
    )
    return template.format(
        id=record.id,
        route=ROUTE,
        digest=record.sha256[:8],
        name=Path(record.file).name,
        width=record.width,
        height=record.height,
        caption=caption or " and ".join(record.categories),
    )


def render_player(number: int, label: str) -> Markup:
    """Render a sound of the project with controls.

    Args:
        number: number of the sound in the journal.
        label: text above it.

    Returns:
        HTML of the player.
    """
    return Markup('<p class="sound"><b>{}</b><br><audio controls preload="none" src="{}/audio/{}"></audio></p>').format(
        label, ROUTE, number
    )
