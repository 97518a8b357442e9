"""The page as a web server of this machine: built, guarded, and run. Nothing leaves it."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from soundspot.app.examples import Example, compose_examples, find_examples
from soundspot.app.limits import Limits
from soundspot.app.middleware import RequestGuard
from soundspot.app.sessions import SessionStore
from soundspot.app.uploads import UploadStore
from soundspot.errors import DataError, InputError
from soundspot.inference.localizer import Localizer

LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class PageConfig:
    """What the page is made of: a model, and folders it may show.

    Attributes:
        checkpoint: what it was loaded from; examples beside it are offered.
        index: a folder of `soundspot search index`.
        reports: a folder with reports in it.
    """

    localizer: Localizer
    checkpoint: str = ""
    index: Path | None = None
    reports: Path | None = None
    limits: Limits = field(default_factory=Limits)


@contextmanager
def open_app(page: PageConfig, host: str = "127.0.0.1") -> Iterator[Any]:
    """The page as an ASGI application; what visitors send lies in a folder that is gone at the end.

    Raises:
        InputError: Gradio is not installed. DataError: a folder is not there.
    """
    for folder, option in ((page.reports, "--reports"), (page.index, "--index")):
        if folder is not None and not folder.is_dir():
            raise DataError(f"{option}: there is no folder {folder}. Give one that is there, or leave the option out.")
    with tempfile.TemporaryDirectory(prefix="soundspot-app-") as made, _settings(made):
        stored, gr = Path(made), _gradio()
        from fastapi import FastAPI

        from soundspot.app.layout import build_page
        from soundspot.app.theme import CSS, build_theme

        desk = SessionStore(page.localizer, page.limits)
        blocks = build_page(desk, page, _examples(page, stored / "examples"))
        blocks.queue(max_size=page.limits.max_queue, api_open=False, default_concurrency_limit=1)
        blocks.state_session_capacity = page.limits.max_sessions
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        _serve_reports(app, page.reports)
        app = gr.mount_gradio_app(
            app,
            blocks,
            path="/",
            server_name=host,
            footer_links=[],
            run_history=False,
            show_error=False,
            max_file_size=page.limits.max_upload_bytes,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            theme=build_theme(),
            css=CSS,
        )
        store = UploadStore(stored, page.limits.max_stored_bytes, page.limits.retention_seconds)
        with store.background_cleanup():
            yield RequestGuard(
                app, page.limits, store, desk.end_session, LOCAL if host in LOCAL else frozenset(), desk.close
            )


def serve(page: PageConfig, host: str = "127.0.0.1", port: int = 7860) -> None:
    """Run the page until it is stopped (control-C)."""
    with open_app(page, host) as app:
        create_server(app, host, port).run()


def create_server(app: Any, host: str, port: int) -> Any:
    """A uvicorn server of the application, not yet running."""
    import uvicorn

    config = uvicorn.Config(app, host, port, log_level="warning", timeout_graceful_shutdown=2, limit_concurrency=256)
    return uvicorn.Server(config)


def find_free_port(host: str, port: int) -> int:
    """`port`, or a free one where that is 0.

    Raises:
        InputError: something listens there already, or this machine has no such address.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as error:
            raise InputError(
                f"cannot listen at {host}:{port} ({error}). Give another --port, such as 0 for a free one, or --host."
            ) from error
        return int(probe.getsockname()[1])


def _gradio() -> Any:
    try:
        import gradio
    except ImportError as error:
        raise InputError(
            'the page needs Gradio, which is not installed. Install it: pip install "soundspot[app]"'
        ) from error
    return gradio


@contextmanager
def _settings(folder: str) -> Iterator[None]:
    """Gradio's settings: its files in a folder of ours, and no word to anybody."""
    wanted = {
        "GRADIO_TEMP_DIR": folder,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_SHARE": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def _examples(page: PageConfig, folder: Path) -> list[Example]:
    """Examples as files that the page may hand out: copies."""
    near = find_examples(Path(page.checkpoint)) if page.checkpoint else []
    copied = []
    for number, example in enumerate(near):
        place = folder / f"near{number}"
        place.mkdir(parents=True)
        picture, *sounds = (shutil.copy(file, place) for file in (example.image, *example.audios))
        copied.append(replace(example, image=str(picture), audios=tuple(map(str, sounds))))
    return copied + compose_examples(page.localizer.method.front_end, folder)


def _serve_reports(app: Any, folder: Path | None) -> None:
    from starlette.responses import FileResponse, JSONResponse, Response

    from soundspot.app import reports

    async def report(name: str) -> Response:
        file = reports.resolve_report(folder, name) if folder is not None else None
        if file is None:
            return JSONResponse({"detail": "There is no such report."}, 404)
        return FileResponse(
            file,
            media_type=reports.MEDIA_TYPES[file.suffix.lower()],
            headers={"content-security-policy": reports.POLICY, "cache-control": "no-cache"},
        )

    app.get(reports.ROUTE + "/{name:path}")(report)
