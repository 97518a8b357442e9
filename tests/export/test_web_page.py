"""The page in a real browser: the map it shows is torch's, what is wrong is told in words, nothing leaves it.

With SOUNDSPOT_SCREENSHOTS=docs/export its pictures are written there; SOUNDSPOT_CHECKPOINT names the model they show.
"""

import functools
import http.server
import json
import os
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from soundspot.config.frontend import ImageSpec
from soundspot.config.upsampling import Upsampling
from soundspot.data.datasets.registry import open_dataset
from soundspot.data.media.image import preprocess_images
from soundspot.errors import InputError
from soundspot.export import export_model
from soundspot.export.session import without_normalization
from soundspot.export.web_page import RUNTIME, assets
from soundspot.inference import render
from soundspot.inference.localizer import Localizer
from soundspot.inference.result import LocalizationMap

HTML = "<img src=x onerror=document.title='run'>.wav"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site(localizer: Localizer, runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page") / "site"
    export_model(localizer, folder, page=True, runtime=runtime)
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """The folder on a plain host of files, without any header of its own."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=site)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, localizer: Localizer) -> Path:
    """A scene's picture and two sounds, at the model's own rate."""
    folder = tmp_path_factory.mktemp("asked")
    scenes = open_dataset("scenes-interactive", length=2, seed=3003, size=256)
    scenes.read_image(0).save(folder / "image.png")
    for i, name in enumerate(("first.wav", "second.wav")):
        sound = scenes.read_audio(i)
        soundfile.write(folder / name, sound.waveform.numpy(), sound.rate, subtype="FLOAT")
    return folder


@pytest.fixture
def opened(browser: Any, address: str) -> Iterator[Any]:
    """The page, ready, and what it asked the network for in `page.requests`."""
    page = browser.new_page(viewport={"width": 1100, "height": 720})
    page.seen = []
    page.on("request", lambda request: page.seen.append(request.url))
    page.goto(address)
    page.wait_for_selector("#image:enabled")
    yield page
    page.close()


def until(page: Any, expression: str, given: Any = None) -> None:
    """Waits for what is told to be true; Playwright's own way asks for `eval`, which the page forbids."""
    end = time.monotonic() + 30
    while not page.evaluate(expression, given):
        assert time.monotonic() < end, f"{expression}: {page.text_content('#status')} {page.text_content('#error')}"
        page.wait_for_timeout(30)


def choose(page: Any, picture: Path, *sounds: Path) -> LocalizationMap:
    """The page's map of a picture with the first sound."""
    page.set_input_files("#image", picture)
    page.set_input_files("#sounds", list(sounds))
    until(
        page,
        "n => soundspot.sounds.length === n && soundspot.sounds[0].result === (soundspot.result ?? 0)",
        len(sounds),
    )
    return shown(page)


def shown(page: Any) -> LocalizationMap:
    scores, shape = page.evaluate("[[...soundspot.result.scores], soundspot.result.shape]")
    return LocalizationMap(torch.tensor(scores).view(shape), size=(256, 256))


def test_the_map_is_torchs_and_nothing_leaves_the_page(opened, asked: Path, localizer: Localizer, address: str) -> None:
    picture = asked / "image.png"
    found = choose(opened, picture, asked / "first.wav", asked / "second.wav")
    truth = localizer.locate(picture, asked / "first.wav")
    torch.testing.assert_close(found.scores, truth.scores, atol=1e-4, rtol=0)
    assert float(opened.text_content("#peak")) == pytest.approx(truth.peak, abs=1e-3)
    assert float(opened.text_content("#confidence")) == pytest.approx(truth.confidence, abs=1e-3)
    assert opened.text_content("#verdict") == ("in the image" if truth.present else "not in the image")
    assert opened.evaluate("Number(document.getElementById('threshold').value)") == localizer.threshold
    _screenshot(opened, "page")
    before = opened.evaluate("document.getElementById('heat').toDataURL()")
    opened.locator("#sound-list label").nth(1).click()
    until(opened, "soundspot.selected === 1 && soundspot.result === soundspot.sounds[1].result")
    other = localizer.locate(picture, asked / "second.wav")
    torch.testing.assert_close(shown(opened).scores, other.scores, atol=1e-4, rtol=0)
    assert opened.evaluate("document.getElementById('heat').toDataURL()") != before
    assert all(url.startswith((address, "blob:", "data:")) for url in opened.seen), opened.seen


def test_what_is_drawn_is_the_librarys_overlay(opened, asked: Path, localizer: Localizer) -> None:
    choose(opened, asked / "image.png", asked / "first.wav")
    drawn = opened.evaluate("""() => {
        const canvas = Object.assign(document.createElement("canvas"), {width: 256, height: 256});
        const context = canvas.getContext("2d");
        for (const id of ["image-canvas", "heat"]) context.drawImage(document.getElementById(id), 0, 0);
        return [...context.getImageData(0, 0, 256, 256).data];
    }""")
    ours = np.asarray(localizer.locate(asked / "image.png", asked / "first.wav").overlay(), np.int16)
    assert (
        np.abs(np.array(drawn, np.int16).reshape(256, 256, 4)[..., :3] - ours).max() <= 4
    )  # canvas keeps rounded alpha


@pytest.mark.parametrize("resize", ["squash", "squash-tensor", "squash-tensor-antialias", "crop"])
def test_pictures_are_resized_as_the_library_does_it(opened, resize: Any) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 131, 3), np.uint8)
    spec = ImageSpec(size=48, resize=resize)
    ours = preprocess_images([Image.fromarray(pixels)], without_normalization(spec))[0]
    rgba = np.concatenate([pixels, np.full((90, 131, 1), 255, np.uint8)], axis=2).ravel().tolist()
    theirs = opened.evaluate(
        """async ([rgba, resize]) => {
            const { preprocess } = await import("./image.js");
            return [...preprocess({ pixels: new Uint8ClampedArray(rgba), size: [90, 131] }, { resize, size: 48 })];
        }""",
        [rgba, resize],
    )
    torch.testing.assert_close(torch.tensor(theirs).view(3, 48, 48), ours, atol=1e-5, rtol=0)


