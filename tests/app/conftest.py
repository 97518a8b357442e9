"""A page to visit: a tiny model behind the real server, in a thread of this process, that must reach nobody."""

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image

from clips import write_video
from soundspot.app.examples import make_examples
from soundspot.app.limits import Limits
from soundspot.app.server import PageConfig, create_server, find_free_port, open_app
from soundspot.app.uploads import UploadStore
from soundspot.examples import example_path
from soundspot.inference.localizer import Localizer
from soundspot.scenes.video_scene import VideoScene
from soundspot.search import Index
from visitor import NAUGHTY, Files, Served, fresh, loops_closed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Gradio, its server and the browser's driver warn of what is theirs."""
    here = str(Path(__file__).parent)
    for item in items:
        if str(item.path).startswith(here):
            for kind in ("DeprecationWarning", "ResourceWarning", "UserWarning"):
                item.add_marker(pytest.mark.filterwarnings(f"ignore::{kind}"))


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A picture with a bright corner, a low tone and a high one."""
    folder = tmp_path_factory.mktemp("visitor")
    pixels = np.full((120, 160, 3), 60, np.uint8)
    pixels[10:60, 90:150] = (230, 180, 40)
    Image.fromarray(pixels).save(folder / "room.png")
    at = np.arange(16000) / 16000
    for name, pitch in (("low.wav", 200), ("high.wav", 5000)):
        soundfile.write(folder / name, 0.5 * np.sin(2 * np.pi * pitch * at), 16000)
    if "SOUNDSPOT_CHECKPOINT" in os.environ:  # to look at
        shutil.copy(example_path("clip.mp4"), folder / "clip.mp4")
        soundfile.write(folder / "high.wav", *soundfile.read(example_path("cat.flac")))
    else:
        clip = VideoScene(("green star", "yellow ring"), ((0.0, 0), (1.5, 1)), seconds=3.0, fps=10, size=(320, 180))
        clip.write(folder / "clip.mp4")
    write_video(folder / "mute.mp4", 1.0, sound=False)
    return Files(*(folder / name for name in ("", "room.png", "low.wav", "high.wav", "clip.mp4", "mute.mp4", "index")))


@pytest.fixture(scope="session")
def localizer(files: Files) -> Localizer:
    """Fresh weights, or those of $SOUNDSPOT_CHECKPOINT; by its threshold one of the two
    tones is in the image."""
    if named := os.environ.get("SOUNDSPOT_CHECKPOINT"):
        return Localizer.load(named)
    model = fresh(0)
    peaks = [model.locate(files.picture, sound).peak for sound in (files.low, files.high)]
    model.threshold = sum(peaks) / 2
    return model


@pytest.fixture(scope="session")
def index(localizer: Localizer, files: Files) -> Path:
    """Of scenes and their sounds; one of them has a naughty name."""
    own = files.folder / "own"
    for number, example in enumerate(make_examples(localizer, own)):
        shutil.copy(example.audios[0], own / f"{NAUGHTY} {number}{Path(example.audios[0]).suffix}")
    with Index.create(files.index, localizer) as made:
        made.add([own])
    return files.index


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two reports, one of them with a script and a naughty name, and beside their folder what nobody may see."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "secret.html").write_text("<title>secret</title>secret")
    (folder / "runs/one").mkdir(parents=True)
    (folder / "runs/one/report.html").write_text("<title>Model &amp; scenes</title><h1>38.9 % of all</h1>")
    script = (
        "<title>Naughty</title><h1 id='t'>still</h1><script>document.getElementById('t').textContent='ran'</script>"
    )
    (folder / "runs" / f"{NAUGHTY}.html").write_text(script)
    (folder / "runs/.hidden.html").write_text("hidden")
    (folder / "runs/leak.html").symlink_to(folder / "secret.html")
    (folder / "runs/out").symlink_to(folder)
    return folder / "runs"


@contextmanager
def serving(page: PageConfig) -> Iterator[tuple[str, UploadStore]]:
    """The address of a page that is served by a thread, and the folder of what it is sent."""
    port = find_free_port("127.0.0.1", 0)
    with ExitStack() as open_until_the_end:
        with loops_closed():
            app = open_until_the_end.enter_context(open_app(page))
        running = create_server(app, "127.0.0.1", port, page.limits)
        thread = threading.Thread(target=running.run, daemon=True)
        thread.start()
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}", app.store
        running.should_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def reached() -> Iterator[list[Any]]:
    """Every address but this machine's own that anything in this process connects to or asks the name of."""
    found: list[Any] = []
    connect, lookup = socket.socket.connect, socket.getaddrinfo

    def noted(self: socket.socket, address: Any) -> Any:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            found.append(address)
            raise OSError("no way out")
        return connect(self, address)

    def asked(host: Any, *rest: Any, **more: Any) -> Any:
        if host not in ("127.0.0.1", "::1", "localhost", None, b"127.0.0.1"):
            found.append(host)
            raise OSError("no names")
        return lookup(host, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", noted)
        patch.setattr(socket, "getaddrinfo", asked)
        yield found


@pytest.fixture(scope="session")
def served(
    localizer: Localizer,
    files: Files,
    index: Path,
    reports: Path,
    reached: list[Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Served]:
    limits = Limits(
        max_upload_bytes=20_000_000,
        timeout=20,
        max_audio_seconds=30,
        max_video_seconds=30,
        max_queue=12,
        max_sessions=8,
    )
    room = tmp_path_factory.mktemp("room")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(room))
        with serving(PageConfig(localizer, index, reports, limits)) as (url, store):

            def stored() -> list[Path]:
                return [file for file in room.rglob("*") if file.is_file()]

            yield Served(url, localizer, files, reports, stored, reached, store)
        assert not list(room.glob("soundspot-app-*"))
    shutil.rmtree(room, ignore_errors=True)
