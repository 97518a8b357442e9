"""Live pictures: the newest is asked with the newest sound, what is too much is dropped and counted, errors arrive."""

import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from clips import write_video
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.data.media.audio import resample
from soundspot.errors import InputError, OutputError
from soundspot.inference.live import AudioRingBuffer, LatestItemQueue, locate_live, open_capture
from soundspot.inference.livepage import MjpegServer
from soundspot.inference.localizer import Localizer
from soundspot.methods import create
from soundspot.types import Audio

TINY = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}


@pytest.fixture(scope="module")
def localizer() -> Localizer:
    torch.manual_seed(0)
    spec = InputSpec(ImageSpec(32), AudioSpec(16000, 0.5))
    return Localizer(create("alignment", image=TINY, audio=TINY, front_end=spec))


def test_a_newer_picture_takes_the_place_of_the_last() -> None:
    newest = LatestItemQueue()
    for item in (1, 2, 3):
        newest.put(item)
    newest.close()
    assert (list(newest), newest.num_dropped) == ([3], 2)


def test_an_error_comes_before_what_is_left() -> None:
    place = LatestItemQueue()
    place.close(InputError("pulled out"))
    place.put(1)
    place.close()
    with pytest.raises(InputError, match="pulled out"):
        list(place)


def test_the_window_ends_now() -> None:
    recent = AudioRingBuffer(1.0, 16000)
    assert recent.latest_window().is_silent
    sound = np.random.default_rng(0).uniform(-1, 1, (1, 40000)).astype(np.float32)
    for start in range(0, 40000, 5000):
        recent.add(sound[:, start : start + 5000], 16000)
    assert np.array_equal(recent.latest_window().waveform.numpy(), sound[0, -16000:])


def test_what_is_heard_is_resampled() -> None:
    recent, wave = AudioRingBuffer(0.5, 16000), torch.rand(48000) - 0.5
    for part in wave.split(4800):
        recent.add(part[None].numpy(), 48000)
    expected = resample(Audio(wave, 48000), 16000).waveform
    assert any(
        torch.allclose(recent.latest_window().waveform, expected[i : i + 8000], atol=1e-4) for i in range(7000, 8001)
    )


def test_pictures_that_come_too_quickly_are_dropped_and_counted(localizer: Localizer) -> None:
    picture = Image.new("RGB", (64, 48), "red")
    found = []
    for now in locate_live(localizer, (picture for _ in range(500)), []):
        found.append(now)
        time.sleep(0.01)
    assert found[-1].shown == len(found)
    assert found[-1].shown + found[-1].dropped == 500
    assert found[-1].dropped > 0
    assert all(now.behind >= 0 for now in found)


def test_a_video_plays_in_its_own_time(localizer: Localizer, tmp_path: Path) -> None:
    begun = time.monotonic()
    found = list(locate_live(localizer, *open_capture(str(write_video(tmp_path / "a.mp4", 0.8)), "default")))
    assert time.monotonic() - begun >= 0.7
    assert found[-1].num_located + found[-1].num_dropped == 20
    assert not found[-1].frame.map.is_silent


@pytest.mark.parametrize("which", [0, 1])
def test_what_goes_wrong_in_a_thread_is_told(which: int, localizer: Localizer) -> None:
    def broken():
        raise InputError("the camera was pulled out")
        yield

    def endless():
        while True:
            time.sleep(0.01)
            yield Image.new("RGB", (32, 32))

    given = (broken(), []) if which == 0 else (endless(), broken())
    with pytest.raises(InputError, match="pulled out"):
        list(locate_live(localizer, *given))


def test_a_camera_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="--camera") as told:
        open_capture("77", "default")
    assert told.value.cause == "no camera"


@pytest.mark.parametrize("what", ["camera", "microphone"])
def test_a_device_that_is_pulled_out_is_told(
    what: str, localizer: Localizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pulled:
        """Plays a video, and fails as FFmpeg does."""

        def __init__(self, name: str, device: str, kind: str) -> None:
            self._file, self._fails = av.open(str(tmp_path / "a.mp4")), kind == what
            self.streams = self._file.streams

        def decode(self, stream: Any) -> Iterator[Any]:
            for frame in self._file.decode(stream):
                time.sleep(0.02)
                yield frame
                if self._fails:
                    raise av.error.ExternalError(542398533, "Generic error in an external library")

    write_video(tmp_path / "a.mp4", 0.8)
    monkeypatch.setattr("soundspot.inference.live._opened", Pulled)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(InputError, match=f"the {what} stopped"):
        list(locate_live(localizer, *open_capture("0", "default")))


def test_the_page_shows_the_pictures() -> None:
    with MjpegServer() as page:
        assert b"<img" in urllib.request.urlopen(page.url).read()
        foreign = urllib.request.Request(f"{page.url}/pictures", headers={"Host": "elsewhere.example:80"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(foreign)
        stop = threading.Event()

        def show() -> None:
            while not stop.wait(0.02):
                page.update(Image.new("RGB", (32, 32), "red"), "3 dropped")

        thread = threading.Thread(target=show)
        thread.start()
        with urllib.request.urlopen(f"{page.url}/pictures") as stream:
            start = stream.read(700)
        assert b"image/jpeg" in start
        assert b"\xff\xd8" in start
        assert urllib.request.urlopen(f"{page.url}/told").read() == b"3 dropped"
        stop.set()
        thread.join()
        with pytest.raises(OutputError, match="--port"):
            MjpegServer(int(page.url.rpartition(":")[2]))
    port = int(page.url.rpartition(":")[2])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 0.2)
