"""The page's server as a stranger meets it: what it refuses, what it bounds, and whom it never calls."""

import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from soundspot.app.server import exit_on_signals
from visitor import NAUGHTY, Served, asked, sent, words_of


def question(served: Served, sounds: list[Path]) -> dict[str, Any]:
    picture, *rest = sent(served.url, served.files.picture, *sounds)
    return {"image": picture, "audios": rest, "recording": None}


def test_a_picture_and_two_sounds_are_answered(served: Served) -> None:
    given = question(served, [served.files.low, served.files.high])
    said = words_of(asked(served.url, served.config, "image", "change", given, "plain"))
    assert "data:image/webp;base64," in said
    assert "low.wav" in said
    assert "In the image" in said or "Not in the image" in said


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=../../etc/passwd",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/file=http://example.com/x.png",
        "/gradio_api/proxy=http://example.com/",
        "/static/../../../../etc/passwd",
        "/static/%2e%2e/%2e%2e/%2e%2e/pyproject.toml",
        "/reports/../secret.html",
        "/reports/%2e%2e/secret.html",
        "/reports//etc/passwd",
        "/reports/leak.html",
        "/reports/out/secret.html",
        "/reports/.hidden.html",
        "/reports/one",
        "/reports/one%00.html",
        "/reports/" + "a" * 5000 + ".html",
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/monitoring",
        "/docs",
    ],
)
def test_what_is_not_the_pages_is_not_handed_out(served: Served, path: str) -> None:
    with httpx.Client() as client:
        address = httpx.URL(served.url).copy_with(raw_path=path.encode())
        answer = client.get(address)
    assert answer.status_code in (400, 403, 404, 405)
    assert "secret" not in answer.text
    assert "root:" not in answer.text


def test_a_report_is_served_as_it_is_and_runs_nothing(served: Served) -> None:
    answer = httpx.get(f"{served.url}/reports/one/report.html")
    assert answer.text == (served.reports / "one/report.html").read_text()
    assert answer.headers["content-security-policy"].startswith("sandbox")
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "default-src 'none'" in answer.headers["content-security-policy"]


def test_a_page_elsewhere_that_took_this_machines_address_is_refused(served: Served) -> None:
    assert httpx.get(served.url, headers={"host": "evil.example"}).status_code == 421


