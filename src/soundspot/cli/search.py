"""`soundspot search`: an index of your own pictures, sounds and videos."""

import json as to_json
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from soundspot.search import Index
    from soundspot.search.result import IndexingSummary

INDEX = Path("soundspot-index")
EVERY = 3.0  # seconds
DEMO = Path("runs/demo/best.safetensors")  # what `soundspot demo` writes


def index(
    folder: Path,
    index: Path = INDEX,
    checkpoint: str | None = None,
    stride: float | None = None,
    workers: int | None = None,
    retry: bool = False,
    relocate: bool = False,
    device: str = "auto",
) -> None:
    """Bring an index in line with a folder: take in what is new, take in anew what has changed, forget what is gone.

    A run that was stopped, or killed, goes on where it was when the same command is given again. Files that cannot be
    read are named and kept out.

    Args:
        folder: of your pictures, sounds and videos, folders below it included.
        index: folder of the index.
        checkpoint: what files are embedded by: a .safetensors file that `soundspot train` wrote. By default that of the
            index; of a new one runs/demo/best.safetensors, which `soundspot demo` writes.
        every: of a new index, seconds from one window of a video, or of a long sound, to the next; by default 3.
        workers: processes that read files; by default as many as there are cores, none for a few files.
        retry: read files again that could not be read the last time.
        moved: the folder is the one that the index is of, and lies elsewhere now.
        device: `auto`, `cpu`, `cuda`...

    Examples:
        soundspot search index mine --checkpoint runs/demo/best.safetensors --index found
    """
    from soundspot.cli.progress import progress_bar

    with _opened_for(folder, index, checkpoint, stride, relocate, device) as opened, progress_bar() as seen:
        outcome = opened.refresh(seen, workers, retry, add_new=True)
        told = f"{index}: {outcome}; {len(opened)} files by {opened.checkpoint}"
    print(told)
    _told(outcome)


def query(
    index: Path = INDEX,
    audio: str | None = None,
    image: str | None = None,
    image_weight: float = 0.5,
    k: int = 10,
    file_types: list[Literal["image", "sound", "video"]] | None = None,
    modalities: Literal["picture", "sound", "both"] | None = None,
    per_window: bool = False,
    contact_sheet: Path | None = None,
    json: bool = False,
    checkpoint: str | None = None,
    device: str = "auto",
    overwrite: bool = False,
) -> None:
    """Find the files nearest to a sound, a picture, or something between both.

    Args:
        index: folder that `soundspot search index` made.
        sound: a sound file, or a video with sound.
        image: a picture.
        mix: the picture's share, where both are given: from 0, the sound alone, to 1, the picture alone.
        k: how many files at most.
        kinds: of files, as `[image,video]`; all by default.
        against: what of the files is compared: `picture`, `sound` or `both`; by default pictures, and sounds where a
            picture alone is asked for or only sounds are searched.
        every: each window of a video or a long sound by itself, not only the best of each file.
        sheet: a `.png`, `.jpg` or `.webp` to write, with what was found as pictures.
        json: print JSON instead of a table.
        checkpoint: the one that the index was made by, where that has moved.
        device: `auto`, `cpu`, `cuda`...
        overwrite: replace the sheet.

    Examples:
        soundspot search query --index found --sound runs/demo/example.wav
    """
    from soundspot.search.query import FILE_TYPES, MODALITIES, Modality, check_image_weight
    from soundspot.search.result import format_hits
    from soundspot.utils.atomic_io import atomic_write, check_output

    check_image_weight(image_weight)
    if contact_sheet is not None:
        check_output(contact_sheet, overwrite, (".png", ".jpg", ".jpeg", ".webp"))
    each: dict[str | None, tuple[Modality, ...] | None] = {
        "both": MODALITIES,
        "picture": ("picture",),
        "sound": ("sound",),
    }
    with _opened(index, checkpoint, device) as opened:
        wanted = tuple(file_types) if file_types else FILE_TYPES
        hits = opened.query(None, image, audio, image_weight, k, wanted, each.get(modalities), per_window)
        if json:
            print(to_json.dumps([hit.to_dict() for hit in hits], indent=2))
        elif hits:
            print(format_hits(hits, opened.root))
        else:
            print(
                f"{index}: nothing found; it holds {len(opened)} files (`soundspot search status` tells of which kinds)"
            )
    if contact_sheet is not None:
        from soundspot.search.contact_sheet import draw_contact_sheet as draw

        drawn = draw(hits, image, audio, image_weight)
        with atomic_write(contact_sheet) as draft:
            drawn.save(draft, quality=90)
        if not json:
            print(f"written: {contact_sheet}")


