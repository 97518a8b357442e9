"""What stands before the page's server: the addresses it needs alone, bodies of bounded size, nothing fetched.

Gradio fetches an address that is given in the place of a file, and has routes for other uses than this one.
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

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

UPLOAD, ASK, FILE = "/gradio_api/upload", "/gradio_api/queue/join", "/gradio_api/file="
HEART = "/gradio_api/heartbeat/"
READ = (
    "/assets/", "/static/", "/svelte/", "/reports/", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json",
    "/config", FILE, HEART, "/gradio_api/queue/data", "/gradio_api/upload_progress",
    "/gradio_api/app_id", "/gradio_api/theme.css", "/gradio_api/startup-events", "/pwa_icon",
)  # fmt: skip
WRITE = (UPLOAD, ASK, "/gradio_api/cancel", "/gradio_api/reset")
QUESTION = 1_000_000  # bytes of a question: names of files and numbers
FULL = (507, "The page holds as many files as it may. They are put away in time: come again in half an hour.")
POLICY = (
    "default-src 'self'; script-src 'self' blob: 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; media-src 'self' data: blob:; connect-src 'self' data: blob:; font-src 'self' data:; "
    "worker-src 'self' blob:; frame-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'self'"
)  # Gradio compiles templates in the browser, hence eval
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "permissions-policy": "camera=(self), microphone=(self), geolocation=()",
}


class BodyTooLargeError(Exception):
    """A body goes on beyond its limit."""


class StorageFullError(Exception):
    """A body goes on beyond what the page can still hold."""


class RequestGuard:
    """An ASGI application around another that refuses what the page does not need.

    Args:
        store: the folder that uploads are put in.
        left: told of each visitor whose page was closed. ended: called when the page is being stopped.
        hosts: names that the page may be called by; empty: any. A page elsewhere, whose name was made to lead to this
            machine, is refused by it.
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
        self.app, self.limits, self.store, self.left, self.hosts = app, limits, store, on_leave, hosts
        self.ended = on_shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, self._until_ended(receive), send)
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        path, method = scope["path"].rstrip("/") or "/", scope["method"]
        scope = {**scope, "path": path}
        refused = self._refused(path, method, headers)
        if refused is None and path == UPLOAD:
            refused = await self._no_room(headers)
        if refused is not None:
            await _say(send, *refused)
            return
        if path.startswith(HEART):
            await self._beating(path.removeprefix(HEART), scope, receive, send)
            return
        if path == ASK:
            body = await _whole(receive, QUESTION)
            if body is None:
                await _say(send, 413, f"A question may have {format_bytes(QUESTION)}.")
                return
            files = _uploaded_files(body, self.store.folder)
            if files is None:
                await _say(send, 400, "Files are uploaded here; none are read or fetched from elsewhere.")
                return
            for file in files:
                self.store.touch(file)
            receive = _again(body, receive)
        elif path == UPLOAD:
            receive = _counted(receive, self.limits.max_upload_bytes + QUESTION, self.store)
        else:
            receive = _counted(receive, QUESTION)
            if path.startswith(FILE):
                self.store.touch(Path(path.removeprefix(FILE)))
        begun = False

        async def protected(message: MutableMapping[str, Any]) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                own = {key.lower() for key, _ in message["headers"]}
                added = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in own]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        try:
            await self.app(scope, receive, protected)
        except (BodyTooLargeError, StorageFullError) as error:
            if not begun:
                await _say(send, *(self._too_large() if isinstance(error, BodyTooLargeError) else FULL))

    async def _beating(self, visitor: str, scope: Scope, receive: Receive, send: Send) -> None:
        """The stream that an open page holds; the visitor has left as soon as it is cut, which Gradio learns late."""

        async def cut() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        tasks = [asyncio.ensure_future(self.app(scope, receive, send)), asyncio.ensure_future(cut())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.left(visitor)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _until_ended(self, receive: Receive) -> Receive:
        async def received() -> MutableMapping[str, Any]:
            message = await receive()
            if message["type"] == "lifespan.shutdown":
                self.ended()
            return message

        return received

    def _refused(self, path: str, method: str, headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and words where the request is not for this page."""
        host = headers.get("host", "").rsplit(":", 1)[0].strip("[]")
        if self.hosts and host not in self.hosts:
            return 421, f"This page is not called {host}. Start it with --host to open it to others."
        if not (path == "/" or path.startswith(READ) if method in ("GET", "HEAD") else path in WRITE):
            return 404, "There is nothing here."
        if method not in ("GET", "HEAD") and not _from_here(headers):
            return 403, "Another web site asks this page to do something. Open the page itself."
        if path.startswith(FILE) and not _within(path.removeprefix(FILE), self.store.folder):
            return 403, "That file is not the page's to hand out."
        return None

    async def _no_room(self, headers: dict[str, str]) -> tuple[int, str] | None:
        """The same of an upload, by the length that it tells."""
        told = headers.get("content-length", "")
        size = int(told) if told.isdigit() else 0
        if size > self.limits.max_upload_bytes + QUESTION:
            return self._too_large()
        await asyncio.to_thread(self.store.remove_expired)
        return FULL if self.store.stored_bytes + size > self.store.max_bytes else None

    def _too_large(self) -> tuple[int, str]:
        return 413, (
            f"An upload may have {format_bytes(self.limits.max_upload_bytes)} here. Send less, ask by the command line, or start the "
            "page with a larger --max-upload."
        )


def _from_here(headers: dict[str, str]) -> bool:
    """Whether no page but this one can have sent the request: by what browsers say of it, and others do not send."""
    if site := headers.get("sec-fetch-site"):
        return site in ("same-origin", "none")
    return "origin" not in headers or urlsplit(headers["origin"]).netloc == headers.get("host")


def _uploaded_files(body: bytes, stored: Path) -> list[Path] | None:
    """The files that a question names; None where one was not uploaded: an address, or another file of this machine."""

    def named(value: Any) -> Iterator[Path | None]:
        if isinstance(value, dict):
            if isinstance(path := value.get("path"), str):
                yield Path(path) if _within(path, stored) else None
            value = list(value.values())
        for inner in value if isinstance(value, list) else ():
            yield from named(inner)

    try:
        found = list(named(json.loads(body)))
    except (ValueError, RecursionError):
        return None
    return [file for file in found if file] if None not in found else None


def _within(name: str, folder: Path) -> bool:
    """Whether that is the name of a file in a folder, links followed."""
    try:
        return Path(name).resolve().is_relative_to(folder.resolve())
    except (ValueError, OSError, RuntimeError):
        return False


async def _whole(receive: Receive, most: int) -> bytes | None:
    """The body of a request; None where it has more than `most` bytes."""
    parts, size, more = [], 0, True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body", False)
        if size > most:
            return None
    return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """Hands out a body that was read already, and then what comes after it."""
    given = False

    async def next_message() -> MutableMapping[str, Any]:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


def _counted(receive: Receive, most: int, store: UploadStore | None = None) -> Receive:
    """Hands out a body until it has more than `most` bytes, or the store that it goes into is full."""
    size = 0

    async def next_message() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        came = len(message.get("body", b""))
        size += came
        if size > most:
            raise BodyTooLargeError
        if store is not None:
            store.record_received(came)
            if store.stored_bytes > store.max_bytes:
                raise StorageFullError
        return message

    return next_message


async def _say(send: Send, status: int, text: str) -> None:
    content = json.dumps({"detail": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": content})