def test_500_megabytes_are_refused_before_they_are_sent(served: Served) -> None:
    """By the length that is told, in a moment; and by what comes, where none is told."""
    begun = time.monotonic()
    before = sum(file.stat().st_size for file in served.stored())
    with socket.create_connection((httpx.URL(served.url).host, httpx.URL(served.url).port)) as line:
        line.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        )
        said = b"".join(iter(lambda: line.recv(10_000), b"")).decode()
    assert said.startswith("HTTP/1.1 413")
    assert "--max-upload" in said

    def untold() -> Any:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="big.wav"\r\n\r\n'
        for _ in range(500):
            yield bytes(1_000_000)

    head = {"content-type": "multipart/form-data; boundary=x"}
    with httpx.Client(timeout=20) as client, suppress(httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        answer = client.post(f"{served.url}/gradio_api/upload", headers=head, content=untold())
        assert answer.status_code == 413
    assert time.monotonic() - begun < 20
    assert sum(file.stat().st_size for file in served.stored()) - before < 30_000_000


def test_nothing_is_fetched_for_a_visitor(served: Served) -> None:
    address = {"path": "http://example.com/cat.png", "meta": {"_type": "gradio.FileData"}}
    given = question(served, [served.files.low]) | {"image": address}
    assert asked(served.url, served.config, "image", "change", given, "fetch")["refused"] == 400
    assert served.reached == []


def test_a_file_that_was_not_uploaded_is_not_read(served: Served) -> None:
    given = question(served, [served.files.low])
    given["image"] = {"path": str(served.files.picture), "meta": {"_type": "gradio.FileData"}}
    assert asked(served.url, served.config, "image", "change", given, "local")["refused"] == 400


@pytest.mark.parametrize("kind", ["text", "empty", "picture", "cut"])
def test_what_is_no_sound_is_named_and_the_others_are_heard(served: Served, tmp_path: Path, kind: str) -> None:
    content = {
        "text": b"no sound at all",
        "empty": b"",
        "picture": served.files.picture.read_bytes(),
        "cut": served.files.low.read_bytes()[:30],
    }[kind]
    (tmp_path / "wrong.wav").write_bytes(content)
    given = question(served, [served.files.low, tmp_path / "wrong.wav"])
    said = words_of(asked(served.url, served.config, "image", "change", given, f"kind-{kind}"))
    assert "Not everything could be used" in said
    assert "wrong.wav" in said
    assert "soundspot-app-" not in said.replace("/gradio_api/file=", "").split("Not everything")[1].split("</div>")[0]
    assert "data:image/webp" in said


def test_a_sound_in_the_place_of_the_picture_is_named(served: Served) -> None:
    given = question(served, [served.files.low])
    [given["image"]] = sent(served.url, served.files.low)
    said = words_of(asked(served.url, served.config, "image", "change", given, "swapped"))
    assert "That did not work" in said
    assert "low.wav" in said
    assert "Traceback" not in said


def test_a_long_sound_is_refused_by_its_header(served: Served, tmp_path: Path) -> None:
    import numpy as np
    import soundfile

    soundfile.write(tmp_path / "long.wav", np.zeros(8000 * 60, np.float32), 8000, subtype="PCM_U8")
    given = question(served, [tmp_path / "long.wav"])
    assert "lasts 1 min 0 s; a sound may last 30 s here" in words_of(
        asked(served.url, served.config, "image", "change", given, "long")
    )


def test_markup_in_names_stays_text(served: Served) -> None:
    """Names of reports and of indexed files keep all their letters; those of uploads lose them before we see them."""
    said = words_of(asked(served.url, served.config, "report", "input", {"report": f"{NAUGHTY}.html"}, "naughty"))
    assert "iframe" in said
    assert "&lt;img src=x" in said
    assert "<img src=x" not in said


def test_examples_outlive_what_visitors_sent(served: Served) -> None:
    [upload] = sent(served.url, served.files.low)
    shelf = next(one["props"] for one in served.config["components"] if one["props"].get("elem_id") == "examples")
    examples = [one["image"]["path"] for one in shelf["value"]]
    taken = [str(file) for file in served.stored() if "examples" in file.parts]
    assert examples
    assert len(taken) > len(examples)

    def handed_out(path: str) -> bool:
        return httpx.get(f"{served.url}/gradio_api/file={path}").status_code == 200

    assert all(map(handed_out, [upload["path"], *examples, *taken]))
    served.store.remove_expired(time.time() + served.store.retention_seconds + 10)
    assert all(map(handed_out, [*examples, *taken]))
    assert not handed_out(upload["path"])


def test_an_upload_that_was_cut_is_put_away(served: Served) -> None:
    served.store.remove_expired()
    before = served.store.stored_bytes
    with socket.create_connection((httpx.URL(served.url).host, httpx.URL(served.url).port)) as line:
        line.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="cut.wav"\r\n\r\n' + bytes(3_000_000)
        )
        while served.store.stored_bytes < before + 3_000_000:
            time.sleep(0.01)
    time.sleep(0.2)
    served.store.remove_expired()
    assert served.store.stored_bytes > before + 2_900_000  # nobody else puts it away
    served.store.remove_expired(time.time() + served.store.retention_seconds + 10)
    assert served.store.stored_bytes <= before


def test_the_verdict_is_the_models_until_its_threshold_is_moved(served: Served, monkeypatch) -> None:
    """By its last digit; and a field that was cleared is no model without a threshold."""
    peak = served.localizer.locate(served.files.picture, served.files.low).peak
    fitted = peak if round(peak, 4) > peak else math.nextafter(peak, math.inf)
    monkeypatch.setattr(served.localizer, "threshold", fitted)
    given, config = question(served, [served.files.low]), served.config
    for field, verdict in ((round(fitted, 4), ("out", "in")[peak >= fitted]), (peak - 1, "in"), (None, "unknown")):
        said = words_of(asked(served.url, config, "image", "change", {**given, "threshold": field}, "exact"))
        assert f'data-verdict=\\"{verdict}' in said
    assert "cleared" in said
    assert "soundspot calibrate" not in said


def test_a_sound_that_is_longer_than_it_says_is_ended(served: Served, tmp_path: Path, monkeypatch) -> None:
    import numpy as np
    import soundfile

    import soundspot.app.search_tab as search
    import soundspot.app.service as service

    for module in (service, search):
        monkeypatch.setattr(module, "check_duration", lambda *_: None)  # a header that lies
    soundfile.write(tmp_path / "long.flac", np.zeros(8000 * 60, np.float32), 8000)
    given = question(served, [tmp_path / "long.flac"])
    said = words_of(asked(served.url, served.config, "image", "change", given, "liar"))
    assert "long.flac: found a sound that lasts longer than 30 s" in said
    found = {"search-audio": given["audios"][0]}
    assert "lasts longer than 30 s" in words_of(asked(served.url, served.config, "search", "click", found, "liar"))


