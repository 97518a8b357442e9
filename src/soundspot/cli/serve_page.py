"""The server of a page, as the commands start it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from soundspot.app.limits import Limits


def serve_page(open_page: Callable[[], AbstractContextManager[Any]], host: str, port: int, limits: "Limits") -> None:
    """Serve a page until a signal ends it, and print its address once it answers there.

    Args:
        open_page: function that opens the page as an ASGI application.
        host: address to listen at.
        port: number to listen at; 0 takes a free one.
        limits: limits of the page.

    Raises:
        InputError: the port is taken, or this machine has no such address.
    """
    from soundspot.app.server import create_server, exit_on_signals, find_free_port

    check_signals = exit_on_signals()
    port = find_free_port(host, port)
    text = f"the page is at http://{host}:{port} (control-C ends it)"
    with open_page() as application:
        server = create_server(application, host, port, limits, lambda: print(text, flush=True))
        check_signals()
        server.run()
