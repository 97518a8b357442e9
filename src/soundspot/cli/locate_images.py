"""Locate sounds in one image, or in each image of a folder."""

import json as to_json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from soundspot.cli.folders import EXIT_SOME_FAILED, list_inputs, make_parent, plan_targets
from soundspot.data.media.file_types import AUDIO_SUFFIXES, IMAGE_SUFFIXES, VIDEO_SUFFIXES
from soundspot.errors import DataError, InputError, SoundspotError
from soundspot.utils.atomic_io import atomic_write
from soundspot.utils.progress import track

if TYPE_CHECKING:
    from soundspot.inference.localizer import Localizer
    from soundspot.inference.result import LocalizationMap, MaskThreshold

    Located = tuple[dict[str, LocalizationMap], list[dict[str, Any]]]

REMEDY = "Pass --overwrite to replace it, or name another folder with --output."
PRESENCE = {True: "present", False: "not in the image", None: "presence unknown (no threshold of these maps)"}


@dataclass(frozen=True)
class ImageOptions:
    """Options of `soundspot locate` for images; see there.

    Attributes:
        mask_threshold: of masks and boxes.
        boxes: draw boxes.
        per_source: a map for each audible source.
        next_frame: path of the next frame.
        audio_track: number of the audio track.
        model: name of the model, for the summaries.
        contour: segmenter of contours, for the summaries.
    """

    mask_threshold: float | str = 0.5
    boxes: bool = False
    per_source: bool = False
    next_frame: str | None = None
    audio_track: int | None = None
    model: str = ""
    contour: str | None = None


def read_sounds(localizer: "Localizer", names: list[str], track: int | None) -> dict[str, Any]:
    """Read sound files for a localizer; where it takes embeddings, their paths are passed on."""
    from soundspot.data.media.audio import read_audio

    return {name: read_audio(name, track=track) if localizer.takes_waveforms else name for name in names}


def locate_image(localizer: "Localizer", image: Path, sounds: Mapping[str, Any], options: ImageOptions) -> "Located":
    """Locate sounds in an image, which is encoded once.

    Args:
        localizer: the model.
        image: path of the image.
        sounds: name -> sound (`read_sounds`).
        options: what to do.

    Returns:
        The map of each sound, or of each of its sources, and their summaries.

    Raises:
        InputError: the image cannot be used, or there is no audible source.
    """
    from soundspot.data.media.audio import find_window

    encoded = localizer.encode_image(image, next_frame=options.next_frame)
    results: dict[str, LocalizationMap] = {}
    summaries = []
    for name, sound in sounds.items():
        per_source = options.per_source
        sources = localizer.locate_sources(encoded, sound) if per_source else [localizer.predict(encoded, sound)]
        for number, result in enumerate(sources, 1):
            results[f"{name} ({number})" if per_source else name] = result
            source = {"source": number} if per_source else {}
            origin: dict[str, Any] = {
                "image": str(image),
                "sound": name,
                "model": options.model,
                "model_id": localizer.identity,
            }
            origin |= {} if options.audio_track is None else {"audio_track": options.audio_track}
            if localizer.takes_waveforms:
                window = find_window(sound.seconds, localizer.front_end.audio)
                origin["audio_window"] = [round(seconds, 3) for seconds in window]
            origin |= {} if options.contour is None else {"contour": options.contour}
            summaries.append({**origin, **source, **result.to_dict(options.mask_threshold)})
    if not results:
        raise InputError("found no audible source in the sounds; leave out --per-source for a map of each sound.")
    return results, summaries


def plan_images(folder: Path, audio: list[str], output: Path) -> list[tuple[Path, list[str], Path]]:
    """Return the images below a folder with their sounds and results.

    Args:
        folder: the folder.
        audio: sounds that are located in each image; none: each image has the sound files of its own name beside it.
        output: folder of the results.

    Returns:
        Image, sounds, and path of the results without suffix; no sounds where the image has none of its name.

    Raises:
        DataError: the folder has no images, two of one name, or no image has a sound.
    """
    targets = plan_targets(folder, output, IMAGE_SUFFIXES)
    own: dict[Path, list[str]] = {}
    for path in [] if audio else list_inputs(folder, output):
        if path.suffix.lower() in AUDIO_SUFFIXES:
            own.setdefault(path.with_suffix(""), []).append(str(path))
    jobs = [(image, audio or own.get(image.with_suffix(""), []), target) for image, target in targets.items()]
    videos = [path for path in list_inputs(folder, output) if path.suffix.lower() in VIDEO_SUFFIXES]
    if videos and not targets:
        raise DataError(
            f"{folder}: found videos and no images, expected images, as a sound is given with it. Leave the sound out, "
            f"or give it with one video: `soundspot locate {videos[0]} {audio[0]}`."
        )
    if not targets:
        raise DataError(
            f"{folder}: found no images ({', '.join(IMAGE_SUFFIXES[:4])}...), expected some. Check the path."
        )
    if not any(sounds for _, sounds, _ in jobs):
        raise DataError(
            f"{folder}: found {len(jobs)} images and no sound, expected one after the folder, or beside NAME"
            f"{jobs[0][0].suffix} the file NAME.wav. Add a sound."
        )
    return jobs


