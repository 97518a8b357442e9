"""Sounds of a benchmark: matched to the things in its images by category, each used once, by a seed."""

import csv
import hashlib
import io
import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile

from soundspot.benchmark.attribution import read_attributions
from soundspot.benchmark.plan import make_slug
from soundspot.benchmark.project import AUDIO_FOLDER, Project
from soundspot.benchmark.records import AudioRecord, ImageRecord, Source
from soundspot.benchmark.selection import selected_images
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.datasets.category_folders import list_categories
from soundspot.data.media.audio import read_audio, resample
from soundspot.data.media.file_types import detect_file_type, iter_files
from soundspot.errors import DataError, InputError
from soundspot.types import Audio
from soundspot.utils.atomic_io import atomic_write_bytes
from soundspot.utils.hash_rng import Key, make_generator
from soundspot.utils.progress import track
from soundspot.utils.safe_read import convert_read_errors

AudioLayout = Literal["catalog", "vggsound", "folder"]
CLIPPED_SHARE = 0.01  # of the samples in runs at the peak value
STEP = 1 / 32768  # of 16 bits
MIN_SECONDS = 0.3
QUIET_RMS = 1e-3  # root mean square, -60 dB of full scale
MAX_RATE = 48_000
MEDIA_TYPES = ("audio", "video")


@dataclass(frozen=True)
class AudioCandidate:
    """A sound that may be used.

    Attributes:
        key: name in its source, unique there.
        path: path of the file.
        category: category.
        source: origin.
    """

    key: str
    path: Path
    category: str
    source: Source


@dataclass(frozen=True)
class AudioSummary:
    """Number of things that have a sound.

    Attributes:
        num_matched: number of things that got a sound in this call.
        num_missing: number of things without one, by category.
        messages: one message for each sound that was refused.
    """

    num_matched: int
    num_missing: dict[str, int]
    messages: tuple[str, ...] = ()


def match_audio(
    project: Project,
    root: str | Path,
    layout: AudioLayout = "catalog",
    *,
    seconds: float | int = 10,
    rate: int | None = None,
    table: str | Path | None = None,
    license: str = "",
    author: str = "",
    exclude: Callable[[Source], bool] = lambda source: False,
) -> AudioSummary:
    """Match a sound to each thing in the selected images that has none, by category.

    The sounds of a category are taken in an order that depends on the plan's seed alone, each once. A sound that is
    silent, clipped, too short or broken is refused, and stays so. Things whose sound was dropped get another one.

    Args:
        project: the project.
        root: folder of the sounds.
        layout: `catalog`, its test split; `vggsound`, files by clip id with a table of their categories; or `folder`,
            with a subfolder for each category.
        seconds: longest duration of a sound; of longer ones the loudest window is used.
        rate: sample rate in Hz; None: that of the file, at most 48,000.
        table: VGGSound's table of clips, start seconds and labels; of the layout `vggsound` only.
        license: license of sounds that state none.
        author: author of sounds that state none.
        exclude: function that returns True for sounds that are not used.

    Returns:
        What became of the things.

    Raises:
        DataError: no image is selected, or a category has no sound at all.
    """
    images = selected_images(project)
    if not images:
        raise DataError(f"{project.folder}: found no image that is kept. Select some: `soundspot benchmark select`")
    missing = list_unmatched(project, images)
    if not missing:
        return AudioSummary(0, {})
    wanted = {category for _, category in missing}
    candidates: dict[str, list[AudioCandidate]] = defaultdict(list)
    for candidate in _iter_candidates(Path(root), layout, wanted, table, Source(layout, license, author)):
        if not exclude(candidate.source):
            candidates[candidate.category].append(candidate)
    if silent := sorted(wanted - candidates.keys()):
        raise DataError(
            f"{root}: found no sound of {', '.join(silent[:10])}, expected one for each thing in an image. Add some, "
            "or drop these images"
        )
    queues = {name: iter(_shuffle(project.plan.seed, name, sounds)) for name, sounds in candidates.items()}
    known = {record.key: record for record in project.journal.read_audio()}
    used = set(project.journal.read_pairings().values()) | _read_used(project)
    count, messages, lacking = 0, [], Counter[str]()
    for record, category in track(missing, "sounds"):
        for candidate in queues[category]:  # goes on where the thing before it stopped
            audio = known.get(candidate.key) or _store(project, candidate, seconds, rate)
            if candidate.key not in known and audio.problem:
                messages.append(f"{candidate.path}: {audio.problem}")
            known[candidate.key] = audio
            if not audio.problem and audio.id not in used:
                project.journal.insert("pairings", image=record.id, category=category, audio=audio.id)
                used.add(audio.id)
                count += 1
                break
        else:
            lacking[category] += 1
    return AudioSummary(count, dict(lacking), tuple(messages))