@pytest.mark.parametrize("upsampling", ["bilinear", "bilinear-aligned", "bicubic", "bicubic-aligned", "nearest"])
def test_maps_are_upsampled_as_the_library_does_it(opened, upsampling: Any) -> None:
    scores = torch.randn(7, 9, generator=torch.Generator().manual_seed(0))
    ours = LocalizationMap(scores, (50, 61), Upsampling(upsampling), (0.1, 0.0, 0.9, 1.0)).upsample()
    theirs = opened.evaluate(
        """async ([scores, mode]) => {
            const { upsample } = await import("./map.js");
            return [...upsample(scores, [7, 9], [50, 61], { mode }, [0.1, 0, 0.9, 1])];
        }""",
        [scores.flatten().tolist(), upsampling],
    )
    spread = (ours - ours.min()) / (ours.max() - ours.min())
    torch.testing.assert_close(torch.tensor(theirs).view(50, 61), spread, atol=1e-5, rtol=0)


@pytest.mark.parametrize("window", ["center", "first", "rolled"])
@pytest.mark.parametrize("length", [30, 100, 251])
def test_sounds_are_cut_as_the_library_does_it(opened, window: Any, length: int) -> None:
    from soundspot.config.frontend import AudioSpec
    from soundspot.data.media.audio import extract_window as cut
    from soundspot.types import Audio

    samples = torch.arange(length, dtype=torch.float32) / 256
    for clip in (None, 20.0):
        spec = AudioSpec(rate=10, seconds=7.3, clip_seconds=clip, window=window)
        theirs = opened.evaluate(
            """async ([samples, spec]) => {
                const { extractWindow } = await import("./audio.js");
                return [...extractWindow(Float32Array.from(samples), spec)];
            }""",
            [samples.tolist(), {"rate": 10, "seconds": 7.3, "clip_seconds": clip, "window": window}],
        )
        assert theirs == cut(Audio(samples, 10), spec).tolist()


