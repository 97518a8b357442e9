"""`whence app CHECKPOINT`: the web page of a model on this machine."""

import math
from pathlib import Path

from typing_extensions import Unpack

from whence.cli.refining import Refining
from whence.errors import RecipeError


def app(
    checkpoint: str,
    index: Path | None = None,
    reports: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    max_upload: str = "200MB",
    timeout: float = 60.0,
    max_video: float = 180.0,
    device: str = "auto",
    **refinement: Unpack[Refining],
) -> None:
    """Open a web page that asks the model with pictures, videos and sounds. Nothing leaves this machine.

    Args:
        checkpoint: a .safetensors file that `whence train` wrote.
        index: a folder that `whence search index` wrote, to search in.
        reports: a folder with reports in it, to read.
        host: address to listen at; 0.0.0.0 opens the page to everybody on the network.
        port: number to listen at; 0 takes a free one.
        max_upload: size of what may be sent at once.
        timeout: seconds that one answer may take; a video may take ten times as long.
        max_video: seconds that a video may last on the page.
        device: `auto`, `cpu`, `cuda`...

    Examples:
        whence app runs/demo/best.safetensors --reports runs
    """
    from whence.app.limits import Limits, parse_size
    from whence.app.server import Page, free_port, serve
    from whence.inference.localizer import Localizer

    upload = parse_size(max_upload)
    for option, seconds in (("--timeout", timeout), ("--max-video", max_video)):
        if not 0 < seconds < math.inf:
            raise RecipeError(f"{option}: found {seconds:g}, expected seconds, more than 0, such as 60")
    limits = Limits(
        upload=upload,
        stored=max(10 * upload, 10**9),
        kept=max(Limits.kept, 20 * timeout),
        seconds=timeout,
        video_timeout=10 * timeout,
        video=max_video,
    )
    port = free_port(host, port)
    localizer = Localizer.load(checkpoint, device=device, **refinement)
    print(f"the page is at http://{host}:{port} (control-C ends it)")
    serve(Page(localizer, checkpoint, index, reports, limits), host, port)
