"""The route that serves the clips of a review, and nothing else."""

from typing import Any

from soundspot.errors import SoundspotError
from soundspot.review.media import ClipCutter

ROUTE = "/clips"
MEDIA_TYPES = {"image": "image/jpeg", "sound": "audio/flac", "video": "video/mp4"}


def add_clip_route(app: Any, cutter: ClipCutter) -> None:
    """Add the route `/clips/KIND/NUMBER` to a FastAPI application, which serves the files of clips, or status 404.

    Args:
        app: FastAPI application, changed in place.
        cutter: clips of the review.
    """
    from starlette.concurrency import run_in_threadpool
    from starlette.responses import FileResponse, JSONResponse, Response

    async def serve(kind: str, number: int) -> Response:
        clip = cutter.review.find_clip(number)
        if clip is None or kind not in ("image", clip.moment.kind):
            return JSONResponse({"detail": "There is no such clip."}, 404)
        try:
            path = await run_in_threadpool(cutter.cut, clip, kind)
        except SoundspotError:
            return JSONResponse({"detail": "The file of this clip is gone."}, 404)
        return FileResponse(path, media_type=MEDIA_TYPES[kind], headers={"cache-control": "private, max-age=3600"})

    app.get(ROUTE + "/{kind}/{number:int}")(serve)
