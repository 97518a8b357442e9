"""What `soundspot export` writes: one model, its parts, or a page that asks it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from soundspot.errors import OutputError
from soundspot.export.convert import build_metadata, check_installed, split_model, to_onnx, write_metadata
from soundspot.export.graph import check_exportable
from soundspot.export.quantize import calibration_scenes, check_quantizable, quantize
from soundspot.export.session import METADATA_FILE
from soundspot.export.web_page import assets, bundle_html, check_web_page
from soundspot.inference.localizer import Localizer
from soundspot.types import AudioVisualDataset
from soundspot.utils.atomic_io import (
    atomic_write,
    atomic_write_folder,
    check_output,
    check_output_folder,
    convert_os_errors,
)

SUFFIXES = (".onnx", ".html")


def export(
    localizer: Localizer,
    path: str | Path,
    *,
    int8: bool = False,
    page: bool = False,
    runtime: str | Path | None = None,
    calibration: AudioVisualDataset | None = None,
    source: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Write a model as ONNX; the file or folder appears whole or not at all.

    Args:
        path: `model.onnx`, one graph from picture and sound to the map; a name without a suffix, a folder of its parts
            (picture.onnx, sound.onnx, map.onnx and model.json), for who asks one picture often; `page.html`, a page in
            one file that asks the model in a browser.
        int8: eight bits in place of float32: a quarter of a large model's size.
        page: put the page into the folder beside the parts, for any host of static files.
        runtime: folder of the npm package onnxruntime-web, for pages; None: npm fetches it.
        calibration: data whose pictures and sounds set the ranges of int8; None: procedural scenes.
        source: where the model comes from, for its metadata.

    Returns:
        What the model says of itself.

    Raises:
        InputError: the model cannot be exported, or not to a page, and why; before any work is done.
        OutputError: the result cannot be written there.
    """
    path = Path(path)
    front_end = localizer.method.front_end
    one_file = path.suffix.lower() == ".html"
    check_exportable(localizer)
    check_installed("onnx", "onnxscript")
    if int8:
        check_quantizable(front_end)
    if path.suffix:
        check_output(path, overwrite, SUFFIXES)
    else:
        check_output_folder(path, overwrite, METADATA_FILE)
    if page and path.suffix:
        raise OutputError(f"{path}: --page goes with a folder; a name that ends in .html is a page in one file.")
    files: dict[str, bytes] = {}
    if page or one_file:
        check_web_page(localizer)
        files = assets(runtime)
    model = to_onnx(localizer.method)
    card = build_metadata(localizer, source)
    if int8:
        model = quantize(model, front_end, calibration or calibration_scenes(front_end))
        card["weights"] = "int8"
    write_metadata(model, card)
    if path.suffix.lower() == ".onnx":
        with atomic_write(path) as draft:
            draft.write_bytes(model.SerializeToString())
        return card
    parts = {f"{name}.onnx": part.SerializeToString() for name, part in split_model(model).items()}
    parts[METADATA_FILE] = (json.dumps(card, indent=1) + "\n").encode()
    if one_file:
        with atomic_write(path) as draft:
            draft.write_bytes(bundle_html(files, parts))
        return card
    with convert_os_errors(path), atomic_write_folder(path, overwrite, marker_file=METADATA_FILE) as folder:
        for name, content in {**files, **parts}.items():
            (folder / name).write_bytes(content)
    return card
