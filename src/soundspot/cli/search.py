"""`soundspot search`: an index of your own images, audio and videos."""

import json as to_json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from soundspot.search import Index
    from soundspot.search.result import Failure

INDEX = Path("soundspot-index")


def index(
    folder: Path,
    model: str | None = None,
    index: Path = INDEX,
    stride: float | None = None,
    workers: int | None = None,
    retry: bool = False,
    relocate: bool = False,
    device: str = "auto",
) -> None:
    """Bring an index in line with a folder: index new and changed files, remove deleted ones.

    A run that was stopped or killed is continued when the same command is given again. Files that cannot be read are
    named and left out.

    Args:
        folder: of your images, audio and videos, folders below it included.
        model: name of a model or a checkpoint, whose embeddings the index holds; by default that of the index, of a new
            one the starter.
        index: folder of the index.
        stride: of a new index, seconds between the windows of a video or a long audio; by default 3.
        workers: processes that read files; by default one per core, and none for a few files.
        retry: read files again that failed the last time.
        relocate: the folder of this index was moved, and this is where it lies now.
        device: `auto`, `cpu`, `cuda`, `mps`...

    Examples:
        soundspot search index my_files --model runs/demo/best.safetensors --index my_index
    """
    from soundspot.inference.localizer import load
    from soundspot.search import Index
    from soundspot.search.store import is_index
    from soundspot.utils.progress import progress_bar

    root = folder.absolute()
    if is_index(index):
        opened = _open(index, model, device)
        _check_index(opened, root, stride, relocate)
    else:
        opened = Index.create(index, load(model, device=device), root, 3.0 if stride is None else stride)
    with opened, progress_bar() as progress:
        summary = opened.refresh(progress, workers, retry, add_new=True)
        line = f"{index}: {summary}; {len(opened)} files by {opened.checkpoint}"
    print(line)
    _print_failures(summary.failures[:20])
    if len(summary.failures) > 20:
        print(f"and {len(summary.failures) - 20} more; `soundspot search status` lists them")


