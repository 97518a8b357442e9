"""`soundspot locate IMAGE AUDIO ...` and `soundspot locate VIDEO`: where a sound comes from."""

import json as to_json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import Unpack

from soundspot.cli.folders import EXIT_SOME_FAILED, FOLDER_OUTPUT, list_inputs, make_parent, plan_targets
from soundspot.cli.locate_images import (
    PRESENCE,
    REMEDY,
    ImageOptions,
    format_result,
    locate_image,
    locate_images,
    plan_images,
    print_known,
    read_sounds,
    write_results,
)
from soundspot.cli.shared_options import RefinementOptions
from soundspot.config.named_models import DEFAULT_MODEL
from soundspot.data.media.file_types import (
    EXPECTED_AUDIO,
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    check_readable,
    count_passed_over,
    format_passed_over,
    no_videos_error,
)
from soundspot.errors import InputError, OutputError, SoundspotError
from soundspot.utils.atomic_io import atomic_write, check_output
from soundspot.utils.progress import progress_bar
from soundspot.utils.startup import fast_imports

if TYPE_CHECKING:
    from soundspot.inference.localizer import Localizer
    from soundspot.inference.video.save import VideoOutputs, VideoSummary

HEAD_LENGTH = 4096  # characters of frame records that hold their header
FOLDER_SUFFIXES = {  # of the files of each video of a folder
    "overlay": ".mp4",
    "contact_sheet": ".sheet.jpg",
    "timeline": ".timeline.png",
    "frame_records": ".frames.json",
    "maps": ".maps.npz",
}
EVENTS_SUFFIX = ".events.json"  # of each video of a folder, where a table of all is written


