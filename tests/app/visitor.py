"""A visitor without a browser, who sends what Gradio's own pages send; and what both kinds of visitors have at hand."""

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from conftest import ROOT
from soundspot.app.uploads import UploadStore
from soundspot.config.frontend import AudioSpec, ImageSpec, InputSpec
from soundspot.inference.localizer import Localizer
from soundspot.methods import create

TINY = {"encoder": "resnet", "blocks": [1], "strides": [1], "width": 4}
NAUGHTY = "<img src=x onerror=document.title='hurt'>"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"}


def fresh(seed: int) -> Localizer:
    """A tiny model of weights that were drawn."""
    torch.manual_seed(seed)
    front_end = InputSpec(ImageSpec(64), AudioSpec(16000, 0.5))
    return Localizer(create("alignment", image=TINY, audio=TINY, front_end=front_end))


@contextmanager
def loops_closed() -> Iterator[None]:
    """Gradio makes a loop for each of its locks while it builds a page, and leaves it open; Python warns of that."""
    make = asyncio.new_event_loop
    made = [make()]  # what `get_event_loop` would make
    asyncio.set_event_loop(made[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", lambda: made.append(make()) or made[-1])
        yield
    asyncio.set_event_loop(None)
    for loop in made:
        loop.close()


@dataclass(frozen=True)
class Files:
    """What a visitor has at hand."""

    folder: Path
    picture: Path
    low: Path
    high: Path
    clip: Path
    mute: Path
    index: Path


@dataclass(frozen=True)
class Served:
    """A page that is served."""

    url: str
    localizer: Localizer
    files: Files
    reports: Path
    stored: Callable[[], list[Path]]
    reached: list[Any]
    store: UploadStore

    @property
    def config(self) -> dict[str, Any]:
        return httpx.get(f"{self.url}/config").json()


def sent(url: str, *paths: Path) -> list[dict[str, Any]]:
    """Uploads files; what the page is told of them."""
    with httpx.Client(timeout=30) as client:
        parts = [("files", (path.name, path.read_bytes())) for path in paths]
        answer = client.post(f"{url}/gradio_api/upload", files=parts)
        answer.raise_for_status()
    told = zip(answer.json(), paths, strict=True)
    return [{"path": at, "orig_name": path.name, "meta": {"_type": "gradio.FileData"}} for at, path in told]


def event_of(config: dict[str, Any], name: str, event: str) -> dict[str, Any]:
    """What happens on an event of the component called `name`."""
    number = next(one["id"] for one in config["components"] if one["props"].get("elem_id") == name)
    return next(one for one in config["dependencies"] if [number, event] in [list(t) for t in one["targets"]])


def data_of(config: dict[str, Any], event: dict[str, Any], given: dict[str, Any]) -> list[Any]:
    """The values of the inputs of an event: those given by name, and for the others what the page starts with."""
    parts = {one["id"]: one["props"] for one in config["components"]}
    every = [parts[number] for number in event["inputs"]]
    return [given.get(str(props.get("elem_id")), props.get("value")) for props in every]


def asked(
    url: str, config: dict[str, Any], name: str, event: str, given: dict[str, Any], visitor: str, timeout: float = 60.0
) -> dict[str, Any]:
    """Puts a request into the queue and waits for its end: the last message of the page; `refused` where it was."""
    wired = event_of(config, name, event)
    body = {"data": data_of(config, wired, given), "fn_index": wired["id"], "session_hash": visitor, "trigger_id": None}
    with httpx.Client(timeout=timeout) as client:
        joined = client.post(f"{url}/gradio_api/queue/join", json=body)
        if joined.status_code != 200:
            return {"refused": joined.status_code, "detail": joined.json().get("detail")}
        with client.stream("GET", f"{url}/gradio_api/queue/data", params={"session_hash": visitor}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line.removeprefix("data:")) if line.startswith("data:") else {}
                if message.get("msg") in ("process_completed", "unexpected_error"):
                    return message
    raise AssertionError("the page said nothing")


def words_of(message: dict[str, Any]) -> str:
    """All that an answer holds, as text."""
    return json.dumps(message.get("output", message), ensure_ascii=False)


@contextmanager
def served_by(*words: object, cwd: Path | None = None) -> Iterator[str]:
    """The address of the page that `soundspot WORDS --port 0` serves; the server is killed (-9) at the end."""
    line = [sys.executable, "-m", "soundspot", *map(str, words), "--port", "0"]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT, cwd=cwd) as server:
        assert server.stdout is not None
        try:
            yield next(found[0] for line in server.stdout if (found := re.search(r"http://[\w.:]+", line)))
        finally:
            server.kill()


def name_annotator(page: Any, name: str) -> None:
    field = page.locator("#annotator textarea, #annotator input").first
    field.fill(name)
    field.press("Enter")


@dataclass(frozen=True)
class KeyedView:
    """A view in which keys bring the next of many: the figure that has its number as `data-NAME`."""

    view: str
    name: str

    def number(self, page: Any) -> int:
        return int(page.locator(f"{self.view} figure[data-{self.name}]").get_attribute(f"data-{self.name}") or 0)

    def press(self, page: Any, key: str) -> None:
        """Press a key and wait for another figure, or for the end."""
        before = self.number(page)
        page.keyboard.press(key)
        figure = f"document.querySelector('{self.view} figure')"
        script = f"n => {{ const f = {figure}; return !f || f.dataset.{self.name} != n }}"
        page.wait_for_function(script, arg=str(before))
