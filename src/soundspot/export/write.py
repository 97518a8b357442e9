"""Export of a model: one ONNX file, a folder of its subgraphs, or a web page that runs it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from soundspot.errors import OutputError
from soundspot.export.convert import build_metadata, check_installed, split_model, to_onnx, write_metadata
from soundspot.export.graph import check_exportable
from soundspot.export.quantize import calibration_scenes, check_quantizable, quantize_model
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


def export_model(
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
    """Write a model as ONNX; the file or folder appears complete or not at all.

    Args:
        localizer: localizer of the model to export.
        path: `model.onnx`, one graph from image and audio to the map; a name without a suffix, a folder of its
            subgraphs (image.onnx, audio.onnx, map.onnx and model.json), to encode an image once and predict often;
            `page.html`, a web page in one file that runs the model in a browser.
        int8: quantize weights and activations to 8 bits, a quarter of the size of a large float32 model.
        page: put the web page into the folder beside the subgraphs; only with a `path` without suffix.
        runtime: folder of the npm package onnxruntime-web, used for web pages only; None: npm fetches it.
        calibration: data whose images and audio set the activation ranges of int8; None: 64 procedural scenes.
        source: origin of the model for its metadata, a dict from `describe_checkpoint`; None: no origin.
        overwrite: replace an existing file, or an existing folder of an exported model; if False, these are errors.

    Returns:
        Dict of the metadata that are stored with the model, as `build_metadata` describes them.

    Raises:
        InputError: the model cannot be exported, quantized or run in a page, a library of the extra `export` is
            missing, or npm cannot fetch onnxruntime-web.
        OutputError: `path` exists already, has another suffix or cannot be written, its parent folder does not exist,
            or `page` is combined with a suffix.
    """
    path = Path(path)
    front_end = localizer.method.front_end
    is_html = path.suffix.lower() == ".html"
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
    if page or is_html:
        check_web_page(localizer)
        files = assets(runtime)
    model = to_onnx(localizer.method)
    metadata = build_metadata(localizer, source)
    if int8:
        model = quantize_model(model, front_end, calibration or calibration_scenes(front_end))
        metadata["weights"] = "int8"
    write_metadata(model, metadata)
    if path.suffix.lower() == ".onnx":
        with atomic_write(path) as draft:
            draft.write_bytes(model.SerializeToString())
        return metadata
    models = {f"{name}.onnx": subgraph.SerializeToString() for name, subgraph in split_model(model).items()}
    models[METADATA_FILE] = (json.dumps(metadata, indent=1) + "\n").encode()
    if is_html:
        with atomic_write(path) as draft:
            draft.write_bytes(bundle_html(files, models))
        return metadata
    with convert_os_errors(path), atomic_write_folder(path, overwrite, marker_file=METADATA_FILE) as folder:
        for name, content in {**files, **models}.items():
            (folder / name).write_bytes(content)
    return metadata