def locate(
    image: Path,
    audio: list[str],
    model: str = DEFAULT_MODEL,
    output: Path | None = None,
    mask_threshold: float | str = 0.5,
    boxes: bool = False,
    mask: Path | None = None,
    per_source: bool = False,
    next_frame: str | None = None,
    audio_track: int | None = None,
    json: bool = False,
    contact_sheet: Path | None = None,
    timeline: Path | None = None,
    frame_records: Path | None = None,
    maps: Path | None = None,
    events: Path | None = None,
    format: str | None = None,
    maps_per_second: float | None = None,
    smooth: float = 0.0,
    size: int | None = None,
    onset: str | None = None,
    offset: str | None = None,
    min_duration_on: float | None = None,
    min_duration_off: float | None = None,
    calibration: Path | None = None,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    contour: str | None = None,
    overwrite: bool = False,
    **refinement: Unpack[RefinementOptions],
) -> int:
    """Locate a sound in an image, in a video of any length, or in each image or video of a folder.

    Args:
        image: an image, a video, or a folder of images or videos; each image is written as NAME.png and NAME.json, each
            video as NAME.mp4, NAME.sheet.jpg, NAME.timeline.png, NAME.frames.json and NAME.maps.npz. What was
            located before is skipped, or named where it was by another model or option, and a file that cannot be used
            does not stop the others and is named.
        audio: of an image, one or more sound files; the image is encoded once. Of a folder of images the same for all;
            without, each image has a sound of its name beside it, such as NAME.wav. Of a video, at most one sound or
            video that replaces its own sound.
        model: name of a model (`soundspot models`), a checkpoint of `soundspot train`, or `hub:OWNER/NAME`.
        calibration: threshold and probability for your own recordings, a file that `soundspot check-results` wrote, in
            place of the model's own.
        output: of an image `.png`, `.jpg` or `.webp`: the overlay (of several sounds side by side, and in one image by
            color), `.npz`: raw scores, `.json`: peak, boxes, confidence and notes; by default out.png. Of a video the
            overlay with its sound (`.mp4`, `.mov`, `.mkv`), by default out.mp4; of a folder a folder, by default
            `located`.
        mask_threshold: of masks and boxes: a number in [0, 1] between the map's lowest and highest score, `half`,
            `share:0.1` or `score:0.3`.
        boxes: of an image: draw boxes around the regions of the mask.
        mask: of an image: also write the mask, white on black (`.png`), for one sound.
        per_source: of an image: a map for each audible source, for methods that tell the sources of a mixture apart.
        next_frame: of an image: the next frame, for methods that use optical flow (heartheflow).
        audio_track: number of the audio track of a video or a sound file with several, from 0; by default the one that
            the file marks as its default, else the first that can be decoded.
        json: of an image: print the summary as JSON.
        contact_sheet: of a video: also write twelve frames side by side (`.jpg`, `.png`).
        timeline: of a video: also plot the peak over time, and where it is below the fitted threshold (`.png`).
        frame_records: of a video: also write boxes and mask of each frame (`.json`).
        maps: of a video: also write the raw maps (`.npz`).
        events: of a video, or in one table of all videos of a folder: also write when sources sound, and where
            (`.csv`, `.json`, `.coco.json`, `.txt` for Audacity, `.raven.txt`, `.eaf`, `.srt`, `.vtt`, `.rttm`).
        format: format of the events, whatever the ending: csv, json, coco, audacity, raven, elan, srt, webvtt, rttm.
        maps_per_second: of a video: rate of maps, which are interpolated between; by default each frame has its own.
            Large frames have more: of 1920x1080 at least each 15th has one, of 3840x2160 each third.
        smooth: of a video: seconds over which maps are averaged; they lag behind by that.
        size: of a video: side of the network's input in pixels; smaller is faster and coarser. By default the model's.
        onset: of events: mean probability of presence in [0, 1] from which a source is in the picture, or `score:0.3`;
            by default the model's threshold, less twice as far as codecs move a peak.
        offset: of events: probability, or `score:0.3`, below which one pauses; by default the onset, less as much.
        min_duration_on: of events: shortest in seconds, 1 by default; shorter ones are left out.
        min_duration_off: of events: shortest pause in seconds, 0.9 by default; shorter ones are bridged.
        device: `auto`, `cpu`, `cuda`, `mps`...
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 for videos where the machine has it.
        contour: also make each region the contour of an object: `grabcut` (extra `flow`), `sam2` (experimental,
            extra `hub`; in a video it follows the object) or `sam2:WEIGHTS`. Regions and boxes stay as they are;
            `--mask NAME.png` also writes NAME.contour.png, `--events` in COCO's form the masks.
        overwrite: replace files that are there.

    Examples:
        soundspot locate runs/demo/example.png runs/demo/example.wav --model runs/demo/best.safetensors
    """
    with fast_imports():
        from PIL import Image

        from soundspot.inference.events.options import EventOptions
        from soundspot.inference.localizer import Localizer
        from soundspot.inference.result import RESULT_SUFFIXES, parse_mask_threshold
        from soundspot.utils.device import has_native_bf16, resolve_device

    files = {"contact_sheet": contact_sheet, "timeline": timeline, "frame_records": frame_records, "maps": maps}
    of_events: dict[str, Any] = {"onset": onset, "offset": offset}
    of_events |= {"min_duration_on": min_duration_on, "min_duration_off": min_duration_off}
    of_events = {name: value for name, value in of_events.items() if value is not None}
    of_model: dict[str, Any] = {"device": device, "calibration": calibration, "contour": contour, **refinement}
    of_images = {"boxes": boxes, "mask": mask, "per_source": per_source, "next_frame": next_frame, "json": json}
    suffix = image.suffix.lower()
    kind, number = parse_mask_threshold(mask_threshold)
    if contour is not None and (kind, number) != ("relative", 0.5):
        raise InputError(
            f"--mask-threshold: found {mask_threshold} beside --contour {contour}, which outlines the regions of 0.5. "
            "Leave one of them out, and run the command twice for both."
        )
    folder = output or FOLDER_OUTPUT
    is_batch = image.is_dir() and (bool(audio) or is_image_folder(image, folder))
    if not is_batch and (image.is_dir() or suffix in VIDEO_SUFFIXES or not (audio or suffix in IMAGE_SUFFIXES)):
        check_unused(image, "an image", of_images)
        if events is None:
            check_unused(image, "events, and --events names no file for these", {"format": format, **of_events})
        event_files = {"events": events, "event_format": format, "event_options": EventOptions(**of_events)}
        jobs = plan_videos(image, audio, output, files, mask_threshold, overwrite, event_files)
        if precision == "auto":
            kind = resolve_device(device).type
            precision = "bfloat16" if kind == "cuda" or (kind == "cpu" and has_native_bf16()) else "float32"
        localizer = Localizer.load(model, precision=precision, **of_model)
        options = {"audio": audio[0] if audio else None, "maps_per_second": maps_per_second, "smooth": smooth}
        options |= {"audio_track": audio_track, "size": size}
        code = locate_videos(localizer, jobs, options, overwrite)
        if image.is_dir():
            if events is not None:
                count = write_table(events, format, [outputs for _, outputs in jobs])
                print(f"written: {events}, {count} event{'' if count == 1 else 's'}")
            counts = count_passed_over(list_inputs(image, folder), VIDEO_SUFFIXES)
            if note := format_passed_over(counts):
                print(note)
        return code
    of_videos: dict[str, Any] = {"events": events, "format": format, **of_events}
    of_videos |= {"maps_per_second": maps_per_second, "smooth": smooth, "size": size}
    check_unused(image, "a video", files | of_videos)
    options_of_images = ImageOptions(mask_threshold, boxes, per_source, next_frame, audio_track, model, contour)
    precision = "float32" if precision == "auto" else precision
    if is_batch:
        check_unused(image, "one image", {"mask": mask, "next_frame": next_frame})
        images = plan_images(image, audio, folder)
        localizer = Localizer.load(model, precision=precision, **of_model)
        return locate_images(localizer, images, options_of_images, overwrite, json)
    if not audio:
        raise InputError(f"{image} is an image: found no sound to locate in it, expected one or more after it.")
    output = output or Path("out.png")
    for path in (image, *map(Path, audio)):
        check_readable(path, EXPECTED_AUDIO if path != image else "an image file such as JPEG or PNG")
    check_output(output, overwrite, RESULT_SUFFIXES)
    if mask is not None:
        check_output(mask, overwrite, (".png",))
        if contour is not None:
            check_output(mask.with_suffix(".contour.png"), overwrite, (".png",))
        if len(audio) != 1 or per_source:
            raise OutputError(f"{mask}: a mask is of one map, and there may be several. Locate sounds one by one.")
    localizer = Localizer.load(model, precision=precision, **of_model)
    if next_frame is not None and not localizer.front_end.image.flow:
        raise InputError(f"--next-frame: {localizer.name} does not use optical flow; leave it out.")
    sounds = read_sounds(localizer, audio, audio_track)
    results, summaries = locate_image(localizer, image, sounds, options_of_images)
    write_results(output, results, summaries, mask_threshold if boxes else None)
    masks: dict[Path, Any] = {}
    if mask is not None:
        masks[mask] = results[audio[0]].mask(mask_threshold).numpy()
        if contour is not None:
            masks[mask.with_suffix(".contour.png")] = results[audio[0]].contour_mask().numpy()
    for path, pixels in masks.items():
        with atomic_write(path) as draft:
            Image.fromarray(pixels).save(draft)
    if json:
        print(to_json.dumps(summaries, indent=2))
    else:
        print("\n".join(map(format_result, results, summaries)))
        print_known(localizer, any(summary["present"] is False for summary in summaries))
        print(f"written: {', '.join(map(str, [output, *masks]))}")
    return 0