def test_fifty_requests_at_once_are_answered_or_told_to_come_again(served: Served, monkeypatch) -> None:
    given, config = question(served, [served.files.low, served.files.high]), served.config
    at_once, most, book = 0, 0, threading.Lock()
    encode = served.localizer.encode_image

    def slow(*arguments: Any, **more: Any) -> Any:
        nonlocal at_once, most
        with book:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.05)
        with book:
            at_once -= 1
        return encode(*arguments, **more)

    monkeypatch.setattr(served.localizer, "encode_image", slow)
    with ThreadPoolExecutor(50) as crowd:
        jobs = [
            crowd.submit(asked, served.url, config, "image", "change", given, f"crowd{number}") for number in range(50)
        ]
        told = [job.result() for job in jobs]
    refused = [message for message in told if "refused" in message or not message.get("success")]
    answered = [message for message in told if message.get("success")]
    assert len(answered) >= 12
    assert len(answered) + len(refused) == 50
    assert all("full" in words_of(message).lower() for message in refused)
    assert most == 1
    assert "data-verdict" in words_of(asked(served.url, config, "image", "change", given, "after the crowd"))


def test_a_request_that_takes_too_long_is_ended(served: Served, monkeypatch) -> None:
    given = question(served, [served.files.low, served.files.high])
    heard = []

    def slow(code: Any, sound: Any) -> Any:
        heard.append(sound)
        time.sleep(0.3)
        return hear(code, sound)

    hear = served.localizer.predict
    monkeypatch.setattr(served.localizer, "predict", slow)
    import soundspot.app.sessions as sessions

    monkeypatch.setattr(sessions, "Deadline", lambda seconds, is_cancelled: deadline(0.2, is_cancelled))
    from soundspot.app.limits import Deadline as deadline

    said = words_of(asked(served.url, served.config, "image", "change", given, "late"))
    assert "longer than the 0.2 s" in said
    assert len(heard) == 1


def test_a_visitor_who_leaves_ends_the_work(served: Served, monkeypatch) -> None:
    """The stream of the page's heart is cut, as a closed browser does it; eight sounds were asked for."""
    given = question(served, [])
    sounds = [served.files.folder / f"copy{n}.wav" for n in range(8)]
    for number, sound in enumerate(sounds):
        sound.write_bytes(served.files.low.read_bytes()[: -2 * (number + 1)])
    given["audios"] = sent(served.url, *sounds)
    heard: list[Any] = []
    hear = served.localizer.predict

    def slow(code: Any, sound: Any) -> Any:
        heard.append(sound)
        time.sleep(0.4)
        return hear(code, sound)

    monkeypatch.setattr(served.localizer, "predict", slow)
    config = served.config
    work = threading.Thread(target=asked, args=(served.url, config, "image", "change", given, "leaver"))
    with httpx.Client(timeout=30) as client, client.stream("GET", f"{served.url}/gradio_api/heartbeat/leaver") as heart:
        beats = heart.iter_lines()  # kept, for its end cuts the stream
        next(beats)
        work.start()
        while not heard:
            time.sleep(0.02)
    work.join(20)
    assert 1 <= len(heard) < 4
    monkeypatch.undo()
    assert "data-verdict" in words_of(asked(served.url, config, "image", "change", given, "next"))


def test_nobody_was_called(served: Served) -> None:
    assert served.reached == []
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"


def test_a_signal_ends_the_blocks_that_delete_files() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        check_signals = exit_on_signals()
        check_signals()
        with pytest.raises(SystemExit):
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(SystemExit, match=str(128 + signal.SIGTERM)):  # where the first was dropped
            check_signals()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.slow
def test_a_page_that_is_told_to_end_leaves_no_files(tmp_path: Path) -> None:
    """By SIGTERM, as service managers do; the model is not needed for that."""
    script = tmp_path / "serve.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom soundspot.app.limits import Limits\n"
        "from soundspot.app.server import create_server, exit_on_signals\nfrom tempfile import TemporaryDirectory\n"
        "async def page(scope, receive, send):\n    pass\n"
        "exit_on_signals()\n"
        "with TemporaryDirectory(dir=sys.argv[1]) as folder:\n"
        "    Path(folder, 'upload').write_text('x')\n    print('open', flush=True)\n"
        "    create_server(page, '127.0.0.1', 0, Limits()).run()\n"
    )
    (tmp_path / "files").mkdir()
    with subprocess.Popen([sys.executable, script, tmp_path / "files"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
    assert list((tmp_path / "files").iterdir()) == []