def test_wrong_files_are_told_in_words_and_names_run_no_script(opened, asked: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    huge = tmp_path / "huge.png"
    huge.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 40000, 40000) + bytes(100))
    noise = tmp_path / HTML.replace("/", "")
    noise.write_bytes(b"not a sound")
    for field, path, words in (
        ("#image", broken, "broken.png: found no image"),
        ("#image", huge, "huge.png: found 40000 x 40000 pixels"),
        ("#sounds", noise, f"{noise.name}: found no sound"),
    ):
        opened.set_input_files(field, path)
        until(opened, "words => document.getElementById('error').textContent.startsWith(words)", words)
    good = tmp_path / f"good{noise.name}"
    good.write_bytes((asked / "first.wav").read_bytes())
    choose(opened, asked / "image.png", good)
    assert not opened.is_visible("#error")  # what is right again takes the words away
    assert opened.text_content("#sound-list span") == good.name
    assert opened.locator("#sound-list img").count() == 0
    assert opened.title() != "run"
    opened.set_input_files("#image", broken)  # and what is wrong later leaves the answer as it was
    opened.wait_for_selector("#error:visible")
    assert opened.evaluate("soundspot.image.name") == "image.png"


def test_silence_is_not_in_the_picture(opened, asked: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "silence.wav", np.zeros(8000), 8000)
    choose(opened, asked / "image.png", tmp_path / "silence.wav")
    assert opened.text_content("#verdict") == "silence: not in the image"


def test_a_missing_or_damaged_model_is_told_in_words(browser, address: str) -> None:
    for part, answer, words in (
        ("model.json", {"status": 404}, "model.json is missing"),
        ("audio.onnx", {"body": b"damaged"}, "audio.onnx cannot be loaded"),
    ):
        page = browser.new_page()
        page.route(f"**/{part}", functools.partial(_fulfil, answer))
        page.goto(address)
        page.wait_for_selector("#error:visible")
        assert words in page.text_content("#error")
        assert page.is_disabled("#image")
        page.close()


def test_a_browser_without_simd_is_told(browser, address: str) -> None:
    page = browser.new_page()
    page.add_init_script("WebAssembly.validate = () => false")
    page.goto(address)
    page.wait_for_selector("#error:visible")
    assert "no WebAssembly SIMD" in page.text_content("#error")
    page.close()


def test_one_file_works_without_a_server(
    browser, asked: Path, localizer: Localizer, runtime: Path, tmp_path: Path
) -> None:
    """Opened from the disk, as by a double click; on a telephone's width."""
    path = tmp_path / "page.html"
    export_model(localizer, path, runtime=runtime)
    page = browser.new_page(viewport={"width": 400, "height": 850}, color_scheme="dark")
    seen: list[str] = []
    page.on("request", lambda request: seen.append(request.url))
    page.goto(path.as_uri())
    page.wait_for_selector("#image:enabled")
    found = choose(page, asked / "image.png", asked / "first.wav")
    truth = localizer.locate(asked / "image.png", asked / "first.wav")
    torch.testing.assert_close(found.scores, truth.scores, atol=1e-4, rtol=0)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    _screenshot(page, "phone")
    assert all(url.startswith((path.as_uri(), "blob:", "data:")) for url in seen), seen
    page.close()


def test_the_page_has_the_librarys_colours_and_no_other_host(site: Path) -> None:
    theme = json.loads((site / "theme.json").read_text())
    assert theme == {
        "heat": render.HEAT_COLORMAP.tolist(),
        "clear": render.TRANSPARENT_BELOW,
        "full": render.OPAQUE_ABOVE,
    }
    for file in site.iterdir():
        if file.suffix in (".html", ".css", ".js") and file.name not in RUNTIME:
            assert "://" not in file.read_text(), file.name


def test_a_runtime_that_is_none_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="npm install onnxruntime-web@"):
        assets(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="npm is not installed"):
        assets()


def _fulfil(answer: dict[str, Any], route: Any) -> None:
    route.fulfill(**answer)


def _screenshot(page: Any, name: str) -> None:
    if folder := os.environ.get("SOUNDSPOT_SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