def remove(paths: list[Path] | Path, index: Path = INDEX) -> None:
    """Forget files, or all files below folders; the files themselves are not touched.

    Args:
        paths: of files or folders: one, or several as `[a.jpg,b.wav]`.
        index: folder of the index.

    Examples:
        soundspot search remove mine/old.jpg --index found
    """
    from soundspot.search import Index

    with Index.open(index) as opened:
        print(f"{index}: {opened.remove(paths)} removed; {len(opened)} files are left")


def status(index: Path = INDEX, json: bool = False) -> int:
    """Tell what an index holds, which files are kept out and why, and whether it is whole; exit code 1 where not.

    Args:
        index: folder of the index.
        json: print JSON instead of words.

    Examples:
        soundspot search status --index found
    """
    from soundspot.search import Index
    from soundspot.search.result import escape_unprintable

    with Index.open(index) as opened:
        found = opened.status()
    if json:
        failures = [{"path": str(one.path), "cause": one.cause, "told": one.message} for one in found.failures]
        print(to_json.dumps({**vars(found), "root": str(found.root), "failures": failures}, indent=2))
        return int(bool(found.problems))
    counted = ", ".join(f"{count} of kind {kind}" for kind, count in found.files.items())
    print(f"{index}: of {escape_unprintable(found.root)}, by {found.method} ({found.checkpoint or 'no file'})")
    print(f"files: {counted}; {found.num_vectors} vectors, {found.unused_rows} rows that belong to nothing")
    for one in found.failures:
        print(f"kept out ({one.cause}): {escape_unprintable(one.message)}")
    print("\n".join(found.problems) if found.problems else "whole: every vector is what was written")
    return int(bool(found.problems))


def export(output: Path, index: Path = INDEX, overwrite: bool = False) -> None:
    """Write the vectors and what they are of as a Parquet file, for a vector database (extra `parquet`).

    Args:
        output: a .parquet file.
        index: folder of the index.
        overwrite: replace a file that is there.

    Examples:
        soundspot search export vectors.parquet --index found
    """
    from soundspot.search import Index

    with Index.open(index) as opened:
        print(f"{output}: {opened.to_parquet(output, overwrite)} vectors")


def _opened(folder: Path, checkpoint: str | None, device: str) -> "Index":
    from soundspot.inference.localizer import Localizer
    from soundspot.search import Index

    localizer = Localizer.load(checkpoint, device=device) if checkpoint else None
    opened = Index.open(folder, localizer, device)
    if localizer is not None:
        opened.check_localizer(localizer)
    return opened


def _opened_for(
    folder: Path, index: Path, checkpoint: str | None, every: float | None, moved: bool, device: str
) -> "Index":
    """The index of a folder, a new one where there is none."""
    from soundspot.errors import CheckpointError, OutputError
    from soundspot.inference.localizer import Localizer
    from soundspot.search import Index
    from soundspot.search.create import is_index

    root = folder.absolute()
    if is_index(index):
        opened = _opened(index, checkpoint, device)
        if every not in (None, opened.stride):
            raise OutputError(
                f"{index}: has a window every {opened.stride:g} s, expected one every {every:g}. Leave --every out, or "
                "make another index: --index NAME"
            )
        if moved:
            opened.relocate(root)
        elif opened.root != root and not (root.exists() and opened.root.exists() and opened.root.samefile(root)):
            there = "" if opened.root.is_dir() else ", which is gone"
            raise OutputError(
                f"{index}: is of the folder {opened.root}{there}, expected one of {folder}. Give another name: --index "
                "NAME, or, where the folder was moved, say so: --moved"
            )
        return opened
    if checkpoint is None and not DEMO.is_file():
        raise CheckpointError(
            f"{index}: a new index needs a checkpoint to embed files by, found none given and no {DEMO}. Say which: "
            "--checkpoint FILE (`soundspot demo` makes one)"
        )
    return Index.create(
        index, Localizer.load(checkpoint or DEMO, device=device), root, EVERY if every is None else every
    )


def _told(outcome: "IndexingSummary") -> None:
    from soundspot.search.result import escape_unprintable

    for one in outcome.failures[:20]:
        print(f"kept out ({one.cause}): {escape_unprintable(one.message)}")
    if len(outcome.failures) > 20:
        print(f"and {len(outcome.failures) - 20} more; `soundspot search status` lists them")
