"""The page that asks an exported model in a browser: its files, the runtime from npm, and all of it in one file.

The sources beside this file are what the folder holds; nothing is built. onnxruntime-web comes from npm, by the lock
file, whose hashes npm checks, or from a folder that is named.
"""

import base64
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from soundspot.errors import InputError
from soundspot.inference.localizer import Localizer
from soundspot.inference.render import HEAT_COLORMAP, OPAQUE_ABOVE, TRANSPARENT_BELOW

PAGE = "index.html"
THEME = "look.json"
SCRIPTS = ("resize.js", "picture.js", "sound.js", "map.js", "model.js", "main.js")  # each after what it imports
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
NPM_TIMEOUT_MINUTES = 5  # that npm has


def check_web_page(localizer: Localizer) -> None:
    """Raise InputError where a page could not ask the model."""
    spec = localizer.method.front_end
    if spec.image.flow or spec.audio.embedding_dim:
        what = "looks at optical flow" if spec.image.flow else "hears vectors that another network made"
        raise InputError(
            f"{localizer.name}: the page has a picture and a sound to give, and this model {what}. Export it as .onnx."
        )
    if not 8000 <= (spec.audio.rate or 0) <= 96000:  # what browsers must be able to decode to
        raise InputError(
            f"{localizer.name}: browsers decode sound at 8 to 96 kHz, and this model hears {spec.audio.rate} Hz"
        )


def assets(runtime: str | Path | None = None) -> dict[str, bytes]:
    """The files of the page without the model: its own and those of onnxruntime-web.

    Args:
        runtime: the npm package's folder, or the `dist` in it; None: npm fetches it into a temporary folder.

    Raises:
        InputError: it is not there, and npm cannot get it.
    """
    here = files(__name__)
    made = {name: (here / name).read_bytes() for name in (PAGE, "style.css", *SCRIPTS)}
    look = {"heat": HEAT_COLORMAP.tolist(), "clear": TRANSPARENT_BELOW, "full": OPAQUE_ABOVE}
    made[THEME] = json.dumps(look, separators=(",", ":")).encode()
    return made | (_of(Path(runtime)) if runtime is not None else fetch_runtime())


def bundle_html(page: Mapping[str, bytes], model: Mapping[str, bytes]) -> bytes:
    """The page with all it needs inside, which opens without a host: scripts as one, files compressed in base64."""
    text = {name: page[name].decode("utf-8") for name in (PAGE, "style.css", *SCRIPTS)}
    script = "\n".join(_joined(text[name]) for name in SCRIPTS)
    kept = {**{name: page[name] for name in (*RUNTIME, THEME)}, **model}
    embedded = [
        f'<script type="application/octet-stream" id="file:{name}">{_packed(content)}</script>'
        for name, content in kept.items()
    ]
    html = text[PAGE]
    for name, content in (("script", script), ("style", text["style.css"])):
        digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode()
        html = html.replace(f"{name}-src 'self'", f"{name}-src 'sha256-{digest}'")
    html = html.replace('<link rel="stylesheet" href="style.css">', f"<style>{text['style.css']}</style>")
    last = f'<script type="module">{script}</script>'
    html = html.replace('<script type="module" src="main.js"></script>', "\n".join([*embedded, last]))
    return html.encode("utf-8")


def _joined(script: str) -> str:
    """A module without what ties it to the others."""
    return re.sub(
        r"^export (?=async |function |const )", "", re.sub(r"^import .*\n", "", script, flags=re.M), flags=re.M
    )


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _of(folder: Path) -> dict[str, bytes]:
    dist = folder if (folder / RUNTIME[0]).is_file() else folder / "dist"
    try:
        return {name: (dist / name).read_bytes() for name in RUNTIME}
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be read as onnxruntime-web ({error}); expected the npm package's folder with "
            f"{' and '.join(RUNTIME)} in its `dist`. `npm install onnxruntime-web@{runtime_version()}` makes one"
        ) from error


def runtime_version() -> str:
    """The version of onnxruntime-web that the page was made and tested with."""
    said: str = json.loads((files(__name__) / "package.json").read_text("utf-8"))["dependencies"]["onnxruntime-web"]
    return said


def fetch_runtime() -> dict[str, bytes]:
    """By npm and the lock file, whose hashes it checks; from npm's own cache where it has them."""
    way_out = (
        f"`npm install onnxruntime-web@{runtime_version()}` where there is a network, and give the folder by --runtime"
    )
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(f"a page needs onnxruntime-web, which comes from npm, and npm is not installed: {way_out}")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            (Path(folder) / name).write_bytes((files(__name__) / name).read_bytes())
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        try:
            subprocess.run(
                command, cwd=folder, check=True, capture_output=True, text=True, timeout=60 * NPM_TIMEOUT_MINUTES
            )
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"npm did not get onnxruntime-web within {NPM_TIMEOUT_MINUTES} minutes: {way_out}"
            ) from error
        except subprocess.CalledProcessError as error:
            said = next((line for line in error.stderr.splitlines() if line.strip()), f"exit code {error.returncode}")
            raise InputError(f"npm cannot get onnxruntime-web ({said}): {way_out}") from error
        return _of(Path(folder) / "node_modules" / "onnxruntime-web")
