"""`soundspot export`: a model as ONNX, its subgraphs, or a web page that runs it."""

from pathlib import Path

from soundspot.config.named_models import DEFAULT_MODEL


def export(
    model: str = DEFAULT_MODEL,
    output: Path = Path("model.onnx"),
    int8: bool = False,
    page: bool = False,
    runtime: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Export a model to ONNX (extra `export`), for onnxruntime or for a browser.

    Args:
        model: name of a model (`soundspot models`), a checkpoint of `soundspot train`, or `hub:OWNER/NAME`.
        output: `model.onnx`, one graph from image and audio to the map; a folder (no suffix), its subgraphs, so that an
            image is encoded once for many sounds; `page.html`, a web page in one file that runs the model in a browser.
        int8: 8 bits, calibrated on procedural scenes: a quarter of a large model's size, a little less exact.
        page: with a folder: put the web page beside the subgraphs, for any host of static files.
        runtime: folder of the npm package onnxruntime-web; by default npm fetches it.
        overwrite: replace what is there.

    Examples:
        soundspot export --model runs/demo/best.safetensors -o model.onnx
    """
    from soundspot.config.checkpoint import describe_checkpoint, hash_recipe, read_header
    from soundspot.export import export_model
    from soundspot.inference.localizer import load
    from soundspot.utils.atomic_io import check_output, format_bytes

    check_output(output, overwrite)
    localizer = load(model)
    source = describe_checkpoint(localizer.checkpoint)
    is_checkpoint = Path(localizer.checkpoint).is_file()  # and no released file on the hub
    if is_checkpoint and (recipe := read_header(localizer.checkpoint).get("recipe")):
        source["recipe"] = hash_recipe(recipe)
    metadata = export_model(
        localizer, output, int8=int8, page=page, runtime=runtime, source=source, overwrite=overwrite
    )
    files = [output] if output.is_file() else sorted(output.iterdir())
    size = format_bytes(sum(file.stat().st_size for file in files))
    side, rate = metadata["front_end"]["image"]["size"], metadata["front_end"]["audio"]["rate"]
    samples = f"{metadata['samples']} samples at {rate} Hz" if rate else f"embeddings of {metadata['samples']}"
    print(f"{output}: {metadata['title']}, {metadata['weights']}, {size}")
    print(f"  image (b, {metadata['channels']}, {side}, {side}) in [0, 1], audio (b, {metadata['samples']}): {samples}")
    if page:
        print(f"  serve it: python -m http.server --bind 127.0.0.1 --directory {output}")
    elif output.suffix == ".html":
        print("  open it in a browser; it needs no server")