def list_unmatched(project: Project, images: Sequence[ImageRecord]) -> list[tuple[ImageRecord, str]]:
    """List the things that have no sound, or one that was dropped.

    Args:
        project: the project.
        images: images of the project.

    Returns:
        Image and category of each.
    """
    pairings, dropped = project.journal.read_pairings(), read_dropped_audio(project)
    return [
        (record, category)
        for record in images
        for category in record.categories
        if pairings.get((record.id, category)) in (None, *dropped)
    ]


def drop_audio(project: Project, annotator: str, image: int, category: str, reason: str) -> None:
    """Record that the sound of a thing is not good; `match_audio` gives it another one.

    Args:
        project: the project.
        annotator: name of the annotator.
        image: number of the image in the journal.
        category: category of the thing.
        reason: reason in a few words.

    Raises:
        DataError: the thing has no sound, or the name is not valid.
    """
    audio = project.journal.read_pairings(image).get((image, category))
    if audio is None:
        raise DataError(f"image {image}: found no sound of {category!r:.60} to drop. Reload the page")
    text = f"{audio}: {reason.strip()[:200]}"
    annotator = project.journal.match_annotator(annotator)
    project.journal.insert("decisions", annotator=annotator, image=image, step="audio", choice="drop", reason=text)


def read_dropped_audio(project: Project) -> set[int]:
    """Read the sounds that somebody dropped.

    Args:
        project: the project.

    Returns:
        Numbers of the sounds in the journal.
    """
    return {int(decision.reason.partition(":")[0]) for decision in project.journal.read_decisions("audio")}


def describe_audio_problem(audio: Audio) -> str:
    """Describe what makes a sound useless.

    Args:
        audio: the sound.

    Returns:
        A phrase; empty where nothing does.
    """
    samples = np.abs(audio.waveform.numpy())
    if audio.seconds < MIN_SECONDS:
        return f"lasts {audio.seconds:.2f} s, expected at least {MIN_SECONDS} s"
    if audio.is_silent or np.sqrt(np.mean(samples.astype(np.float64) ** 2)) < QUIET_RMS:
        return "is silent, expected a sound"
    at_peak = samples >= samples.max() - STEP
    share = float(np.mean(at_peak[1:-1] & at_peak[:-2] & at_peak[2:]))
    if share > CLIPPED_SHARE:
        return f"is clipped: {100 * share:.0f} % of its samples lie flat at the peak, expected at most 1 %"
    return ""


