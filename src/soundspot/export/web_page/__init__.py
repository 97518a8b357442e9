"""Web page that runs an exported model in a browser: its files, the runtime from npm, and all of it in one file.

The sources beside this file are the contents of the folder; nothing is built. onnxruntime-web comes from npm, by the
lock file, whose hashes npm checks, or from a folder that is named.
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
THEME = "theme.json"
SCRIPTS = ("resize.js", "image.js", "audio.js", "map.js", "model.js", "main.js")  # each after its imports
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
NPM_TIMEOUT_MINUTES = 5


def check_web_page(localizer: Localizer) -> None:
    """Raise InputError for a model that a web page cannot run.

    Args:
        localizer: localizer of the model to export.

    Raises:
        InputError: the model takes optical flow or embeddings, audio at a rate outside 8 to 96 kHz, short sounds with
            silence behind them, or images resized by a bilinear filter.
    """
    spec = localizer.method.front_end
    if spec.image.flow or spec.audio.embedding_dim:
        inputs = "optical flow" if spec.image.flow else "audio embeddings from another network"
        raise InputError(
            f"{localizer.name}: a web page has an image and audio as inputs, and this model takes {inputs}. Export it "
            "as .onnx."
        )
    if spec.audio.fill != "repeat" or spec.image.resize.endswith("bilinear"):
        raise InputError(
            f"{localizer.name}: a web page repeats short sounds and resizes images by a bicubic filter, and this model "
            "takes others. Export it as .onnx."
        )
    if not 8000 <= (spec.audio.rate or 0) <= 96000:  # what browsers must be able to decode to
        raise InputError(
            f"{localizer.name}: browsers decode audio at 8 to 96 kHz, and this model takes {spec.audio.rate} Hz"
        )


def assets(runtime: str | Path | None = None) -> dict[str, bytes]:
    """Collect the files of the page without the model: its own and those of onnxruntime-web.

    Args:
        runtime: folder of the npm package onnxruntime-web, or its subfolder `dist`; None: npm fetches the package into
            a temporary folder.

    Returns:
        Dict of file name -> content.

    Raises:
        InputError: `runtime` cannot be read as onnxruntime-web, or it is None and npm cannot fetch the package.
    """
    package = files(__name__)
    contents = {name: (package / name).read_bytes() for name in (PAGE, "style.css", *SCRIPTS)}
    theme = {"heat": HEAT_COLORMAP.tolist(), "clear": TRANSPARENT_BELOW, "full": OPAQUE_ABOVE}
    contents[THEME] = json.dumps(theme, separators=(",", ":")).encode()
    return contents | (_read_runtime(Path(runtime)) if runtime is not None else fetch_runtime())


def bundle_html(page: Mapping[str, bytes], model: Mapping[str, bytes]) -> bytes:
    """Bundle the page and the model into one HTML file that opens without a server.

    Args:
        page: file name -> content of the page's files, from `assets`.
        model: file name -> content of the subgraphs (image.onnx, audio.onnx, map.onnx) and model.json.

    Returns:
        HTML in UTF-8, with style and scripts inline and all other files embedded, compressed by gzip in base64.
    """
    text = {name: page[name].decode("utf-8") for name in (PAGE, "style.css", *SCRIPTS)}
    script = "\n".join(_strip_modules(text[name]) for name in SCRIPTS)
    embedded = {**{name: page[name] for name in (*RUNTIME, THEME)}, **model}
    tags = [
        f'<script type="application/octet-stream" id="file:{name}">{_compress(content)}</script>'
        for name, content in embedded.items()
    ]
    html = text[PAGE]
    for name, content in (("script", script), ("style", text["style.css"])):
        digest = base64.b64encode(hashlib.sha256(content.encode("utf-8")).digest()).decode()
        html = html.replace(f"{name}-src 'self'", f"{name}-src 'sha256-{digest}'")
    html = html.replace('<link rel="stylesheet" href="style.css">', f"<style>{text['style.css']}</style>")
    tags.append(f'<script type="module">{script}</script>')
    html = html.replace('<script type="module" src="main.js"></script>', "\n".join(tags))
    return html.encode("utf-8")


def _strip_modules(script: str) -> str:
    """Remove imports and exports from a script."""
    script = re.sub(r"^import .*\n", "", script, flags=re.M)
    return re.sub(r"^export (?=async |function |const )", "", script, flags=re.M)


def _compress(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _read_runtime(folder: Path) -> dict[str, bytes]:
    dist = folder if (folder / RUNTIME[0]).is_file() else folder / "dist"
    try:
        return {name: (dist / name).read_bytes() for name in RUNTIME}
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be read as onnxruntime-web ({error}); expected the npm package's folder with "
            f"{' and '.join(RUNTIME)} in its `dist`. `npm install onnxruntime-web@{runtime_version()}` makes one"
        ) from error


def runtime_version() -> str:
    """Return the version of onnxruntime-web that the page was written and tested with.

    Returns:
        Version string, such as `1.30.0`, from package.json.
    """
    package = json.loads((files(__name__) / "package.json").read_text("utf-8"))
    return str(package["dependencies"]["onnxruntime-web"])


def fetch_runtime() -> dict[str, bytes]:
    """Fetch onnxruntime-web by npm, from its cache or the network; npm checks the hashes of the lock file.

    Returns:
        Dict of file name -> content of the two files of the runtime.

    Raises:
        InputError: npm is not installed, cannot fetch the package, or takes longer than 5 minutes.
    """
    package = f"onnxruntime-web@{runtime_version()}"
    remedy = f"`npm install {package}` where there is a network, and give the folder by --runtime"
    npm = shutil.which("npm")
    if npm is None:
        raise InputError(f"a page needs onnxruntime-web, which comes from npm, and npm is not installed: {remedy}")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            (Path(folder) / name).write_bytes((files(__name__) / name).read_bytes())
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        seconds = 60 * NPM_TIMEOUT_MINUTES
        try:
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise InputError(
                f"npm did not fetch onnxruntime-web within {NPM_TIMEOUT_MINUTES} minutes: {remedy}"
            ) from error
        except subprocess.CalledProcessError as error:
            lines = (line for line in error.stderr.splitlines() if line.strip())
            reason = next(lines, f"exit code {error.returncode}")
            raise InputError(f"npm cannot fetch onnxruntime-web ({reason}): {remedy}") from error
        return _read_runtime(Path(folder) / "node_modules" / "onnxruntime-web")