def locate_images(
    localizer: "Localizer",
    jobs: list[tuple[Path, list[str], Path]],
    options: ImageOptions,
    overwrite: bool,
    json: bool,
) -> int:
    """Locate sounds in images one by one; an image that cannot be used is named, and does not stop the others.

    Args:
        localizer: the model.
        jobs: image, sounds, and path of the results, to which `.png` (overlay) and `.json` (summary) are added.
        options: of each image.
        overwrite: replace results; without it, an image whose overlay is there is skipped.
        json: print the summaries as JSON in place of lines.

    Returns:
        The exit code.
    """
    failed: list[Path] = []
    printed: list[dict[str, Any]] = []
    sounds: dict[str, Any] = {}
    if all(names == jobs[0][1] for _, names, _ in jobs):  # of all images: a mistake in it ends the command
        sounds = read_sounds(localizer, jobs[0][1], options.audio_track)
    for image, names, target in track(jobs, "images"):
        overlay, summary = Path(f"{target}.png"), Path(f"{target}.json")
        if overlay.exists() and not overwrite:
            if is_answer(summary, names, options, localizer):
                print(f"{image}: done before", file=sys.stderr if json else sys.stdout)
            else:
                failed.append(image)
                print(f"soundspot: {overlay} is of another sound, model or option. {REMEDY}", file=sys.stderr)
            continue
        try:
            if not names:
                raise InputError(f"{image}: found no sound of its name beside it, expected one such as .wav. Add it.")
            if list(sounds) != names:
                sounds = read_sounds(localizer, names, options.audio_track)
            results, summaries = locate_image(localizer, image, sounds, options)
            make_parent(target)
            write_results(summary, results, add_masks(results, summaries, options.mask_threshold), None)
            write_results(overlay, results, summaries, options.mask_threshold if options.boxes else None)
        except SoundspotError as error:
            failed.append(image)
            print(f"soundspot: {error}", file=sys.stderr)
            continue
        printed += summaries
        if not json:
            print(f"{image}\n  " + "\n".join(map(format_result, results, summaries)).replace("\n", "\n  "))
    if json:
        print(to_json.dumps(printed, indent=2))
    else:
        print_known(localizer, any(entry["present"] is False for entry in printed))
        print(f"{len(jobs) - len(failed)} of {len(jobs)} images are located, in {jobs[0][2].parent}")
    if failed:
        print(f"not located: {', '.join(map(str, failed))}", file=sys.stderr)
    return EXIT_SOME_FAILED if failed else 0


def add_masks(
    results: dict[str, "LocalizationMap"], summaries: list[dict[str, Any]], threshold: "MaskThreshold"
) -> list[dict[str, Any]]:
    """Return summaries with the mask of each map, run-length encoded as in frame records."""
    from soundspot.data.media.rle import count_runs

    masks = [result.mask(threshold).numpy() for result in results.values()]
    return [
        {**summary, "mask": {"size": list(mask.shape), "counts": count_runs(mask.T)}}
        for summary, mask in zip(summaries, masks, strict=True)
    ]


def is_answer(summary: Path, names: list[str], options: ImageOptions, localizer: "Localizer") -> bool:
    """Return True where a file of summaries is of these sounds, by this model and with these options."""
    facts = {
        "model_id": localizer.identity,
        "threshold": localizer.threshold,
        "mask_threshold": options.mask_threshold,
        "audio_track": options.audio_track,
        "contour": options.contour,
    }
    try:
        entries = to_json.loads(summary.read_text(encoding="utf-8"))
        is_same = all(entry.get(name) == fact for entry in entries for name, fact in facts.items())
        is_per_source = any("source" in entry for entry in entries)
        return is_same and is_per_source == options.per_source and {entry["sound"] for entry in entries} == {*names}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def write_results(
    path: Path, results: dict[str, "LocalizationMap"], summaries: list[dict[str, Any]], boxes: "MaskThreshold | None"
) -> None:
    """Write the results of an image to one file: summaries (`.json`), scores (`.npz`), or a drawing."""
    import numpy as np

    from soundspot.inference.multi_sound import MultiSoundResult, name_audios

    first, *others = results.values()
    with atomic_write(path) as draft:
        if path.suffix.lower() == ".json":
            draft.write_text(to_json.dumps(summaries, indent=2) + "\n", encoding="utf-8")
        elif path.suffix.lower() == ".npz":
            scores = np.stack([result.scores.numpy() for result in results.values()])
            np.savez_compressed(draft, scores=scores, sounds=list(results), size=first.size, region=first.region)
        else:
            named = MultiSoundResult({name: results[title] for name, title in name_audios([*results]).items()})
            drawing = named.side_by_side(boxes=boxes) if others else first.overlay(boxes=boxes)
            drawing.save(draft, quality=92)


def print_known(localizer: "Localizer", is_absent: bool) -> None:
    """Print how many things a model knows, where it found no source of a sound and its file says so."""
    count, name = len(localizer.known_categories), localizer.display_name
    if is_absent and count:
        remedy = f" (`soundspot models show {name}`)" if localizer.model_name else ""
        print(f"{name} knows {count} things{remedy}; of the sound of another its answer says little")


def format_result(name: str, summary: dict[str, Any]) -> str:
    """Format the result of one sound as a line, with lines for its boxes and notes."""
    from soundspot.inference.result import format_probability

    x, y = summary["peak_at"]
    category = f", {summary['class']}" if "class" in summary else ""
    boxes = ", ".join("({}, {})-({}, {})".format(*box) for box in summary["boxes"]) or "none"
    lines = [
        f"{name}{category}: peak {summary['peak']:.3f} at ({x}, {y}), confidence {summary['confidence']:.3f}, "
        f"{PRESENCE[summary['present']]}{format_probability(summary['presence_probability'])}",
        *([] if summary["present"] is False else [f"  boxes: {boxes}"]),
        *(f"  contour: {format_contour(contour)}" for contour in summary.get("contours", ())),
        *(f"  note: {note}" for note in summary["notes"]),
    ]
    return "\n".join(lines)


def format_contour(contour: dict[str, Any]) -> str:
    """Format a contour beside the region that it was made of."""
    box, region = ("({}, {})-({}, {})".format(*contour[key]) for key in ("box", "region_box"))
    return f"{box} by {contour['segmenter']}, of the region {region}"