def cut_loudest(audio: Audio, seconds: float | int) -> Audio:
    """Cut the window with the most energy out of a sound.

    Args:
        audio: the sound.
        seconds: duration of the window in seconds.

    Returns:
        The window; the sound itself where it is not longer.
    """
    count = round(seconds * audio.rate)
    if len(audio.waveform) <= count:
        return audio
    energy = np.concatenate([[0.0], np.cumsum(audio.waveform.numpy().astype(np.float64) ** 2)])
    starts = np.arange(0, len(audio.waveform) - count + 1, max(1, audio.rate // 10))
    start = int(starts[np.argmax(energy[starts + count] - energy[starts])])
    return Audio(audio.waveform[start : start + count].clone(), audio.rate)


def _shuffle(seed: int, category: str, candidates: list[AudioCandidate]) -> list[AudioCandidate]:
    candidates = sorted(candidates, key=lambda candidate: candidate.key)
    order = make_generator(seed, Key.BENCHMARK, Key.AUDIO_DECK, category).permutation(len(candidates))
    return [candidates[index] for index in order.tolist()]


def _store(project: Project, candidate: AudioCandidate, seconds: float | int, rate: int | None) -> AudioRecord:
    """Write the file of a sound into the project, or note why it is refused."""
    content, problem, duration, file = b"", "", 0.0, None
    try:
        audio = cut_loudest(read_audio(candidate.path), seconds)
        audio = resample(audio, min(rate or audio.rate, MAX_RATE))
        duration, problem = audio.seconds, describe_audio_problem(audio)
        buffer = io.BytesIO()
        soundfile.write(buffer, audio.waveform.numpy(), audio.rate, format="FLAC", subtype="PCM_16")
        content = buffer.getvalue()
    except InputError as error:
        problem = str(error)
    digest = hashlib.sha256(content).hexdigest() if content else ""
    if not problem:
        file = f"{AUDIO_FOLDER}/{make_slug(candidate.category)}_{digest[:16]}.flac"
        if twins := project.journal.read_audio("sha256 = ?", (digest,)):
            problem, file = f"has the content of {twins[0].key}", None
        else:
            atomic_write_bytes(project.folder / file, content)
    id = project.journal.insert(
        "audio",
        key=candidate.key,
        file=file,
        category=candidate.category,
        sha256=digest,
        seconds=duration,
        problem=problem,
        source=candidate.source.to_json(),
    )
    return project.journal.read_audio("id = ?", (id,))[0]


def _read_used(project: Project) -> set[int]:
    with project.journal.reading() as connection:
        return {row["audio"] for row in connection.execute("SELECT audio FROM pairings")}


def _iter_candidates(
    root: Path, layout: AudioLayout, wanted: set[str], table: str | Path | None, default: Source
) -> Iterator[AudioCandidate]:
    names = {make_slug(category): category for category in wanted}
    if layout == "catalog":
        attributions = read_attributions(root, default.license, default.author)
        for entry in Catalog(root, "test").audio:
            if category := names.get(make_slug(entry.category)):
                yield AudioCandidate(entry.file, root / entry.file, category, attributions[entry.file])
    elif layout == "folder":
        for name in list_categories(root):
            if category := names.get(make_slug(name)):
                for path in _list_sounds(root / name):
                    key = path.relative_to(root).as_posix()
                    source = Source("folder", default.license, default.author, key, key)
                    yield AudioCandidate(key, path, category, source)
    else:
        if table is None:
            raise DataError("the layout vggsound needs VGGSound's table of clips and labels: `--table vggsound.csv`")
        labels = _read_labels(Path(table))
        for path in itertools.chain.from_iterable(map(_list_sounds, (root,))):
            if category := names.get(make_slug(labels.get(path.stem, "+"))):
                origin = f"https://www.youtube.com/watch?v={path.stem[:11]} (VGGSound {path.stem})"
                source = Source("vggsound", default.license, default.author, origin, path.stem[:11])
                yield AudioCandidate(path.stem, path, category, source)


def _list_sounds(folder: Path) -> list[Path]:
    return [p for p in sorted(iter_files(folder)) if p.is_file() and detect_file_type(os.fsencode(p)) in MEDIA_TYPES]


def _read_labels(path: Path) -> dict[str, str]:
    """Read the label of each clip of VGGSound's own table: YouTube id, start second, label, split."""
    with convert_read_errors(path, "expected VGGSound's table. Fetch it again"), path.open(newline="") as opened:
        return {
            f"{row[0]}_{int(row[1]):06d}": row[2] for row in csv.reader(opened) if len(row) >= 3 and row[1].isdigit()
        }
