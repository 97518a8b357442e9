"""`whence locate CHECKPOINT IMAGE SOUND`: where in a picture sounds come from. (Videos: `locate_video.py`.)"""

import json as to_json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import Unpack

from whence.cli.refining import Refining

if TYPE_CHECKING:
    from whence.inference.soundmap import Rule, SoundMap


def locate(
    checkpoint: str,
    image: str,
    sounds: list[str] | str,
    output: Path = Path("out.png"),
    after: str | None = None,
    mask: Path | None = None,
    boxes: bool = False,
    rule: float | str = 0.5,
    sources: bool = False,
    json: bool = False,
    device: str = "auto",
    overwrite: bool = False,
    **refinement: Unpack[Refining],
) -> None:
    """Show where in a picture a sound comes from; or in a video, in each of a folder, or before a camera.

    Args:
        checkpoint: a .safetensors file that `whence train` wrote.
        image: the picture; for a video or a folder of them see `whence locate CHECKPOINT clip.mp4 --help`, for a camera
            `whence locate CHECKPOINT --live --help`.
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
        whence locate runs/demo/best.safetensors runs/demo/example.png runs/demo/example.wav -o out.png
    """
    from whence.errors import InputError, OutputError
    from whence.inference.localizer import Localizer
    from whence.inference.soundmap import WRITABLE, parse_rule
    from whence.output import check_output

    names = [sounds] if isinstance(sounds, str) else sounds
    check_output(output, overwrite, WRITABLE)
    parse_rule(rule)
    if mask is not None:
        check_output(mask, overwrite, (".png",))
        if len(names) != 1 or sources:
            raise OutputError(f"{mask}: a mask is of one map, and there may be several. Locate sounds one by one.")
    localizer = Localizer.load(checkpoint, device=device, **refinement)
    if after is not None and not localizer.method.front_end.image.flow:
        raise InputError(f"--after: {localizer.name} does not look at optical flow; ask without it.")
    code = localizer.encode_image(image, after=after)
    if sources:
        every = ((name, enumerate(localizer.sources(code, name), 1)) for name in names)
        told = [({"sound": name, "source": n}, found) for name, several in every for n, found in several]
        if not told:
            raise InputError("no source was heard in what was given; ask without --sources for a map of all of it.")
    else:
        told = [({"sound": name}, localizer.hear(code, name)) for name in names]
    results = {_title(asked): result for asked, result in told}
    summaries = [{"image": image, **asked, **result.to_dict(rule)} for asked, result in told]
    _write(output, results, summaries, rule if boxes else None)
    if mask is not None:
        _write_mask(mask, results[names[0]], rule)
    print(to_json.dumps(summaries, indent=2) if json else "\n".join(map(_in_words, summaries)))
    if not json:
        print(f"written: {output}" + (f", {mask}" if mask else ""))


def _write(path: Path, results: dict[str, "SoundMap"], summaries: list[dict[str, Any]], boxes: "Rule | None") -> None:
    from whence.inference.separation import Separation, named
    from whence.inference.soundmap import PICTURES, SUMMARY
    from whence.output import whole_file

    first, *others = results.values()
    if path.suffix.lower() in PICTURES:
        every = Separation({name: results[one] for name, one in named([*results]).items()})
        drawn = every.side_by_side(boxes=boxes) if others else first.overlay(boxes=boxes)
        with whole_file(path) as draft:
            drawn.save(draft, quality=92)
    elif path.suffix.lower() in SUMMARY:
        with whole_file(path) as draft:
            draft.write_text(to_json.dumps(summaries, indent=2) + "\n", encoding="utf-8")
    else:
        import numpy as np

        with whole_file(path) as draft:
            scores = np.stack([result.scores.numpy() for result in results.values()])
            np.savez_compressed(draft, scores=scores, sounds=list(results), size=first.size, region=first.region)


def _write_mask(path: Path, result: "SoundMap", rule: "Rule") -> None:
    from PIL import Image

    from whence.output import whole_file

    with whole_file(path) as draft:
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
