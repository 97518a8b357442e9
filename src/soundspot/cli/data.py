"""`soundspot data`: check data sets; write videos or data sets as shards, optical flow, scenes as a catalog."""

import json as to_json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import TypedDict, Unpack

from soundspot.utils.progress import progress_bar, track

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from soundspot.data.shards.writer import Executor
    from soundspot.data.validation.findings import Findings, FindingsTable


class ShardOptions(TypedDict, total=False):
    """Options of all commands that write shards.

    Args:
        max_side: longest side of an image in pixels (400).
        quality: of the JPEG files (90).
        audio_format: flac, or wav, twice as large and quicker to read.
        shape: of images: original, or square, squashed to side x side as training does anyway (252 for 224).
        shard_size: samples in a shard (500).
        retry: try again what failed before, such as files on a disk that was away.
        workers: processes that read; by default one for each core; 0: this process.
        executor: pool, processes of this machine, or ray, a Ray cluster (extra `ray`).
    """

    max_side: int
    quality: int
    audio_format: Literal["flac", "wav"]
    shape: Literal["original", "square"]
    shard_size: int
    retry: bool
    workers: int | None
    executor: Literal["pool", "ray"]


def check_data(
    root: Path,
    data: str | None = None,
    options: dict[str, Any] | None = None,
    train_list: list[Path] | None = None,
    read_files: bool = False,
    json: bool = False,
) -> int:
    """Report what a folder holds and all that is wrong with it, test clips in training lists included.

    Exit code 0: nothing worse than a note; 1: warnings; 2: errors.

    Args:
        root: a catalog, a folder of authors' lists and annotation files, or one of images and sounds.
        data: name of a data set to check (`soundspot datasets`); by default it is recognized by its files.
        options: of that data set, as in a recipe: `{"list": "4655"}`.
        train_list: lists of ids that are trained on, checked for test clips.
        read_files: also decode every image, mask and sound (some 5 ms each), and look for copies in a catalog.
        json: print one JSON object instead of tables.

    Examples:
        soundspot data check CATALOG --read-files
    """
    from soundspot.data.validation.validator import validate_data
    from soundspot.errors import DataError

    findings = validate_data(root, data, options, train_list or (), read_files)
    summary = {"root": str(root), **findings.to_dict()}
    print(to_json.dumps(summary, indent=2) if json else "\n".join(_format_findings(findings)))
    if errors := findings.count("error"):
        raise DataError(
            f"{root}: found {errors} {'error' if errors == 1 else 'errors'}, expected none in data that is used. "
            "Correct the data and check again."
        )
    return 1 if findings.count("warning") else 0


