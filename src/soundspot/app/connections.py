"""The connections of the page's server: slow clients are cut, and no client holds them all."""

import asyncio
import ipaddress
from collections.abc import Iterable
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from soundspot.app.limits import Limits

REFUSAL = b"Too many connections from one address. Close some pages, and come again."


def create_protocol(limits: Limits) -> type[H11Protocol]:
    """Create the class of uvicorn's connections that keeps to the limits of a page.

    A connection is cut when its request is late, its body comes too slowly, or nobody reads the answer. Of too many
    connections, of all or of one address, the one that has longest sent nothing of an unfinished request is cut; where
    each of an address is being answered, the newest gets status 429. Connections from this machine are not counted by
    address, as a server before the page has that one.

    Args:
        limits: limits of the page.

    Returns:
        A class for `uvicorn.Config(http=...)`.
    """

    class BoundedProtocol(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self.started = self.last_received = self.loop.time()
            self.num_received, self.request = 0, self.cycle
            self.paused_at: float | None = None
            self._schedule_check()
            limit_connections(self.connections, limits.max_connections, self)
            address = self.client[0] if self.client else ""
            own = [other for other in self.connections if (getattr(other, "client", None) or [""])[0] == address]
            if not _is_loopback(address) and not limit_connections(own, limits.max_client_connections, self):
                self.app = _refuse

        def data_received(self, data: bytes) -> None:
            self.last_received = self.loop.time()
            self.num_received += len(data)
            super().data_received(data)
            if self.cycle is not self.request:
                self.request, self.started, self.num_received = self.cycle, self.last_received, 0

        def on_response_complete(self) -> None:
            self.started = self.loop.time()
            super().on_response_complete()

        def pause_writing(self) -> None:
            self.paused_at = self.loop.time()
            super().pause_writing()

        def resume_writing(self) -> None:
            self.paused_at = None
            super().resume_writing()

        def connection_lost(self, exc: Exception | None) -> None:
            self.check.cancel()
            super().connection_lost(exc)

        @property
        def is_between_requests(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        @property
        def awaits_client(self) -> bool:
            return self.is_between_requests or self.cycle.more_body

        def _schedule_check(self) -> None:
            self.check = self.loop.call_later(limits.client_timeout / 4, self._cut_if_slow)

        def _cut_if_slow(self) -> None:
            now = self.loop.time()
            is_slow = self.paused_at is not None and now - self.paused_at > limits.client_timeout
            late = now - self.started - limits.client_timeout
            if self.is_between_requests:
                is_slow |= late > 0
            elif self.cycle.more_body and not self.flow.read_paused:
                is_slow |= self.num_received < late * limits.min_bytes_per_second
            if is_slow:
                self.transport.abort()
            else:
                self._schedule_check()

    return BoundedProtocol


def limit_connections(connections: Iterable[Any], max_connections: int, newest: Any) -> bool:
    """Cut the connection that has longest sent nothing of an unfinished request, where there are too many.

    Args:
        connections: connections of the class of `create_protocol`.
        max_connections: number that may be open.
        newest: connection among them that is not cut.

    Returns:
        False where there are too many, and all others are being answered.
    """
    open_connections = [connection for connection in connections if not connection.transport.is_closing()]
    if len(open_connections) <= max_connections:
        return True
    waiting = [connection for connection in open_connections if connection.awaits_client and connection is not newest]
    if waiting:
        min(waiting, key=lambda connection: connection.last_received).transport.abort()
    return bool(waiting)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:  # a socket of the file system
        return True


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(REFUSAL)), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 429, "headers": headers})
    await send({"type": "http.response.body", "body": REFUSAL})
