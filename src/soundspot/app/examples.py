"""Examples at hand: those that lie beside a checkpoint, and scenes composed for it."""

from dataclasses import dataclass
from pathlib import Path

from soundspot.config.frontend import InputSpec
from soundspot.data.media.file_types import AUDIO_SUFFIXES, IMAGE_SUFFIXES

SEED = 5005  # of scenes that nothing was trained, fitted or scored on


@dataclass(frozen=True)
class Example:
    """A picture and sounds to ask it with, as files, and what it is called."""

    title: str
    image: str
    audios: tuple[str, ...]


def find_examples(checkpoint: Path, most: int = 4) -> list[Example]:
    """The picture and the sounds in the folder of a checkpoint, as `soundspot demo` leaves them there: one or none."""
    if not checkpoint.is_file():
        return []
    files = sorted(checkpoint.parent.iterdir())
    picture = next((file for file in files if file.suffix.lower() in IMAGE_SUFFIXES and file.stem == "example"), None)
    sounds = [str(file) for file in files if file.suffix.lower() in AUDIO_SUFFIXES][:most]
    return [Example("example", str(picture), tuple(sounds))] if picture and sounds else []


def compose_examples(spec: InputSpec, folder: Path, pictures: int = 3) -> list[Example]:
    """Procedural scenes written as files, each with the sounds of its shapes; none where vectors are heard."""
    import soundfile

    from soundspot.data.datasets.registry import open_dataset, scoring_options

    if spec.audio.embedding_dim:
        return []
    options = scoring_options("scenes-interactive", spec) | {"length": pictures, "seed": SEED}
    data = open_dataset("scenes-interactive", **options)
    found: dict[str, Example] = {}
    for index in range(len(data)):
        group, category = data.group(index), data.category(index)
        place = folder / str(len(found) if group not in found else len(found) - 1)
        place.mkdir(parents=True, exist_ok=True)
        if group not in found:
            data.read_image(index).save(place / "scene.png")
            found[group] = Example(f"scene {len(found) + 1}", str(place / "scene.png"), ())
        sound = data.read_audio(index)
        file = place / f"{category}.wav"
        soundfile.write(file, sound.waveform.numpy(), sound.rate)
        found[group] = Example(found[group].title, found[group].image, (*found[group].audios, str(file)))
    return list(found.values())