def write_scenes(
    name: str,
    output: Path,
    root: Path | None = None,
    length: int = 1000,
    seed: int = 0,
    size: int = 128,
    seconds: float = 2.0,
    options: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write composed scenes as a catalog that any tool can read.

    Args:
        name: which scenes (`soundspot datasets`), such as scenes-interactive.
        output: the folder to write.
        root: of cut-outs, the catalog they are taken from.
        length: images.
        seed: scenes of different seeds have nothing in common.
        size: side of an image in pixels.
        seconds: of each sound.
        options: other options of the data set, as in a recipe: `{"num_objects": 3}`.
        overwrite: replace an existing catalog.

    Examples:
        soundspot data scenes scenes-interactive CATALOG --length 100 --seed 7
    """
    from soundspot.data.datasets.catalog_format import ANNOTATIONS_FILE
    from soundspot.scenes import open_scenes, write_catalog
    from soundspot.utils.atomic_io import check_output

    check_output(output, overwrite and (output / ANNOTATIONS_FILE).is_file())  # nothing but a catalog is replaced
    composed = open_scenes(name, root, length=length, seed=seed, size=size, seconds=seconds, **(options or {}))
    write_catalog(composed, output, overwrite)
    print(f"{output}: {len(composed)} samples of {name}, {len(composed.categories)} categories, seed {seed}")


def extract_flow(
    videos: Path,
    output: Path = Path("flow"),
    algorithm: str = "farneback",
    position: float = 0.5,
    workers: int | None = None,
) -> None:
    """Write the optical flow of every video of a folder, for the option `flow` of a data set; continues a stopped run.

    Args:
        videos: a folder, searched with its subfolders. The id of a video is its path there, as in `data extract`.
        output: folder of flow_x/ID.png, flow_y/ID.png, prepared.json and journal.jsonl, which names failures.
        algorithm: `farneback` as in HearTheFlow, or `dis`, dense inverse search (extra `flow`).
        position: which frame, as a share of the duration, and the one after it; 0.5 is the middle.
        workers: processes that read; by default one for each core; 0: this process.

    Examples:
        soundspot data flow VIDEOS -o FLOW
    """
    from soundspot.data.shards.extract_flow import extract_flow

    with progress_bar() as on_progress:
        causes = extract_flow(videos, output, _make_executor("pool", workers), algorithm, position, on_progress)
    print(f"{causes.pop('existing', 0)} existed already")
    _print_causes(causes, output)
    _print_passed_over(videos)


def extract(
    videos: Path,
    output: Path,
    frames: str = "middle",
    window: str = "middle",
    seconds: float = 10.0,
    rate: int = 16000,
    labels: Path | None = None,
    audio_track: int | None = None,
    **shard_options: Unpack[ShardOptions],
) -> None:
    """Write frames and sounds of a folder of videos as shards for training; continues a stopped run.

    Args:
        videos: a folder, searched with its subfolders.
        output: folder of the shards (tar, WebDataset's layout), their indexes, prepared.json and journal.jsonl.
        frames: middle; a number, that many evenly spaced; or times in seconds, at:0.5,3.
        window: which seconds of the sound: middle, first, or the second at which it begins, at:2.5.
        seconds: of sound.
        rate: sample rate of the sound in Hz.
        labels: category of each clip: VGGSound's own table, or a CSV of id,modality,class.
        audio_track: number of the audio track of videos with several, from 0; by default the one that a file marks as
            its default, else the first that can be decoded.

    Examples:
        soundspot data extract VIDEOS SHARDS --seconds 10
    """
    from soundspot.data.shards.from_videos import ExtractionOptions, write_shards_from_videos

    def write(format: dict[str, Any], **run: Any) -> "Counter[str]":
        extraction = ExtractionOptions(
            frames=frames, window=window, seconds=seconds, rate=rate, audio_track=audio_track, **format
        )
        return write_shards_from_videos(videos, output, extraction, label_table=labels, **run)

    _write_shards(write, output, shard_options)
    _print_passed_over(videos)


def to_shards(
    name: str,
    output: Path,
    root: Path | None = None,
    options: dict[str, Any] | None = None,
    rate: int | None = 16000,
    **shard_options: Unpack[ShardOptions],
) -> None:
    """Write a data set as shards, with its ground truth; continues a stopped run.

    Args:
        name: which data set (`soundspot datasets`).
        output: folder of the shards.
        root: folder of the data set.
        options: of the data set, as in a recipe: `{"list": "vggss_144k.txt", "missing": "skip"}`.
        rate: sample rate in Hz of the sounds, which are not shortened; null: their own.

    Examples:
        soundspot data to-shards catalog SHARDS --root CATALOG
    """
    from soundspot.data.datasets.registry import open_dataset
    from soundspot.data.shards.encoding import ShardFormat
    from soundspot.data.shards.from_dataset import write_shards_from_dataset

    data = open_dataset(name, root, **(options or {}))
    identity = {"data": name, **(options or {})}

    def write(format: dict[str, Any], **run: Any) -> "Counter[str]":
        return write_shards_from_dataset(
            data, output, ShardFormat(rate=rate, **format), dataset_options=identity, **run
        )

    _write_shards(write, output, shard_options)


def _write_shards(write: "Callable[..., Counter[str]]", output: Path, options: ShardOptions) -> None:
    values: dict[str, Any] = dict(options)
    executor = _make_executor(values.pop("executor", "pool"), values.pop("workers", None))
    retry = values.pop("retry", False)
    with progress_bar() as on_progress:
        causes = write(values, executor=executor, on_progress=on_progress, retry=retry)
    _print_causes(causes, output)
    if causes:  # what is left of them are failures
        print("  give the same command with --retry to try them again")


def index_shards(shards: Path) -> None:
    """Write the missing index of each shard of a folder, such as shards of other tools.

    Args:
        shards: a folder of tar files in WebDataset's layout.

    Examples:
        soundspot data index-shards SHARDS
    """
    from soundspot.data.shards.format import get_index_path, list_shards, write_shard_index

    for shard in track(list_shards(shards), "shards"):
        if not get_index_path(shard).exists():
            print(f"{get_index_path(shard)}: {write_shard_index(shard)} samples")


def _make_executor(name: str, workers: int | None) -> "Executor":
    from soundspot.data.shards.executors import ProcessExecutor, count_cores
    from soundspot.data.shards.ray import RayExecutor

    return RayExecutor(workers) if name == "ray" else ProcessExecutor(count_cores() if workers is None else workers)


def _print_causes(causes: "Counter[str]", output: Path) -> None:
    print(f"{output}: {causes.pop('', 0)} samples")
    for cause, count in causes.most_common():
        print(f"  {count} left out: {cause}")
    if causes:
        print(f"  each is a line in {output / 'journal.jsonl'}")


def _print_passed_over(videos: Path) -> None:
    from soundspot.data.media.file_types import VIDEO_SUFFIXES, count_passed_over, format_passed_over, iter_files

    if note := format_passed_over(count_passed_over(iter_files(videos), VIDEO_SUFFIXES)):
        print(f"  {note}")


def _format_findings(findings: "Findings") -> list[str]:
    problems = [f"{problem.severity:<8} {problem}" for problem in findings.problems]
    tables = [line for table in findings.tables for line in (*_format_table(table), "")]
    return [*tables, *(problems or ["no problems found"])]


def _format_table(table: "FindingsTable") -> list[str]:
    """Return the lines of a table: columns as wide as their cells, text to the left, numbers to the right."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.header, *cells, strict=True)]
    is_text = [any(isinstance(row[i], str) for row in table.rows) for i in range(len(table.header))]

    def line(row: list[str]) -> str:
        padded = (f"{cell:{'<' if text else '>'}{w}}" for cell, w, text in zip(row, widths, is_text, strict=True))
        return "  ".join(padded).rstrip()

    return [line(list(table.header)), *map(line, cells)]