def is_image_folder(folder: Path, output: Path) -> bool:
    """Return True for a folder that has images and no videos, which are located by the sounds of their names."""
    suffixes = {path.suffix.lower() for path in list_inputs(folder, output)}
    return not suffixes.isdisjoint(IMAGE_SUFFIXES) and suffixes.isdisjoint(VIDEO_SUFFIXES)


def check_unused(path: Path, kind: str, options: dict[str, Any]) -> None:
    """Raise InputError where an option is given that applies to inputs of another kind only."""
    if given := [name.replace("_", "-") for name, value in options.items() if value]:
        raise InputError(f"{path}: found --{given[0]}, which applies to {kind}. Leave it out.")


def plan_videos(
    path: Path,
    audio: list[str],
    output: Path | None,
    files: dict[str, Any],
    mask_threshold: float | str,
    overwrite: bool,
    event_files: dict[str, Any],
) -> list[tuple[Path, "VideoOutputs"]]:
    """Return the video, or the videos below a folder, with the files to write of each.

    Args:
        path: a video or a folder.
        audio: sounds that replace the video's own: at most one.
        output: path of the overlay, or the folder for those of a folder.
        files: of `VideoOutputs`, without the overlay.
        mask_threshold: of boxes and masks.
        overwrite: files that are there may be replaced.
        event_files: of `VideoOutputs`, of events: of a folder, each video has its own file beside the table of all.

    Returns:
        Path and outputs of each video.

    Raises:
        InputError: there are sounds too many, or files are named for a folder. DataError: the folder has no videos, or
            two of one name. OutputError: a file or a folder of results cannot be written.
    """
    from soundspot.inference.events.exports.formats import choose_format
    from soundspot.inference.video.save import VideoOutputs

    if not path.is_dir():
        if len(audio) > 1:
            raise InputError(f"{path} is a video: found {len(audio)} sounds for it, expected at most one.")
        outputs = VideoOutputs(output or Path("out.mp4"), **files, mask_threshold=mask_threshold, **event_files)
        outputs.check(overwrite)
        return [(path, outputs)]
    if any(files.values()):
        raise InputError(
            f"{path} is a folder, whose videos have names of their own: leave out --contact-sheet, --timeline, "
            "--frame-records and --maps. All files are written anyway."
        )
    folder, events = output or FOLDER_OUTPUT, event_files["events"]
    suffixes = FOLDER_SUFFIXES
    if events is not None:
        choose_format(events, event_files["event_format"], several=True)
        check_output(events, overwrite=True)
        suffixes, event_files = suffixes | {"events": EVENTS_SUFFIX}, {"event_options": event_files["event_options"]}
    jobs: list[tuple[Path, VideoOutputs]] = []
    for video, target in plan_targets(path, folder, VIDEO_SUFFIXES).items():
        make_parent(target)
        targets: dict[str, Any] = {kind: Path(f"{target}{suffix}") for kind, suffix in suffixes.items()}
        jobs.append((video, VideoOutputs(**targets, mask_threshold=mask_threshold, **(event_files if events else {}))))
    if not jobs:
        raise no_videos_error(path, count_passed_over(list_inputs(path, folder), VIDEO_SUFFIXES))
    return jobs


