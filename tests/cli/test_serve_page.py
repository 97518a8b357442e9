"""The address of a page, which is printed where the page answers."""

import builtins
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from soundspot.app.limits import Limits
from soundspot.cli.serve_page import serve_page

pytest.importorskip("uvicorn", reason="the extra app is absent")


@contextmanager
def open_empty_page() -> Iterator[object]:
    async def page(scope: object, receive: object, send: object) -> None:
        pass

    yield page


def test_the_address_is_printed_once_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    printed = []

    def connect(text: str, flush: bool) -> None:
        address = re.search(r"http://([\w.]+):(\d+)", text)
        assert address is not None
        socket.create_connection((address[1], int(address[2])), timeout=5).close()
        printed.append(text)
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(builtins, "print", connect)
    try:
        with pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)):
            serve_page(open_empty_page, "127.0.0.1", 0, Limits())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert len(printed) == 1
