"""The middleware before the page's server: only the addresses it needs, bodies of bounded size, nothing fetched.

Gradio fetches a URL that is given in place of a file, and has routes for other uses than this one.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from soundspot.app.limits import Limits
from soundspot.app.uploads import UploadStore
from soundspot.utils.atomic_io import format_bytes

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

UPLOAD, JOIN, FILE = "/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/file="
HEARTBEAT = "/gradio_api/heartbeat/"
READABLE = (
    "/assets/", "/static/", "/svelte/", "/reports/", "/project/", "/clips/", "/theme.css", "/favicon.ico",
    "/robots.txt", "/manifest.json", "/config", FILE, HEARTBEAT, "/gradio_api/queue/data",
    "/gradio_api/upload_progress",
    "/gradio_api/app_id", "/gradio_api/theme.css", "/gradio_api/startup-events", "/pwa_icon",
)  # fmt: skip
WRITABLE = (UPLOAD, JOIN, "/gradio_api/cancel", "/gradio_api/reset")
MAX_REQUEST_BYTES = 1_000_000  # of a request without files: names and numbers
POLICY = (
    "default-src 'self'; script-src 'self' blob: 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src 'self' data: blob:; font-src 'self' data:; "
    "worker-src 'self' blob:; frame-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)  # Gradio compiles templates in the browser, hence eval
HEADERS = {
    b"content-security-policy": POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"permissions-policy": b"camera=(), microphone=(self), geolocation=()",
}


class RequestRefusedError(Exception):
    """A request that the page refuses.

    Args:
        status: HTTP status of the response.
        message: sentence for the visitor.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class RequestGuard:
    """An ASGI application around another that refuses what the page does not need.

    Refused requests get a JSON body and status 400 (foreign file), 403 (another site), 404 (unknown address), 413 (too
    large), 421 (wrong host) or 507 (no room).

    Args:
        app: ASGI application of the page.
        limits: limits of the page.
        store: folder that uploads are written into.
        on_leave: function that is called with the session key of a visitor whose page was closed.
        hosts: names that the page may be called by; empty: any. A site elsewhere whose name was made to resolve to this
            machine is refused by it.
        on_shutdown: function that is called when the page is being stopped.
    """

    def __init__(
        self,
        app: App,
        limits: Limits,
        store: UploadStore,
        on_leave: Callable[[str], None],
        hosts: frozenset[str] = frozenset(),
        on_shutdown: Callable[[], None] = lambda: None,
    ) -> None:
        self.app, self.limits, self.store, self.hosts = app, limits, store, hosts
        self.on_leave, self.on_shutdown = on_leave, on_shutdown

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one connection of the ASGI server: pass the request on, or answer it with the status of its refusal.

        Args:
            scope: ASGI scope of the connection; only the types `http` and `lifespan` are served.
            receive: ASGI callable that awaits the next message of the client.
            send: ASGI callable that sends a message to the client; security headers are added to each response.
        """
        if scope["type"] == "lifespan":
            await self.app(scope, self._watch_shutdown(receive), send)
        if scope["type"] != "http":
            return
        is_started = False

        async def send_protected(message: Message) -> None:
            nonlocal is_started
            if message["type"] == "http.response.start":
                is_started = True
                own = {key.lower() for key, _ in message["headers"]}
                added = [(key, value) for key, value in HEADERS.items() if key not in own]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        try:
            await self._handle({**scope, "path": scope["path"].rstrip("/") or "/"}, receive, send_protected)
        except RequestRefusedError as error:
            if not is_started:
                content = json.dumps({"detail": str(error)}).encode()
                length = (b"content-length", str(len(content)).encode())
                headers = [(b"content-type", b"application/json"), length, (b"connection", b"close")]
                await send({"type": "http.response.start", "status": error.status, "headers": headers})
                await send({"type": "http.response.body", "body": content})

    async def _handle(self, scope: Message, receive: Receive, send: Send) -> None:
        path = scope["path"]
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        self._check_request(path, scope["method"], headers)
        if path == UPLOAD:
            length = headers.get("content-length", "")
            self._check_upload_size(int(length) if length.isdigit() else 0)
            await asyncio.to_thread(self.store.remove_expired)
            self._check_room(int(length) if length.isdigit() else 0)
            receive = self._count_upload(receive)
        elif path.startswith(HEARTBEAT):
            await self._serve_heartbeat(path.removeprefix(HEARTBEAT), scope, receive, send)
            return
        elif scope["method"] not in ("GET", "HEAD"):
            body = await _read_body(receive)
            for file in _uploaded_files(body, self.store.folder) if path == JOIN else ():
                self.store.touch(file)
            receive = _replay(body, receive)
        elif path.startswith(FILE):
            self.store.touch(Path(path.removeprefix(FILE)))
        await self.app(scope, receive, send)

    async def _serve_heartbeat(self, session: str, scope: Message, receive: Receive, send: Send) -> None:
        """Serve the stream that an open page holds; the visitor has left when it is cut, which Gradio learns late."""

        async def wait_for_disconnect() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        tasks = [asyncio.ensure_future(self.app(scope, receive, send)), asyncio.ensure_future(wait_for_disconnect())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.on_leave(session)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _watch_shutdown(self, receive: Receive) -> Receive:
        async def receive_watched() -> Message:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self.on_shutdown()
            return message

        return receive_watched

    def _check_request(self, path: str, method: str, headers: dict[str, str]) -> None:
        """Raise RequestRefusedError where the request is not for this page."""
        host = headers.get("host", "").rsplit(":", 1)[0].strip("[]")
        is_read = method in ("GET", "HEAD")
        if self.hosts and host not in self.hosts:
            raise RequestRefusedError(
                421, f"This page is not called {host}. Start it with --host to open it to others."
            )
        if not (path == "/" or path.startswith(READABLE) if is_read else path in WRITABLE):
            raise RequestRefusedError(404, "There is nothing here.")
        if not is_read and not _is_same_origin(headers):
            raise RequestRefusedError(403, "Another web site makes this request. Open the page itself.")
        if path.startswith(FILE) and not _is_within(path.removeprefix(FILE), self.store.folder):
            raise RequestRefusedError(403, "That file is not the page's to serve.")

    def _check_upload_size(self, num_bytes: int) -> None:
        if num_bytes > self.limits.max_upload_bytes + MAX_REQUEST_BYTES:
            raise RequestRefusedError(
                413,
                f"An upload may have {format_bytes(self.limits.max_upload_bytes)} here. Send less, use the command "
                "line, or start the page with a larger --max-upload.",
            )

    def _check_room(self, num_bytes: int = 0) -> None:
        if self.store.stored_bytes + num_bytes > self.store.max_bytes:
            raise RequestRefusedError(
                507, "The page holds as many files as it may. They are deleted in time: come again in half an hour."
            )

    def _count_upload(self, receive: Receive) -> Receive:
        """Return a `receive` that refuses the rest of a body that is too large, or when the store is full."""
        num_bytes = 0

        async def receive_counted() -> Message:
            nonlocal num_bytes
            message = await receive()
            received = len(message.get("body", b""))
            num_bytes += received
            self._check_upload_size(num_bytes)
            self.store.record_received(received)
            self._check_room()
            return message

        return receive_counted


def _is_same_origin(headers: dict[str, str]) -> bool:
    """Return True where no other site can have made the request, by what browsers tell of it."""
    if site := headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    return "origin" not in headers or urlsplit(headers["origin"]).netloc == headers.get("host")


def _uploaded_files(body: bytes, folder: Path) -> list[Path]:
    """Return the files that a request names; RequestRefusedError where one was not uploaded into the folder."""

    def iter_paths(value: Any) -> Iterator[str]:
        if isinstance(value, dict):
            if isinstance(path := value.get("path"), str):
                yield path
            value = list(value.values())
        for item in value if isinstance(value, list) else ():
            yield from iter_paths(item)

    try:
        paths = list(iter_paths(json.loads(body)))
    except (ValueError, RecursionError):
        paths = [""]
    if not all(path and _is_within(path, folder) for path in paths):
        raise RequestRefusedError(400, "Files are uploaded here; none are read or fetched from elsewhere.")
    return [Path(path) for path in paths]


def _is_within(name: str, folder: Path) -> bool:
    """Return True where a path lies in a folder, links followed."""
    try:
        return Path(name).resolve().is_relative_to(folder.resolve())
    except (ValueError, OSError, RuntimeError):
        return False


async def _read_body(receive: Receive) -> bytes:
    """Read the body of a request; RequestRefusedError where it is too large."""
    body, has_more = b"", True
    while has_more:
        message = await receive()
        body += message.get("body", b"")
        has_more = message.get("more_body", False)
        if len(body) > MAX_REQUEST_BYTES:
            raise RequestRefusedError(413, f"A request may have {format_bytes(MAX_REQUEST_BYTES)}.")
    return body


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a `receive` that gives a body that was read already, and then what comes after it."""
    messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_replayed() -> Message:
        return messages.pop() if messages else await receive()

    return receive_replayed
