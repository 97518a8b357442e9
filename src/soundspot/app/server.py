"""The page as a web server of this machine: built, guarded, and run. Nothing leaves the machine."""

import os
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from soundspot.app.clip_route import add_clip_route
from soundspot.app.examples import make_examples
from soundspot.app.limits import Limits
from soundspot.app.middleware import RequestGuard
from soundspot.app.reports import add_report_route
from soundspot.app.sessions import SessionStore
from soundspot.app.uploads import UploadStore
from soundspot.errors import DataError, InputError
from soundspot.inference.localizer import Localizer
from soundspot.review.media import ClipCutter
from soundspot.review.review import Review

LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True)
class PageConfig:
    """A model, and the folders that the page may show.

    Attributes:
        localizer: localizer of the model.
        index: folder of `soundspot search index`; None: no search.
        reports: folder with reports in it; None: no reports.
        limits: limits of the page.
        results: folder of results to check; None: none.
    """

    localizer: Localizer
    index: Path | None = None
    reports: Path | None = None
    limits: Limits = field(default_factory=Limits)
    results: Path | None = None


@contextmanager
def open_app(page: PageConfig, host: str = "127.0.0.1") -> Iterator[Any]:
    """Open the page as an ASGI application; the folder of its visitors' files is deleted at the end of the block.

    Args:
        page: model, folders and limits.
        host: address that the page is served at; a local address refuses requests by any other name of this machine.

    Yields:
        The ASGI application, a `RequestGuard`.

    Raises:
        InputError: Gradio is not installed.
        DataError: a folder does not exist, or the index or the results are damaged.
        CheckpointError: the index was made by another model.
    """
    for folder, option in ((page.reports, "--reports"), (page.index, "--index")):
        if folder is not None and not folder.is_dir():
            raise DataError(f"{option}: found no folder {folder}. Name another, or leave the option out.")
    sessions = SessionStore(page.localizer, page.limits)
    cutter = None if page.results is None else ClipCutter(Review(page.results))

    def build(folder: Path) -> Any:
        from soundspot.app.layout import build_head, build_page

        examples = make_examples(page.localizer, folder / "examples")
        return build_page(sessions, examples, page.index, page.reports, cutter), build_head()

    def add_routes(app: Any) -> None:
        add_report_route(app, page.reports)
        if cutter is not None:
            add_clip_route(app, cutter)

    with open_guarded(build, page.limits, host, add_routes, sessions.end_session, sessions.close) as guard:
        yield guard


@contextmanager
def open_check_page(review: Review, host: str = "127.0.0.1", limits: Limits | None = None) -> Iterator[Any]:
    """Open a page on which the clips of a review are checked as an ASGI application.

    Args:
        review: the review.
        host: address that the page is served at.
        limits: limits of the page; None: the defaults.

    Yields:
        The ASGI application, a `RequestGuard`.

    Raises:
        InputError: Gradio is not installed.
    """
    cutter = ClipCutter(review)

    def build(folder: Path) -> Any:
        from soundspot.app.layout import build_check_page, build_head

        return build_check_page(cutter), build_head()

    with open_guarded(build, limits or Limits(), host, lambda app: add_clip_route(app, cutter)) as guard:
        yield guard


@contextmanager
def open_guarded(
    build: Callable[[Path], tuple[Any, str]],
    limits: Limits,
    host: str,
    add_routes: Callable[[Any], None],
    on_leave: Callable[[str], None] = lambda session: None,
    on_shutdown: Callable[[], None] = lambda: None,
) -> Iterator[Any]:
    """Open a page of Gradio as an ASGI application behind the guard; its folder is deleted at the end of the block.

    Args:
        build: function that takes the folder of the page's files, and returns Gradio blocks and HTML for their head.
        limits: limits of the page.
        host: address that the page is served at; a local address refuses requests by any other name of this machine.
        add_routes: function that adds routes to the FastAPI application; the guard must know them.
        on_leave: function that is called with the session key of a visitor whose page was closed.
        on_shutdown: function that is called when the page is being stopped.

    Yields:
        The ASGI application, a `RequestGuard`.

    Raises:
        InputError: Gradio is not installed.
    """
    with tempfile.TemporaryDirectory(prefix="soundspot-app-") as name, _gradio_settings(name):
        folder = Path(name)
        try:
            import gradio as gr
        except ImportError as error:
            raise InputError(
                'the page needs Gradio, which is not installed. Install it: pip install "soundspot[app]"'
            ) from error
        from fastapi import FastAPI

        from soundspot.app.layout import CSS, build_theme

        blocks, head = build(folder)
        blocks.queue(max_size=limits.max_queue, api_open=False, default_concurrency_limit=1)
        blocks.state_session_capacity = limits.max_sessions
        app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        add_routes(app)
        app = gr.mount_gradio_app(
            app,
            blocks,
            path="/",
            server_name=host,
            footer_links=[],
            run_history=False,
            show_error=False,
            max_file_size=limits.max_upload_bytes,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            theme=build_theme(),
            css=CSS,
            head=head,
        )
        store = UploadStore(folder, limits.max_stored_bytes, limits.retention_seconds)
        hosts = LOCAL_HOSTS if host in LOCAL_HOSTS else frozenset()
        with store.background_cleanup():
            yield RequestGuard(app, limits, store, on_leave, hosts, on_shutdown)


def create_server(app: Any, host: str, port: int, limits: Limits, on_start: Callable[[], None] = lambda: None) -> Any:
    """Create a uvicorn server of an ASGI application, not yet running.

    Args:
        app: ASGI application.
        host: address to listen at.
        port: port to listen at.
        limits: limits of the page, which hold for its connections too.
        on_start: function that is called as soon as the server answers.

    Returns:
        A `uvicorn.Server`.
    """
    import uvicorn

    from soundspot.app.connections import create_protocol

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            on_start()

    config = uvicorn.Config(
        app,
        host,
        port,
        log_level="warning",
        timeout_graceful_shutdown=2,
        limit_concurrency=limits.max_connections + 1,
        http=create_protocol(limits),
    )
    return Server(config)


def exit_on_signals() -> Callable[[], None]:
    """Let the signals that end a process raise SystemExit, so that the files of visitors are deleted first.

    Returns:
        Function that raises the SystemExit of an earlier signal again, which Python drops where it interrupts a
        destructor, and libraries where they catch everything.
    """
    received: list[int] = []

    def leave(number: int, frame: Any) -> None:
        received.append(number)
        raise SystemExit(128 + number)

    def check() -> None:
        if received:
            raise SystemExit(128 + received[0])

    for name in ("SIGTERM", "SIGHUP"):
        if number := getattr(signal, name, None):
            signal.signal(number, leave)
    return check


def find_free_port(host: str, port: int) -> int:
    """Return a port that a server can listen at; it is released again.

    Args:
        host: IPv4 or IPv6 address, or name of this machine.
        port: desired port; 0: any free port.

    Returns:
        `port`, or a free port where that is 0.

    Raises:
        InputError: the port is taken, or this machine has no such address.
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


@contextmanager
def _gradio_settings(folder: str) -> Iterator[None]:
    """Set Gradio's environment: files in a folder of ours, and no telemetry."""
    settings = {
        "GRADIO_TEMP_DIR": folder,
        "GRADIO_ANALYTICS_ENABLED": "False",
        "GRADIO_SHARE": "False",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_OFFLINE": "1",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None) if value is None else os.environ.update({name: value})
