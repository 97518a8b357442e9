"""What stands before the page's server: the addresses it needs alone, bodies of bounded size, nothing fetched.

Gradio fetches an address that is given in the place of a file, and has routes for other uses than this one.
"""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

from whence.app.limits import Limits
from whence.output import in_bytes

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


class TooLarge(Exception):
    """A body goes on beyond its limit."""


class Guard:
    """An ASGI application around another that refuses what the page does not need.

    Args:
        stored: the folder that uploads are put in.
        left: told of each visitor whose page was closed.
        hosts: names that the page may be called by; empty: any. A page elsewhere, whose name was made to lead to this
            machine, is refused by it.
    """

    def __init__(
        self,
        app: App,
        limits: Limits,
        stored: Path,
        left: Callable[[str], None],
        hosts: frozenset[str] = frozenset(),
    ) -> None:
        self.app, self.limits, self.stored, self.left, self.hosts = app, limits, stored, left, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        path, method = scope["path"], scope["method"]
        if refused := self._refused(path, method, headers):
            await _say(send, *refused)
            return
        if path.startswith(HEART):
            await self._beating(path.removeprefix(HEART), scope, receive, send)
            return
        most = self.limits.upload + QUESTION if path == UPLOAD else QUESTION
        if path == ASK:
            body = await _whole(receive, most)
            if body is None:
                await _say(send, 413, f"A question may have {in_bytes(most)}.")
                return
            if _foreign(body, self.stored):
                await _say(send, 400, "Files are uploaded here; none are read or fetched from elsewhere.")
                return
            receive = _again(body, receive)
        else:
            receive = _counted(receive, most)
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
        except TooLarge:
            if not begun:
                await _say(send, 413, self._too_large())

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

    def _refused(self, path: str, method: str, headers: dict[str, str]) -> tuple[int, str] | None:
        """Status and words where the request is not for this page."""
        host = headers.get("host", "").rsplit(":", 1)[0].strip("[]")
        if self.hosts and host not in self.hosts:
            return 421, f"This page is not called {host}. Start it with --host to open it to others."
        if not (path == "/" or path.startswith(READ) if method in ("GET", "HEAD") else path.rstrip("/") in WRITE):
            return 404, "There is nothing here."
        if path.startswith(FILE) and not _within(path.removeprefix(FILE), self.stored):
            return 403, "That file is not the page's to hand out."
        if path != UPLOAD:
            return None
        told = headers.get("content-length", "")
        if told.isdigit() and int(told) > self.limits.upload + QUESTION:
            return 413, self._too_large()
        if sum(_sizes(self.stored)) > self.limits.stored:
            return 507, "The page holds as many files as it may. They are put away in time: come again in half an hour."
        return None

    def _too_large(self) -> str:
        return (
            f"An upload may have {in_bytes(self.limits.upload)} here. Send less, ask by the command line, or start the "
            "page with a larger --max-upload."
        )


def _sizes(folder: Path) -> Iterator[int]:
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                yield (Path(place) / name).stat().st_size
            except OSError:  # put away meanwhile
                continue


def _foreign(body: bytes, stored: Path) -> bool:
    """Whether a question names a file that was not uploaded: an address, or another file of this machine."""

    def foreign(value: Any) -> bool:
        if isinstance(value, dict):
            path = value.get("path")
            return (isinstance(path, str) and not _within(path, stored)) or any(map(foreign, value.values()))
        return isinstance(value, list) and any(map(foreign, value))

    try:
        return foreign(json.loads(body))
    except (ValueError, RecursionError):
        return True


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


def _counted(receive: Receive, most: int) -> Receive:
    """Hands out a body until it has more than `most` bytes."""
    size = 0

    async def next_message() -> MutableMapping[str, Any]:
        nonlocal size
        message = await receive()
        size += len(message.get("body", b""))
        if size > most:
            raise TooLarge
        return message

    return next_message


async def _say(send: Send, status: int, text: str) -> None:
    content = json.dumps({"detail": text}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": content})
