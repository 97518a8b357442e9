"""Exports as JSON: of the library's own form with all tracks, and of COCO with an annotation for each frame."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from soundspot.data.media.rle import decode_mask
from soundspot.inference.connected_components import bounding_box
from soundspot.inference.events.event import Event, EventTable, Track, VideoFacts, make_table
from soundspot.inference.events.exports.text import name_videos
from soundspot.utils.safe_read import check_fields, convert_read_errors, read_json_object

VERSION = 1
EXPECTED = "expected events that `--events NAME.json` wrote"


def format_json(table: EventTable) -> str:
    """Format events as JSON with their tracks (docs/schemas/events.schema.json), an event a line.

    Args:
        table: events of one or several videos.

    Returns:
        `version`; `videos` with `path`, `size` [height, width], `frame_rate`, `sample_rate`, `seconds`, `model` and
        `calibrated`; and `events` with `video` (index in `videos`), `identity`, `label`, `start`, `end`, `confidence`
        and `track`: `frames`, `times`, `boxes`, `peaks`, `confidences` and, where there are contours, `masks`, as in
        `Track`.
    """
    numbers = {video: index for index, video in enumerate(table.videos)}
    videos = ",\n".join(json.dumps(_video_to_dict(video)) for video in table.videos)
    events = ",\n".join(json.dumps(_event_to_dict(event, numbers[event.video])) for event in table.events)
    return f'{{"version": {VERSION}, "videos": [\n{videos}\n], "events": [\n{events}\n]}}\n'


def _video_to_dict(video: VideoFacts) -> dict[str, Any]:
    return {
        "path": video.path.as_posix(),
        "size": list(video.size),
        "frame_rate": video.frame_rate,
        "sample_rate": video.sample_rate,
        "seconds": round(video.seconds, 4),
        "model": video.model,
        "calibrated": video.is_calibrated,
    }


def _event_to_dict(event: Event, video: int) -> dict[str, Any]:
    track = event.track
    return {
        "video": video,
        "identity": event.identity,
        "label": event.label,
        "start": round(event.start, 4),
        "end": round(event.end, 4),
        "confidence": round(event.confidence, 5),
        "track": {
            "frames": track.frames.tolist(),
            "times": track.times.round(4).tolist(),
            "boxes": track.boxes.tolist(),
            "peaks": track.peaks.tolist(),
            "confidences": track.confidences.astype(np.float64).round(5).tolist(),
            **({"masks": list(track.masks)} if track.masks else {}),
        },
    }


def read_json(path: Path) -> EventTable:
    """Read events that `format_json` wrote.

    Args:
        path: path of the JSON file.

    Returns:
        The events with their tracks.

    Raises:
        DataError: the file cannot be read, is of another kind or version, or contradicts itself.
    """
    content = read_json_object(path, EXPECTED)
    with convert_read_errors(path, EXPECTED):
        if content.get("version") != VERSION:
            raise ValueError(f"found version {content.get('version')!r:.60}, not {VERSION}")
        videos = [_dict_to_video(values) for values in content["videos"]]
        return make_table(videos, [_dict_to_event(values, videos) for values in content["events"]])


def _dict_to_video(values: dict[str, Any]) -> VideoFacts:
    rest = {key: values[key] for key in ("frame_rate", "sample_rate", "seconds", "model")}
    video = VideoFacts(Path(values["path"]), (*values["size"],), is_calibrated=values["calibrated"], **rest)
    check_fields(video)
    return video


def _dict_to_event(values: dict[str, Any], videos: list[VideoFacts]) -> Event:
    arrays = values["track"]
    n = len(arrays["frames"])
    track = Track(
        np.array(arrays["frames"], np.int32).reshape(n),
        np.array(arrays["times"], np.float64).reshape(n),
        np.array(arrays["boxes"], np.int32).reshape(n, 4),
        np.array(arrays["peaks"], np.int32).reshape(n, 2),
        np.array(arrays["confidences"], np.float32).reshape(n),
        (*map(str, arrays.get("masks", ())),),
    )
    if len(track.masks) not in (0, n):
        raise ValueError(f"found {len(track.masks)} masks of {n} frames")
    start, end, confidence = (float(values[key]) for key in ("start", "end", "confidence"))
    if not (n and 0 <= start < end < np.inf and np.isfinite(confidence)):
        raise ValueError(f"found an event from {start} to {end} s with {n} frames")
    index = values["video"]
    if not 0 <= index < len(videos):
        raise ValueError(f"found video {index} of {len(videos)}")
    return Event(int(values["identity"]), str(values["label"]), start, end, confidence, track, videos[index])


def _shape_to_dict(box: list[int], rle: dict[str, Any] | None) -> dict[str, Any]:
    """Return `bbox` and `area` of a region, or of its contour with `segmentation` and `region_bbox`."""
    x0, y0, x1, y1 = box
    region = [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]
    if rle is None:
        return {"bbox": region, "area": region[2] * region[3]}
    mask = decode_mask(rle)
    x0, y0, x1, y1 = bounding_box(mask)
    own = [float(x0), float(y0), float(x1 - x0), float(y1 - y0)]
    return {"bbox": own, "area": float(mask.sum()), "segmentation": rle, "region_bbox": region}


def format_coco(table: EventTable) -> str:
    """Format events as COCO's JSON: an annotation for each frame of an event, with `track_id` and `score`.

    Where contours were made, an annotation has the contour as `segmentation` with its `bbox` and `area`, and the box of
    the region that it was made from as `region_bbox`.

    A category is a label; sources without a name share the category `source`. Images are the frames that have an
    annotation, named `VIDEO/000012.jpg` by frame number; `video_id` and `frame_id` say which they are.

    Args:
        table: events of one or several videos.

    Returns:
        `images`, `videos`, `categories` and `annotations`; ids count from 1, `bbox` is [x, y, width, height] in pixels.
    """
    videos, names = {video: number for number, video in enumerate(table.videos, 1)}, name_videos(table)
    categories = {name: number for number, name in enumerate(sorted({event.category for event in table.events}), 1)}
    tracks: dict[tuple[VideoFacts, int], int] = {}
    images: dict[tuple[VideoFacts, int], dict[str, Any]] = {}
    annotations: list[dict[str, Any]] = []
    for event in table.events:
        track, video = event.track, event.video
        track_id = tracks.setdefault((video, event.identity), len(tracks) + 1)
        rows = (track.frames, track.times, track.boxes, track.confidences)
        masks = track.masks or ("",) * len(track)
        for frame, time, box, score, counts in zip(*(row.tolist() for row in rows), masks, strict=True):
            image = images.setdefault(
                (video, frame),
                {
                    "id": len(images) + 1,
                    "file_name": f"{names[video]}/{frame:06}.jpg",
                    "width": video.size[1],
                    "height": video.size[0],
                    "video_id": videos[video],
                    "frame_id": frame,
                    "time": round(time, 4),
                },
            )
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": categories[event.category],
                    "track_id": track_id,
                    **_shape_to_dict(box, {"size": list(video.size), "counts": counts} if counts else None),
                    "iscrowd": 0,
                    "score": round(score, 5),
                }
            )
    content = {
        "images": [*images.values()],
        "videos": [{"id": number, "name": names[video]} for video, number in videos.items()],
        "categories": [{"id": number, "name": name} for name, number in categories.items()],
        "annotations": annotations,
    }
    return json.dumps(content) + "\n"
