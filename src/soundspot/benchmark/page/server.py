"""The page of a project as a web server of this machine, behind the guard of `soundspot app`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from soundspot.app.limits import Limits
from soundspot.app.server import open_guarded
from soundspot.benchmark.page.media import add_media_routes
from soundspot.benchmark.project import Project


@contextmanager
def open_project_page(
    project: Project, host: str = "127.0.0.1", segmenter: str = "grabcut", limits: Limits | None = None
) -> Iterator[Any]:
    """Open the page of a project as an ASGI application.

    Args:
        project: the project.
        host: address that the page is served at.
        segmenter: name of the segmenter of masks.
        limits: limits of the page; None: the defaults.

    Yields:
        The ASGI application.

    Raises:
        InputError: Gradio is not installed.
    """

    def build(folder: Path) -> tuple[Any, str]:
        from soundspot.benchmark.page.layout import build_project_head, build_project_page

        return build_project_page(project, segmenter), build_project_head()

    with open_guarded(build, limits or Limits(), host, lambda app: add_media_routes(app, project)) as guard:
        yield guard
