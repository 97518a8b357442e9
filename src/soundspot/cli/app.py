"""`soundspot app`: the web page of a model on this machine."""

import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from soundspot.cli.serve_page import serve_page
from soundspot.cli.shared_options import RefinementOptions
from soundspot.config.named_models import DEFAULT_MODEL
from soundspot.errors import InputError


def app(
    model: str = DEFAULT_MODEL,
    calibration: Path | None = None,
    index: Path | None = None,
    reports: Path | None = None,
    results: Path | None = None,
    host: str = "127.0.0.1",
    port: int = 7860,
    max_upload: str = "200MB",
    timeout: float = 60.0,
    max_video: float = 180.0,
    device: str = "auto",
    **refinement: Unpack[RefinementOptions],
) -> None:
    """Open a web page that locates sounds in images and videos. Nothing leaves this machine.

    Args:
        model: name of a model (`soundspot models`), a checkpoint of `soundspot train`, or `hub:OWNER/NAME`.
        calibration: threshold and probability for your own recordings, a file that `soundspot check-results` wrote, in
            place of the model's own.
        index: a folder that `soundspot search index` wrote, to search in.
        reports: a folder with reports in it, to read.
        results: a folder that `soundspot locate` wrote, to check as by `soundspot check-results`.
        host: address to listen at; 0.0.0.0 opens the page to everybody on the network.
        port: number to listen at; 0 takes a free one.
        max_upload: size of one upload.
        timeout: seconds that one answer may take; a video may take ten times as long.
        max_video: seconds that a video may last on the page.
        device: `auto`, `cpu`, `cuda`, `mps`...

    Examples:
        soundspot app --model runs/demo/best.safetensors --reports runs
    """
    from soundspot.app.limits import Limits, parse_size
    from soundspot.app.server import PageConfig, open_app
    from soundspot.inference.localizer import Localizer

    upload = parse_size(max_upload)
    for option, seconds in (("--timeout", timeout), ("--max-video", max_video)):
        if not 0 < seconds < math.inf:
            raise InputError(f"{option}: found {seconds:g}, expected seconds, more than 0, such as 60")
    limits = Limits(
        max_upload_bytes=upload,
        max_stored_bytes=max(10 * upload, 10**9),
        retention_seconds=max(Limits.retention_seconds, 20 * timeout),
        timeout=timeout,
        video_timeout=10 * timeout,
        max_video_seconds=max_video,
    )

    def open_page() -> AbstractContextManager[Any]:
        localizer = Localizer.load(model, device=device, calibration=calibration, **refinement)
        return open_app(PageConfig(localizer, index, reports, limits, results), host)

    serve_page(open_page, host, port, limits)
