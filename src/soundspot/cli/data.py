"""`soundspot data`: what is wrong with data, scenes as a catalogue, videos as shards, their optical flow."""

import json as to_json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from soundspot.cli.progress import progress_bar

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable

    from soundspot.data.shards.writer import Executor
    from soundspot.data.validation.findings import Findings, FindingsTable


def check_data(
    root: Path,
    data: str | None = None,
    options: dict[str, Any] | None = None,
    train_list: list[Path] | None = None,
    read_files: bool = False,
    json: bool = False,
) -> int:
    """Tell what a folder holds and everything that is wrong with it, clips of test sets among training clips included.

    Exit code 0: nothing worse than a note; 1: warnings; 2: errors.

    Args:
        root: a catalogue, a folder of authors' lists and annotation files, or one of pictures and sounds.
        data: name of a data set to check there (`soundspot datasets`); by default what is found is recognised.
        options: of that data set, as in a recipe: `{"list": "4655"}`.
        train_list: a list of ids that is trained on, checked for test clips; can be given several times.
        read_files: also decode every picture, mask and sound (some 5 ms each), and look for copies in a catalogue.
        json: print one JSON object instead of tables.

    Examples:
        soundspot data check CATALOGUE --read-files
    """
    from soundspot.data.validation.validator import validate_data
    from soundspot.errors import DataError

    found = validate_data(root, data, options, train_list or (), read_files)
    print(to_json.dumps({"root": str(root), **found.to_dict()}, indent=2) if json else "\n".join(_lines(found)))
    if found.count("error"):
        number = "1 error" if found.count("error") == 1 else f"{found.count('error')} errors"
        raise DataError(f"{root}: found {number}, expected none in data that is used. Mend them and check again.")
    return 1 if found.count("warning") else 0


