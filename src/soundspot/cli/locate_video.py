"""`soundspot locate CHECKPOINT clip.mp4`: where the sound comes from in a video, or in each video of a folder."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import Unpack

from soundspot.cli.shared_options import RefinementOptions

if TYPE_CHECKING:
    from soundspot.inference.localizer import Localizer
    from soundspot.inference.video.save import VideoSummary

FAILED = 2
BESIDE = (".sheet.jpg", ".timeline.png", ".frames.json", ".maps.npz")  # of each video of a folder


def locate_video(
    checkpoint: str,
    video: Path,
    output: Path | None = None,
    audio: str | None = None,
    contact_sheet: Path | None = None,
    timeline: Path | None = None,
    frame_records: Path | None = None,
    maps: Path | None = None,
    maps_per_second: float | None = None,
    smooth: float = 0.0,
    mask_threshold: float | str = 0.5,
    device: str = "auto",
    precision: Literal["auto", "float32", "bfloat16"] = "auto",
    overwrite: bool = False,
    **refinement: Unpack[RefinementOptions],
) -> int:
    """Show where the sound comes from in a video of any length, or in each video of a folder.

    Args:
        checkpoint: a .safetensors file that `soundspot train` wrote.
        video: the video, or a folder: then everything below is written for each clip, as NAME.mp4, NAME.sheet.jpg,
            NAME.timeline.png, NAME.frames.json and NAME.maps.npz; clips that are done are passed over, and one that
            cannot be used does not keep the others from being done.
        output: the overlay with its sound (`.mp4`, `.mov`, `.mkv`; by default out.mp4); of a folder, a folder (by
            default `located`).
        sound: what is heard in place of the video's own sound, a sound or a video.
        sheet: also write twelve moments side by side (`.jpg`, `.png`).
        timeline: also write the peak over time, and where it is below the fitted threshold (`.png`).
        frames: also write the boxes and the mask of each picture (`.json`).
        maps: also write the raw maps (`.npz`).
        rate: maps a second; those of the pictures between are interpolated. By default each picture has its own. Large
            pictures have more: of 1920x1080 at least each 15th has one, of 3840x2160 each third.
        smooth: seconds over which maps are averaged; they lag behind by that.
        rule: what counts as found, in boxes and masks: a number in [0, 1] between the map's lowest and highest score,
            `half`, `share:0.1` or `score:0.3`.
        device: `auto`, `cpu`, `cuda`...
        precision: `float32`, `bfloat16`, or `auto`: bfloat16 where the machine has it.
        overwrite: replace files that are there.

    Examples:
        soundspot locate runs/demo/best.safetensors runs/demo/example.mp4 -o overlay.mp4 --sheet sheet.jpg
    """
    from soundspot.cli.progress import progress_bar
    from soundspot.inference.video.save import VideoOutputs

    if not video.is_dir():
        named = (output or Path("out.mp4"), contact_sheet, timeline, frame_records, maps)
        outputs = VideoOutputs(*named, mask_threshold)
        outputs.check(overwrite)
        localizer = open_localizer(checkpoint, device, precision, refinement)
        with progress_bar() as seen:
            told = _run(localizer, video, outputs, overwrite, seen, sound=audio, rate=maps_per_second, smooth=smooth)
        print(told)
        print("written: " + ", ".join(str(path) for path in named if path is not None))
        return 0
    from soundspot.errors import OutputError, SoundspotError

    if any(path is not None for path in (contact_sheet, timeline, frame_records, maps, audio)):
        raise OutputError(
            f"{video} is a folder, whose clips have names and sounds of their own: leave out --sheet, --timeline, "
            "--frames, --maps and --sound, which name one file. All but the last are written anyway."
        )
    work = list_videos(video, output or Path("located"), mask_threshold)
    localizer = open_localizer(checkpoint, device, precision, refinement)
    failed = 0
    for path, outputs in work:
        if not overwrite and Path(outputs.overlay or "").exists():
            print(f"{path}: done before")
            continue
        try:
            with progress_bar() as seen:
                told = _run(localizer, path, outputs, True, seen, rate=maps_per_second, smooth=smooth)
        except SoundspotError as error:
            failed += 1
            print(f"soundspot: {error}", file=sys.stderr)
        else:
            print(told)
    print(f"{len(work) - failed} of {len(work)} videos are located in {output or 'located'}")
    return FAILED if failed else 0


def open_localizer(checkpoint: str, device: str, precision: str, refinement: Any) -> "Localizer":
    """The localizer; `auto` is bfloat16 on a CPU that multiplies in it, and on CUDA."""
    from soundspot.inference.localizer import Localizer
    from soundspot.utils.device import has_native_bf16, resolve_device

    if precision == "auto":
        where = resolve_device(device).type
        precision = "bfloat16" if where == "cuda" or (where == "cpu" and has_native_bf16()) else "float32"
    return Localizer.load(checkpoint, device=device, precision=precision, **refinement)  # type: ignore[arg-type]


def list_videos(folder: Path, output: Path, rule: float | str) -> list[tuple[Path, Any]]:
    """The videos below a folder, and what to write of each.

    Raises:
        DataError: there is none, or two have one name (`a.mp4`, `a.mkv`). OutputError: a folder for results cannot be
            made.
    """
    from soundspot.data.media.file_types import VIDEO_SUFFIXES
    from soundspot.data.shards.from_videos import iter_files
    from soundspot.errors import DataError
    from soundspot.inference.video.save import VideoOutputs
    from soundspot.utils.atomic_io import convert_os_errors

    inside = output.absolute()
    found = sorted(
        path
        for path in iter_files(folder)
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)  # what a killed run left, say
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file() and inside not in path.absolute().parents
    )
    if not found:
        raise DataError(
            f"{folder}: found no videos ({', '.join(VIDEO_SUFFIXES[:4])}...), expected some. Check the path"
        )
    work: dict[Path, tuple[Path, VideoOutputs]] = {}
    for path in found:
        name = path.relative_to(folder).with_suffix("")
        if name in work:
            raise DataError(f"{folder}: found {path.name} and {work[name][0].name}, expected one name each. Rename one")
        to = output / name
        with convert_os_errors(to.parent):
            to.parent.mkdir(parents=True, exist_ok=True)
        sheet, timeline, frames, maps = (to.with_name(to.name + end) for end in BESIDE)
        work[name] = path, VideoOutputs(to.with_name(to.name + ".mp4"), sheet, timeline, frames, maps, rule)
    return list(work.values())


def _run(
    localizer: "Localizer", path: Path, outputs: Any, overwrite: bool, seen: Callable[[int, int], None], **how: Any
) -> str:
    from soundspot.inference.video.save import save_video

    begun = time.monotonic()
    video = localizer.locate_video(path, **how)
    told = save_video(video, outputs, overwrite, lambda done, of: seen(int(done), max(1, round(of))))
    return format_summary(path, told, time.monotonic() - begun)


def format_summary(path: Path, told: "VideoSummary", took: float) -> str:
    """A line, and one for each note."""
    present = (
        "presence unknown (no threshold of these maps)"
        if told.num_absent is None
        else f"nothing here in {100 * told.num_absent / told.num_frames:.0f} % of them"
    )
    line = (
        f"{path}: {told.num_frames} pictures, {told.seconds:.1f} s, {present}; {told.num_frames / took:.0f} pictures/s"
    )
    return "\n".join([line, *(f"  note: {note}" for note in told.notes)])