def locate_videos(
    localizer: "Localizer", jobs: list[tuple[Path, "VideoOutputs"]], options: dict[str, Any], overwrite: bool
) -> int:
    """Locate videos one by one; a video that cannot be used is reported, and does not stop the others.

    Args:
        localizer: of a method that takes waveforms.
        jobs: path and outputs of each video.
        options: of `LocatedVideo`.
        overwrite: replace files that are there; without it, a video whose overlay is there is skipped.

    Returns:
        The exit code.
    """
    failed, num_absent = 0, 0
    model_id = localizer.identify(options.get("size") or localizer.video_size, options.get("smooth") or 0)
    facts = {"model": localizer.title, "model_id": model_id, "threshold": localizer.threshold}
    facts |= {"audio_track": options.get("audio_track"), "contour": localizer.contour}
    facts |= {"maps_per_second": options.get("maps_per_second")}
    for path, outputs in jobs:
        if not overwrite and Path(outputs.overlay or "").exists():
            has_events = outputs.events is None or Path(outputs.events).exists()
            of_outputs: dict[str, Any] = {"mask_threshold": outputs.mask_threshold}
            if outputs.events is not None and has_events:
                of_outputs["event_options"] = asdict(outputs.event_options)
            if not is_done_by(Path(outputs.frame_records or ""), facts | of_outputs):
                failed += 1
                print(f"soundspot: {outputs.overlay} is of another model or option. {REMEDY}", file=sys.stderr)
                continue
            if has_events:
                print(f"{path}: done before")
                continue
        started = time.monotonic()
        try:
            with progress_bar(path.name) as show:
                video = localizer.locate_video(path, **options)
                summary = video.save(
                    **vars(outputs), progress=lambda done, total: show(int(done), max(1, round(total)))
                )
        except SoundspotError as error:
            failed += 1
            print(f"soundspot: {error}", file=sys.stderr)
        else:
            print(format_summary(path, summary, time.monotonic() - started))
            print("  written: " + ", ".join(map(str, outputs.paths().values())))
            num_absent += summary.num_absent or 0
    print_known(localizer, num_absent > 0)
    if len(jobs) > 1:
        print(f"{len(jobs) - failed} of {len(jobs)} videos are located")
    return EXIT_SOME_FAILED if failed else 0