def query(
    index: Path = INDEX,
    audio: str | None = None,
    image: str | None = None,
    image_weight: float = 0.5,
    k: int = 10,
    file_types: list[str] | None = None,
    modalities: Literal["image", "audio", "both"] | None = None,
    per_window: bool = False,
    contact_sheet: Path | None = None,
    json: bool = False,
    model: str | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Find the files nearest to an audio, an image, or a mixture of both.

    Args:
        index: folder that `soundspot search index` made.
        audio: an audio file, or a video with sound.
        image: an image file.
        image_weight: weight of the image where both are given: from 0, the audio only, to 1, the image only.
        k: maximum number of files.
        file_types: to search in, any of `image`, `audio` and `video`; all by default.
        modalities: of the files to compare with: `image`, `audio` or `both`; by default images, and audio where the
            query is an image or only audio files are searched.
        per_window: list each window of a video or a long audio, not only the best of each file.
        contact_sheet: a `.png`, `.jpg` or `.webp` to write, with the hits as images.
        json: print JSON in place of a table.
        model: the model of the index, where its file was moved.
        device: `auto`, `cpu`, `cuda`, `mps`...
        overwrite: replace the contact sheet.

    Examples:
        soundspot search query --index my_index --audio runs/demo/example.wav
    """
    from soundspot.data.media.file_types import FILE_TYPES
    from soundspot.search.query import MODALITIES
    from soundspot.search.result import format_hits
    from soundspot.utils.atomic_io import atomic_write, check_output

    if contact_sheet is not None:
        check_output(contact_sheet, overwrite, (".png", ".jpg", ".jpeg", ".webp"))
    selected = MODALITIES if modalities == "both" else modalities and (modalities,)
    with _open(index, model, device) as opened:
        hits = opened.query(None, image, audio, image_weight, k, file_types or FILE_TYPES, selected, per_window)
        if json:
            print(to_json.dumps([hit.to_dict() for hit in hits], indent=2))
        else:
            nothing = (
                f"{index}: nothing found; it holds {len(opened)} files (`soundspot search status` counts the types)"
            )
            print(format_hits(hits, opened.root) if hits else nothing)
    if contact_sheet is not None:
        from soundspot.search.contact_sheet import draw_contact_sheet

        sheet = draw_contact_sheet(hits, image, audio, image_weight)
        with atomic_write(contact_sheet) as draft:
            sheet.save(draft, quality=90)
        if not json:
            print(f"written: {contact_sheet}")


def remove(paths: list[Path], index: Path = INDEX) -> None:
    """Remove files, or all files below folders, from an index; the files themselves are not touched.

    Args:
        paths: of files or folders.
        index: folder of the index.

    Examples:
        soundspot search remove my_files/old.jpg --index my_index
    """
    with _open(index) as opened:
        print(f"{index}: {opened.remove(paths)} removed; {len(opened)} files are left")


def status(index: Path = INDEX, json: bool = False) -> int:
    """Print what an index holds, which files failed and why, and whether it is damaged; exit code 1 if so.

    Args:
        index: folder of the index.
        json: print JSON in place of text.

    Examples:
        soundspot search status --index my_index
    """
    from soundspot.search.result import escape_unprintable

    with _open(index) as opened:
        report = opened.status()
    if json:
        failures = [{**vars(failure), "path": str(failure.path)} for failure in report.failures]
        print(to_json.dumps({**vars(report), "root": str(report.root), "failures": failures}, indent=2))
    else:
        counts = ", ".join(f"{count} of type {file_type}" for file_type, count in report.files.items())
        print(f"{index}: of {escape_unprintable(report.root)}, by {report.method} ({report.checkpoint or 'no file'})")
        print(f"files: {counts}; {report.num_vectors} vectors, {report.unused_rows} unused rows")
        _print_failures(report.failures)
        print("\n".join(report.problems) or "healthy: every vector is as it was written")
    return int(bool(report.problems))


def export(output: Path, index: Path = INDEX, overwrite: bool = False) -> None:
    """Write the embeddings of an index as a Parquet file, for a vector database (extra `parquet`).

    Args:
        output: a .parquet file.
        index: folder of the index.
        overwrite: replace a file that exists.

    Examples:
        soundspot search export vectors.parquet --index my_index
    """
    with _open(index) as opened:
        print(f"{output}: {opened.to_parquet(output, overwrite)} vectors")


def _open(folder: Path, model: str | None = None, device: str = "auto") -> "Index":
    from soundspot.inference.localizer import load
    from soundspot.search import Index

    localizer = load(model, device=device) if model else None
    opened = Index.open(folder, localizer, device)
    if localizer is not None:
        opened.check_localizer(localizer)
    return opened


def _check_index(opened: "Index", root: Path, stride: float | None, relocate: bool) -> None:
    """Raise OutputError if an index has another stride or root than asked for; relocate it if that is asked for."""
    from soundspot.errors import OutputError

    if stride not in (None, opened.stride):
        raise OutputError(
            f"{opened.folder}: has a window every {opened.stride:g} s, expected one every {stride:g}. Leave --stride "
            "out, or make another index: --index NAME"
        )
    if relocate:
        opened.relocate(root)
    elif opened.root != root and not (root.exists() and opened.root.exists() and opened.root.samefile(root)):
        gone = "" if opened.root.is_dir() else ", which is gone"
        raise OutputError(
            f"{opened.folder}: is of the folder {opened.root}{gone}, expected one of {root}. Give another name: "
            "--index NAME, or, where the folder was moved, say so: --relocate"
        )


def _print_failures(failures: "Sequence[Failure]") -> None:
    from soundspot.search.result import escape_unprintable

    for failure in failures:
        print(f"failed ({failure.cause}): {escape_unprintable(failure.message)}")
