"""A page on this machine that shows pictures as they come: `http://127.0.0.1:PORT`."""

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

from soundspot.errors import OutputError

HOSTS = ("127.0.0.1", "localhost")  # a name elsewhere that leads to this machine is not let in
_PAGE = b"""<!doctype html><meta charset=utf-8><title>soundspot live</title>
<style>body{margin:0;background:#121218;color:#ddd;font:15px system-ui;text-align:center}
img{max-width:100%;max-height:90vh;display:block;margin:auto}p{margin:.6em}</style>
<img src=/pictures alt="the camera's picture under the heat of what is heard"><p id=told role=status>...</p>
<script>setInterval(async()=>{told.textContent=await (await fetch('/told')).text()},500)</script>"""


class MjpegServer:
    """Serves the page while the `with` block runs; nobody but this machine is let in.

    Args:
        port: 0 takes one that is free.

    Attributes:
        address: of the page.

    Raises:
        OutputError: the port is taken.
    """

    def __init__(self, port: int = 0) -> None:
        self._changed = threading.Condition()
        self._picture, self._count, self._over = b"", 0, False
        self.status = ""
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        except OSError as error:
            raise OutputError(
                f"port {port} cannot be listened on ({error.strerror}). Give another with --port"
            ) from error
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "MjpegServer":
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._over = True
            self._changed.notify_all()
        self._server.shutdown()
        self._server.server_close()

    def update(self, image: Image.Image, status: str) -> None:
        """Put a picture on the page, and a line below it."""
        content = io.BytesIO()
        image.save(content, "JPEG", quality=85)
        with self._changed:
            self._picture, self._count, self.status = content.getvalue(), self._count + 1, status
            self._changed.notify_all()

    def iter_jpegs(self) -> Iterator[bytes]:
        """Each picture as it comes; one who is slow misses some."""
        seen = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._over or self._count > seen)  # noqa: B023 (waited for at once)
                if self._over:
                    return
                seen, picture = self._count, self._picture
            yield picture

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        page = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.headers.get("Host", "").rpartition(":")[0] not in HOSTS:
                    self.send_error(403)
                elif self.path == "/pictures":
                    self._begin("multipart/x-mixed-replace; boundary=next")
                    try:
                        for picture in page.iter_jpegs():
                            self.wfile.write(b"--next\r\nContent-Type: image/jpeg\r\n")
                            self.wfile.write(b"Content-Length: %d\r\n\r\n%b\r\n" % (len(picture), picture))
                    except OSError:
                        pass  # the reader went away
                elif self.path in ("/", "/told"):
                    self._begin("text/html" if self.path == "/" else "text/plain; charset=utf-8")
                    self.wfile.write(_PAGE if self.path == "/" else page.status.encode())
                else:
                    self.send_error(404)

            def _begin(self, kind: str) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Cache-Control", "no-store")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler
