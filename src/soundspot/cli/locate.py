"""`soundspot locate CHECKPOINT IMAGE SOUND`: where in a picture sounds come from. (Videos: `locate_video.py`.)"""

import json as to_json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from soundspot.cli.shared_options import RefinementOptions

if TYPE_CHECKING:
    from soundspot.inference.result import LocalizationMap, MaskThreshold


def locate(
    checkpoint: str,
    image: str,
    audio: list[str] | str,
    output: Path = Path("out.png"),
    next_frame: str | None = None,
    mask: Path | None = None,
    boxes: bool = False,
    mask_threshold: float | str = 0.5,
    per_source: bool = False,
    json: bool = False,
    device: str = "auto",
    overwrite: bool = False,
    **refinement: Unpack[RefinementOptions],
) -> None:
    """Show where in a picture a sound comes from; or in a video, in each of a folder, or before a camera.

    Args:
        checkpoint: a .safetensors file that `soundspot train` wrote.
        image: the picture; for a video or a folder of them see `soundspot locate CHECKPOINT clip.mp4 --help`, for a camera
            `soundspot locate CHECKPOINT --live --help`.
        sounds: a sound file, or several as `[a.wav,b.wav]`: the picture is encoded once.
        output: `.png`, `.jpg` or `.webp`: the map over the picture (with several sounds side by side, and all in one,
            each in a colour); `.npz`: raw scores; `.json`: peak, boxes, confidence and notes.
        after: the picture's next frame, for methods that look at optical flow (heartheflow).
        mask: also write the mask, white on black (`.png`), for one sound.
        boxes: draw boxes around the regions found.
        rule: what counts as found: a number in [0, 1] between the map's lowest and highest score, `half`,
            `share:0.1` or `score:0.3`.
        sources: a map for each source that is heard in the sound, of methods that tell the sources of a mixture apart.
        json: print the summary as JSON instead of words.
        device: `auto`, `cpu`, `cuda`...
        overwrite: replace files that are there.

    Examples:
        soundspot locate runs/demo/best.safetensors runs/demo/example.png runs/demo/example.wav -o out.png
    """
    from soundspot.errors import InputError, OutputError
    from soundspot.inference.localizer import Localizer
    from soundspot.inference.result import RESULT_SUFFIXES, parse_mask_threshold
    from soundspot.utils.atomic_io import check_output

    names = [audio] if isinstance(audio, str) else audio
    check_output(output, overwrite, RESULT_SUFFIXES)
    parse_mask_threshold(mask_threshold)
    if mask is not None:
        check_output(mask, overwrite, (".png",))
        if len(names) != 1 or per_source:
            raise OutputError(f"{mask}: a mask is of one map, and there may be several. Locate sounds one by one.")
    localizer = Localizer.load(checkpoint, device=device, **refinement)
    if next_frame is not None and not localizer.method.front_end.image.flow:
        raise InputError(f"--after: {localizer.name} does not look at optical flow; ask without it.")
    code = localizer.encode_image(image, next_frame=next_frame)
    if per_source:
        every = ((name, enumerate(localizer.locate_sources(code, name), 1)) for name in names)
        told = [({"sound": name, "source": n}, found) for name, several in every for n, found in several]
        if not told:
            raise InputError("no source was heard in what was given; ask without --sources for a map of all of it.")
    else:
        told = [({"sound": name}, localizer.predict(code, name)) for name in names]
    results = {_title(asked): result for asked, result in told}
    summaries = [{"image": image, **asked, **result.to_dict(mask_threshold)} for asked, result in told]
    _write(output, results, summaries, mask_threshold if boxes else None)
    if mask is not None:
        _write_mask(mask, results[names[0]], mask_threshold)
    print(to_json.dumps(summaries, indent=2) if json else "\n".join(map(_in_words, summaries)))
    if not json:
        print(f"written: {output}" + (f", {mask}" if mask else ""))


def _write(
    path: Path, results: dict[str, "LocalizationMap"], summaries: list[dict[str, Any]], boxes: "MaskThreshold | None"
) -> None:
    from soundspot.inference.multi_sound import MultiSoundResult, name_audios
    from soundspot.inference.result import IMAGE_SUFFIXES, SUMMARY_SUFFIXES
    from soundspot.utils.atomic_io import atomic_write

    first, *others = results.values()
    if path.suffix.lower() in IMAGE_SUFFIXES:
        every = MultiSoundResult({name: results[one] for name, one in name_audios([*results]).items()})
        drawn = every.side_by_side(boxes=boxes) if others else first.overlay(boxes=boxes)
        with atomic_write(path) as draft:
            drawn.save(draft, quality=92)
    elif path.suffix.lower() in SUMMARY_SUFFIXES:
        with atomic_write(path) as draft:
            draft.write_text(to_json.dumps(summaries, indent=2) + "\n", encoding="utf-8")
    else:
        import numpy as np

        with atomic_write(path) as draft:
            scores = np.stack([result.scores.numpy() for result in results.values()])
            np.savez_compressed(draft, scores=scores, sounds=list(results), size=first.size, region=first.region)


def _write_mask(path: Path, result: "LocalizationMap", rule: "MaskThreshold") -> None:
    from PIL import Image

    from soundspot.utils.atomic_io import atomic_write

    with atomic_write(path) as draft:
        Image.fromarray(result.mask(rule).numpy()).save(draft)


def _title(asked: dict[str, Any]) -> str:
    return f"{asked['sound']} ({asked['source']})" if "source" in asked else asked["sound"]


def _in_words(summary: dict[str, Any]) -> str:
    x, y = summary["peak_at"]
    present = {True: "present", False: "not in the picture", None: "presence unknown (no threshold of these maps)"}
    kind = f", {summary['class']}" if "class" in summary else ""
    boxes = ", ".join("({}, {})-({}, {})".format(*box) for box in summary["boxes"]) or "none"
    lines = [
        f"{_title(summary)}{kind}: peak {summary['peak']:.3f} at ({x}, {y}), confidence {summary['confidence']:.3f}, "
        f"{present[summary['present']]}",
        f"  boxes: {boxes}",
        *(f"  note: {note}" for note in summary["notes"]),
    ]
    return "\n".join(lines)
