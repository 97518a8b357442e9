"""The connections of the page's server: slow clients, and many at once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

uvicorn = pytest.importorskip("uvicorn")

from soundspot.app import connections  # noqa: E402
from soundspot.app.limits import Limits  # noqa: E402
from soundspot.app.server import create_server, find_free_port  # noqa: E402

GET, STREAM = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n"
TIMEOUT = 0.1


async def page(scope: Any, receive: Any, send: Any) -> None:
    """Answers once it has the body; a stream begins and does not end."""
    if scope["type"] != "http":
        return
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"yes", "more_body": True})
    if scope["path"] == "/stream":
        await receive()  # until the client leaves
    await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[int]:
    port = find_free_port("127.0.0.1", 0)
    server = create_server(page, "127.0.0.1", port, Limits(client_timeout=TIMEOUT, **limits))
    server.config.timeout_graceful_shutdown = 0
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.005)
    yield port
    server.should_exit = server.force_exit = True
    await task


async def ask(port: int, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    return reader, writer


async def is_cut(reader: asyncio.StreamReader, seconds: float) -> bool:
    """Whether the server ends a connection without an answer within so many seconds."""
    try:
        return await asyncio.wait_for(reader.read(1), seconds) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


async def status(reader: asyncio.StreamReader) -> bytes:
    return (await asyncio.wait_for(reader.readline(), 5)).split()[1]


async def close(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.close()


def test_slow_clients_are_cut_and_others_are_not() -> None:
    async def run() -> None:
        async with serving(min_bytes_per_second=50) as port:
            slow = [await ask(port, request) for request in (b"", b"GET / HT", POST)]
            stream, stream_writer = await ask(port, STREAM)
            steady, steady_writer = await ask(port, POST)
            for _ in range(10):  # a body that takes three times as long, but comes
                steady_writer.write(b"x" * 10)
                await asyncio.sleep(TIMEOUT / 3)
            assert await status(steady) == b"200"
            assert all([await is_cut(reader, 1) for reader, _ in slow])
            assert await status(stream) == b"200"
            while b"yes" not in await stream.readline():
                pass
            assert not await is_cut(stream, 0.01)
            await close(stream_writer, steady_writer, *(writer for _, writer in slow))

    asyncio.run(run())


def test_somebody_is_served_while_more_slow_clients_are_there_than_may_be() -> None:
    async def run() -> None:
        async with serving(max_connections=3) as port:
            slow = [await ask(port, request) for request in (b"G", POST, b"G", POST, b"G")]
            reader, writer = await ask(port, GET)
            assert await status(reader) == b"200"
            await close(writer, *(writer for _, writer in slow))

    asyncio.run(run())


def test_one_address_cannot_hold_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[bytes]:
        async with serving(max_client_connections=2) as port:
            asked = [await ask(port, STREAM) for _ in range(3)]
            statuses = [await status(reader) for reader, _ in asked]
            await close(*(writer for _, writer in asked))
            return statuses

    assert asyncio.run(run()) == [b"200"] * 3  # this machine's own are not counted
    monkeypatch.setattr(connections, "_is_loopback", lambda address: False)
    assert asyncio.run(run()) == [b"200", b"200", b"429"]
