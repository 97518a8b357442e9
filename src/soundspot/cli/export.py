"""`soundspot export CHECKPOINT`: the model as ONNX, its parts, or a page that runs it in a browser."""

from pathlib import Path


def export(
    checkpoint: str,
    output: Path = Path("model.onnx"),
    int8: bool = False,
    page: bool = False,
    runtime: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Export a model to ONNX (extra `export`), for onnxruntime or for a browser.

    Args:
        checkpoint: a .safetensors file that `soundspot train` wrote.
        output: `model.onnx`, one graph from picture and sound to the map; a folder (no suffix), its parts, so that a
            picture is encoded once and asked often; `page.html`, a page in one file that runs the model in a browser.
        int8: eight bits, calibrated on procedural scenes: a quarter of a large model's size, a little less exact.
        page: with a folder: put the page beside the parts, for any host of static files.
        runtime: folder of the npm package onnxruntime-web; by default npm fetches it.
        overwrite: replace what is there.

    Examples:
        soundspot export runs/demo/best.safetensors -o model.onnx
    """
    from soundspot.config.checkpoint import describe_checkpoint, hash_recipe, read_header
    from soundspot.export import export as write
    from soundspot.inference.localizer import Localizer
    from soundspot.utils.atomic_io import check_output, format_bytes

    check_output(output, overwrite)
    localizer = Localizer.load(checkpoint)
    source = describe_checkpoint(checkpoint)
    if Path(checkpoint).is_file() and (recipe := read_header(checkpoint).get("recipe")):
        source["recipe"] = hash_recipe(recipe)
    card = write(localizer, output, int8=int8, page=page, runtime=runtime, source=source, overwrite=overwrite)
    files = [output] if output.is_file() else sorted(output.iterdir())
    size = format_bytes(sum(file.stat().st_size for file in files))
    side, rate = card["front_end"]["image"]["size"], card["front_end"]["audio"]["rate"]
    heard = f"{card['samples']} samples at {rate} Hz" if rate else f"vectors of {card['samples']}"
    print(f"{output}: {card['title']}, {card['weights']}, {size}")
    print(f"  picture (b, {card['planes']}, {side}, {side}) in [0, 1], sound (b, {card['samples']}): {heard}")
    if page:
        print(f"  serve it: python -m http.server --bind 127.0.0.1 --directory {output}")
    elif output.suffix == ".html":
        print("  open it in a browser; it needs no server")