def write_table(path: Path, name: str | None, outputs: list["VideoOutputs"]) -> int:
    """Write one table of the events of all videos of a folder that are located, also of those that were done before.

    Args:
        path: path of the table, which is replaced.
        name: name of its format; None: by its ending.
        outputs: files of each video.

    Returns:
        Number of events.

    Raises:
        DataError: the events of a video cannot be read. OutputError: the table cannot be written.
    """
    from soundspot.inference.events.exports.data import read_json
    from soundspot.inference.events.exports.formats import write_events
    from soundspot.inference.events.video_events import merge_events

    files = [Path(output.events) for output in outputs if output.events is not None]
    table = merge_events(read_json(file) for file in files if file.exists())
    write_events(path, table, name)
    return len(table)


def is_done_by(records: Path, facts: dict[str, Any]) -> bool:
    """Return True where the header of frame records, which ends before the frames, has these facts; None: none."""
    try:
        with records.open(encoding="utf-8") as file:
            header = to_json.loads(file.read(HEAD_LENGTH).partition(', "frames": [')[0] + "}")
    except (OSError, ValueError):  # of another kind, or killed while it was written
        return False
    return all(header.get(name) == fact for name, fact in facts.items())  # without contours it does not name them


def format_summary(path: Path, summary: "VideoSummary", seconds: float) -> str:
    """Format the summary of a video, located in so many seconds: a line, one for each run of presence and each note."""
    from soundspot.inference.video.presence import MAX_RUNS, merge_seconds

    n = summary.num_frames
    absent = summary.num_absent
    presence = PRESENCE[None] if absent is None else f"nothing here in {100 * absent / n:.0f} % of them"
    line = f"{path}: {n} frames, {summary.seconds:.1f} s, {presence}; {n / seconds:.0f} frames/s"
    runs = merge_seconds(summary.presence) if absent is not None else []
    lines = [f"  {run}" for run in runs[:MAX_RUNS]]
    lines += [f"  ... and {len(runs) - MAX_RUNS} more changes: --frame-records has all"] if len(runs) > MAX_RUNS else []
    if summary.events is not None:
        lines += ["  events, which may begin somewhat below the threshold (--onset):"] if len(summary.events) else []
        lines += [f"  {event}" for event in summary.events[:MAX_RUNS]] or ["  no event"]
        rest = len(summary.events) - MAX_RUNS
        lines += [f"  ... and {rest} more events"] if rest > 0 else []
    return "\n".join([line, *lines, *(f"  note: {note}" for note in summary.notes)])
