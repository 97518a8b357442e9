"""What `whence export` writes: one model, its parts, or a page that asks it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from whence.errors import OutputError
from whence.export.convert import cut, describe, require, tell, to_onnx
from whence.export.graph import refuse
from whence.export.page import as_one_file, assets, refuse_for_page
from whence.export.quantise import quantised, refuse_int8, scenes
from whence.export.session import CARD
from whence.inference.localizer import Localizer
from whence.output import check_folder, check_output, whole_file, whole_folder, writing
from whence.types import AudioVisualDataset

KINDS = (".onnx", ".html")


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
    refuse(localizer)
    require("onnx", "onnxscript")
    if int8:
        refuse_int8(front_end)
    if path.suffix:
        check_output(path, overwrite, KINDS)
    else:
        check_folder(path, overwrite, CARD)
    if page and path.suffix:
        raise OutputError(f"{path}: --page goes with a folder; a name that ends in .html is a page in one file.")
    files: dict[str, bytes] = {}
    if page or one_file:
        refuse_for_page(localizer)
        files = assets(runtime)
    model = to_onnx(localizer.method)
    card = describe(localizer, source)
    if int8:
        model = quantised(model, front_end, calibration or scenes(front_end))
        card["weights"] = "int8"
    tell(model, card)
    if path.suffix.lower() == ".onnx":
        with whole_file(path) as draft:
            draft.write_bytes(model.SerializeToString())
        return card
    parts = {f"{name}.onnx": part.SerializeToString() for name, part in cut(model).items()}
    parts[CARD] = (json.dumps(card, indent=1) + "\n").encode()
    if one_file:
        with whole_file(path) as draft:
            draft.write_bytes(as_one_file(files, parts))
        return card
    with writing(path), whole_folder(path, overwrite, holds=CARD) as folder:
        for name, content in {**files, **parts}.items():
            (folder / name).write_bytes(content)
    return card