def write_scenes(
    name: str,
    output: Path,
    root: Path | None = None,
    split: str | None = None,
    length: int = 1000,
    seed: int = 0,
    size: int = 128,
    seconds: float = 2.0,
    options: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write composed scenes as a catalogue that any tool can read.

    Args:
        name: which scenes (`soundspot datasets`), such as scenes-interactive.
        output: the folder to write.
        root: of cut-outs, the catalogue they are taken from.
        split: of that catalogue.
        length: pictures.
        seed: scenes of different seeds have nothing in common.
        size: side of a picture in pixels.
        seconds: of each sound.
        options: the others, as in a recipe: `{"objects": 3}`.
        overwrite: replace a folder that is there.

    Examples:
        soundspot data scenes scenes-interactive CATALOGUE --length 100 --seed 7
    """
    from soundspot.data.datasets.catalog_format import ANNOTATIONS_FILE
    from soundspot.scenes import open_scenes, write_catalog
    from soundspot.utils.atomic_io import check_output

    check_output(output, overwrite and (output / ANNOTATIONS_FILE).is_file())  # nothing but a catalogue is replaced
    composed = open_scenes(name, root, split, length=length, seed=seed, size=size, seconds=seconds, **(options or {}))
    write_catalog(composed, output, overwrite)
    print(f"{output}: {len(composed)} items of {name}, {len(composed.categories)} categories, seed {seed}")


def extract_flow(
    videos: Path,
    output: Path = Path("flow"),
    algorithm: str = "farneback",
    position: float = 0.5,
    workers: int | None = None,
) -> None:
    """Write the optical flow of every video of a folder: what a data set takes as its option `flow`.

    What is there already is skipped, so a stopped run goes on.

    Args:
        videos: a folder; videos in folders below it count too. Each one's id is its path there, as `prepare` has it.
        output: folder of flow_x/ID.png, flow_y/ID.png, prepared.json and journal.jsonl, which says what failed and why.
        how: `farneback` as HearTheFlow has it, or `dis`, dense inverse search (extra `flow`).
        at: which frame, as a share of the length, and the one after it; 0.5 is the middle.
        workers: processes that read videos; by default one for each core; 0: this one alone.

    Examples:
        soundspot data flow VIDEOS -o FLOW
    """
    from soundspot.data.shards.extract_flow import extract_flow

    with progress_bar() as seen:
        causes = extract_flow(videos, output, _engine("pool", workers), algorithm, position, seen)
    print(f"{causes.pop('there', 0)} were there")
    _tell(causes, output)


def extract(
    videos: Path,
    output: Path,
    frames: str = "middle",
    window: str = "middle",
    seconds: float = 10.0,
    rate: int = 16000,
    labels: Path | None = None,
    **shard_options: Any,
) -> None:
    """Write frames and sounds of a folder of videos as shards to train on; goes on where it was stopped.

    Args:
        videos: a folder; videos in folders below it count too.
        output: folder of the shards (tar, WebDataset's layout), their indexes, prepared.json and journal.jsonl.
        frames: middle; a number, that many evenly; or moments in seconds, at:0.5,3.
        window: which part of the sound: middle, first, or the second at which it begins, at:2.5.
        seconds: of sound.
        rate: samples a second of the sound.
        table: what sounds in each clip: VGGSound's own table, or a CSV of id,modality,class.

    Examples:
        soundspot data prepare VIDEOS SHARDS --seconds 10
    """
    from soundspot.data.shards.from_videos import ExtractionOptions
    from soundspot.data.shards.from_videos import write_shards_from_videos as write

    def made(how: dict[str, Any], **run: Any) -> "Counter[str]":
        return write(videos, output, ExtractionOptions(frames, window, seconds, rate, **how), label_table=labels, **run)

    _make(made, output, **shard_options)


def to_shards(
    name: str,
    output: Path,
    root: Path | None = None,
    options: dict[str, Any] | None = None,
    rate: int | None = 16000,
    **shard_options: Any,
) -> None:
    """Write a data set as shards, with what is known of its truth; goes on where it was stopped.

    Args:
        name: which data set (`soundspot datasets`).
        output: folder of the shards.
        root: folder of the data set.
        options: of the data set, as in a recipe: `{"list": "vggss_144k.txt", "missing": "skip"}`.
        rate: samples a second of the sounds, which are kept whole; null: their own.

    Examples:
        soundspot data pack catalogue SHARDS --root CATALOGUE
    """
    from soundspot.data.datasets.registry import open_dataset
    from soundspot.data.shards.from_dataset import PackingOptions
    from soundspot.data.shards.from_dataset import write_shards_from_dataset as write

    data = open_dataset(name, root, **(options or {}))

    def made(how: dict[str, Any], **run: Any) -> "Counter[str]":
        return write(
            data, output, PackingOptions(rate=rate, **how), dataset_options={"data": name, **(options or {})}, **run
        )

    _make(made, output, **shard_options)


def _make(
    write_shards: "Callable[..., Counter[str]]",
    output: Path,
    max_side: int = 400,
    jpeg_quality: int = 90,
    audio_format: Literal["flac", "wav"] = "flac",
    image_shape: Literal["kept", "square"] = "kept",
    shard_size: int = 500,
    retry: bool = False,
    workers: int | None = None,
    executor: Literal["pool", "ray"] = "pool",
) -> None:
    """What all makers of shards have in common.

    Args:
        made: makes them, of how pictures and sounds are kept and how the run goes.
        output: folder of the shards.
        side: pixels of a picture's longer side at most.
        quality: of the JPEG files.
        sound: flac, or wav, twice as large and quicker to read.
        shape: of pictures: kept, or square, squashed to side x side as training does it anyway (252 for 224).
        shard_size: inputs in a shard.
        retry: try again what failed before, as where a disk was away.
        workers: processes that read; by default one for each core; 0: this one alone.
        engine: pool, processes of this machine, or ray, a Ray cluster (extra `cluster`).
    """
    how = {"side": max_side, "quality": jpeg_quality, "sound": audio_format, "shape": image_shape}
    with progress_bar() as seen:
        causes = write_shards(how, engine=_engine(executor, workers), shard_size=shard_size, seen=seen, retry=retry)
    _tell(causes, output)
    if causes:  # less those that did not fail
        print("  give the same command with --retry to try them again")


def index_shards(shards: Path) -> None:
    """Write the index of each shard of a folder that has none, as those of other tools.

    Args:
        shards: a folder of tar files in WebDataset's layout.

    Examples:
        soundspot data index SHARDS
    """
    from soundspot.data.shards.format import get_index_path, list_shards, write_shard_index

    for shard in list_shards(shards):
        if not get_index_path(shard).exists():
            print(f"{get_index_path(shard)}: {write_shard_index(shard)} samples")


def _engine(engine: str, workers: int | None) -> "Executor":
    from soundspot.data.shards.executors import ProcessExecutor, count_cores
    from soundspot.data.shards.ray import RayExecutor

    return RayExecutor(workers) if engine == "ray" else ProcessExecutor(count_cores() if workers is None else workers)


def _tell(causes: "Counter[str]", output: Path) -> None:
    print(f"{output}: {causes.pop('', 0)} samples")
    for cause, count in causes.most_common():
        print(f"  {count} left out: {cause}")
    if causes:
        print(f"  each is a line in {output / 'journal.jsonl'}")


def _lines(found: "Findings") -> list[str]:
    told = [f"{problem.severity:<8} {problem}" for problem in found.problems]
    return [*(line for table in found.tables for line in (*_table(table), "")), *(told or ["no problems found"])]


def _table(table: "FindingsTable") -> list[str]:
    """Columns in which every cell has room: words to the left, numbers to the right."""
    cells = [["" if cell is None else str(cell) for cell in row] for row in table.rows]
    widths = [max(map(len, column)) for column in zip(table.header, *cells, strict=True)]
    words = [any(isinstance(row[place], str) for row in table.rows) for place in range(len(table.header))]

    def line(row: list[str]) -> str:
        padded = (f"{cell:<{w}}" if word else f"{cell:>{w}}" for cell, w, word in zip(row, widths, words, strict=True))
        return "  ".join(padded).rstrip()

    return [line(list(table.header)), *map(line, cells)]
