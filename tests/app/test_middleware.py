"""What stands before the page's server, and the folder behind it, without a server."""

import asyncio
import os
import time
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from soundspot.app.limits import Limits
from soundspot.app.middleware import UPLOAD, RequestGuard
from soundspot.app.uploads import UploadStore

NOW = time.time()


class Door:
    """A guard before an application that keeps what is uploaded, 100 bytes at most, and notes paths."""

    def __init__(self, folder: Path, together: int = 1) -> None:
        self.paths: list[str] = []
        self.folder, self.begun, self.together = folder, 0, together
        limits = Limits(max_upload_bytes=80, max_stored_bytes=100)
        self.store = UploadStore(folder, limits.max_stored_bytes, limits.retention_seconds)
        self.guard = RequestGuard(self._keep, limits, self.store, lambda visitor: None)

    async def _keep(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        self.paths.append(scope["path"])
        self.begun += 1
        name = str(self.begun)
        while self.begun < self.together:  # all have been let in before one is received
            await asyncio.sleep(0.001)
        with (self.folder / name).open("wb") as file:
            more = True
            while more:
                message = await receive()
                file.write(message.get("body", b""))
                file.flush()
                more = message.get("more_body", False)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def post(self, path: str = UPLOAD, size: int = 0, **headers: str) -> int:
        """The status of an answer to so many bytes, sent one by one."""
        said: list[Any] = []
        left = size

        async def receive() -> dict[str, Any]:
            nonlocal left
            left -= 1
            await asyncio.sleep(0)
            return {"type": "http.request", "body": b"x" if left >= 0 else b"", "more_body": left > 0}

        async def send(message: Any) -> None:
            said.append(message)

        named = [(key.replace("_", "-").encode(), value.encode()) for key, value in headers.items()]
        scope = {"type": "http", "path": path, "method": "POST", "headers": [(b"host", b"here:1"), *named]}
        await self.guard(scope, receive, send)
        return int(said[0]["status"])


def test_uploads_at_once_are_bounded_together(tmp_path: Path) -> None:
    door = Door(tmp_path, together=4)

    async def crowd() -> list[int]:
        return await asyncio.gather(*(door.post(size=60) for _ in range(4)))

    assert set(asyncio.run(crowd())) <= {200, 507}
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 100
    assert asyncio.run(door.post(size=60)) == 507
    assert asyncio.run(door.post(content_length="60")) == 507
    door.store.remove_expired(NOW + 9999)
    assert asyncio.run(door.post(size=60)) == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec_fetch_site": "same-origin", "origin": "http://proxied"}, 200),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),  # another port of this machine
        ({"origin": "http://here:1"}, 200),
        ({"origin": "http://here:2"}, 403),
        ({"origin": "http://elsewhere"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_another_web_site_may_not_write(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    door = Door(tmp_path)
    assert asyncio.run(door.post(**headers)) == status
    assert asyncio.run(door.post("/gradio_api/cancel", **headers)) == status


def test_a_path_is_the_same_for_the_guard_and_behind_it(tmp_path: Path) -> None:
    door = Door(tmp_path)
    assert asyncio.run(door.post(UPLOAD + "/", content_length="99999999")) == 413
    assert asyncio.run(door.post(UPLOAD + "//")) == 200
    assert door.paths == [UPLOAD]


def test_what_is_old_goes_and_what_is_used_or_the_pages_own_stays(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples/own.wav").write_bytes(bytes(5))
    store = UploadStore(tmp_path, 100, 60)
    (tmp_path / "sent").mkdir()
    for name in ("cut", "used"):
        (tmp_path / "sent" / name).write_bytes(bytes(10))
    (tmp_path / "empty").mkdir()
    later = os.stat(tmp_path / "sent/cut").st_ctime + 60.02
    time.sleep(0.05)
    store.touch(tmp_path / "sent/used")
    store.remove_expired(later)
    assert {path.name for path in tmp_path.rglob("*")} >= {"own.wav", "sent", "used"}
    assert not (tmp_path / "sent/cut").exists()
    store.remove_expired(later + 100)
    store.remove_expired(later + 100)
    assert {path.name for path in tmp_path.rglob("*")} == {"examples", "own.wav"}


def test_stopping_the_page_ends_what_is_being_worked_on(tmp_path: Path) -> None:
    door, told = Door(tmp_path), []
    door.guard.on_shutdown = lambda: told.append("ended")

    async def inside(scope: Any, receive: Any, send: Any) -> None:
        told.append((await receive())["type"])

    async def receive() -> dict[str, str]:
        return {"type": "lifespan.shutdown"}

    door.guard.app = inside
    asyncio.run(door.guard({"type": "lifespan"}, receive, None))
    assert told == ["ended", "lifespan.shutdown"]


def test_asking_for_a_file_elsewhere_does_not_touch_it(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    door = Door(tmp_path / "store")
    inside, outside, link = tmp_path / "store" / "in", tmp_path / "out", tmp_path / "store" / "link"
    for file in (inside, outside):
        file.write_bytes(b"x")
        os.utime(file, (1, 1))
    link.symlink_to(outside)
    for file in (inside, outside, link, "a\0b"):
        door.store.touch(Path(file))
    assert inside.stat().st_mtime > 1
    assert outside.stat().st_mtime == 1
