"""Examples of the page: photographs for the starter, else those in the checkpoint's folder and composed scenes."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from soundspot.config.checkpoint import read_header
from soundspot.config.frontend import InputSpec
from soundspot.config.named_models import is_named_path
from soundspot.data.media.file_types import AUDIO_SUFFIXES, IMAGE_SUFFIXES
from soundspot.examples import OFFSCREEN, PAIRS, copy_examples
from soundspot.inference.localizer import Localizer

SEED = 5005  # of scenes that nothing was trained, fitted or scored on


@dataclass(frozen=True)
class Example:
    """An image and sounds to locate in it, as files.

    Attributes:
        title: caption of the example.
        image: path of the image file.
        audios: paths of the audio files.
    """

    title: str
    image: str
    audios: tuple[str, ...]


def make_examples(localizer: Localizer, folder: Path) -> list[Example]:
    """Make the examples of a page as files.

    Args:
        localizer: localizer of the page.
        folder: folder that files are written into.

    Returns:
        For the starter and models adapted from it the photographs of `soundspot.examples`; for others the example in
        the folder of the checkpoint, and scenes composed for the model.
    """
    checkpoint = Path(localizer.checkpoint)
    if is_named_path(checkpoint) or (checkpoint.is_file() and "adapted" in read_header(checkpoint)):
        return copy_photographs(folder / "photographs")
    examples = copy_checkpoint_examples(checkpoint, folder / "checkpoint")
    return examples + compose_examples(localizer.front_end, folder)


def copy_photographs(folder: Path) -> list[Example]:
    """Copy the photographs and recordings of `soundspot.examples` to where the page may serve them.

    Args:
        folder: folder that files are copied into.

    Returns:
        An example for each photograph: its own sound, those of the others, and one of what none of them shows.
    """
    copy_examples(folder, overwrite=True)
    sounds = {name: audio for name, (_, audio) in PAIRS.items()}
    return [
        Example(
            name,
            str(folder / image),
            tuple(str(folder / file) for file in dict.fromkeys((audio, *sounds.values(), OFFSCREEN))),
        )
        for name, (image, audio) in PAIRS.items()
    ]


def copy_checkpoint_examples(checkpoint: Path, folder: Path, max_audios: int = 4) -> list[Example]:
    """Copy the example in the folder of a checkpoint, which `soundspot demo` writes, to where the page may serve it.

    Args:
        checkpoint: path of the model's file; the image beside it is `example.*`, the sounds are all audio files there.
        folder: folder that files are copied into; it must not exist yet.
        max_audios: largest number of sounds, the first by name.

    Returns:
        One example, or none where the image or the sounds are missing.
    """
    files = sorted(checkpoint.parent.iterdir()) if checkpoint.is_file() else []
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES and file.stem == "example"][:1]
    audios = [file for file in files if file.suffix.lower() in AUDIO_SUFFIXES][:max_audios]
    if not images or not audios:
        return []
    folder.mkdir(parents=True)
    image, *copies = (str(shutil.copy(file, folder)) for file in (*images, *audios))
    return [Example("example", image, tuple(copies))]


def compose_examples(spec: InputSpec, folder: Path, num_images: int = 3) -> list[Example]:
    """Write procedural scenes as files, each with the sounds of its objects.

    Args:
        spec: front end of the model; a front end of embeddings gets no example.
        folder: folder that files are written into.
        num_images: number of scenes, each of which makes one example.

    Returns:
        The examples.
    """
    from soundspot.data.datasets.registry import open_dataset, scoring_options
    from soundspot.data.media.audio_writer import write_audio

    if spec.audio.embedding_dim:
        return []
    options = scoring_options("scenes-interactive", spec) | {"length": num_images, "seed": SEED}
    data = open_dataset("scenes-interactive", **options)
    groups: dict[str, list[int]] = {}
    for index in range(len(data)):
        groups.setdefault(data.group(index), []).append(index)
    examples = []
    for number, indices in enumerate(groups.values(), 1):
        target = folder / str(number - 1)
        target.mkdir(parents=True, exist_ok=True)
        data.read_image(indices[0]).save(target / "scene.png")
        files = []
        for index in indices:
            file = target / f"{data.category(index)}.wav"
            write_audio(file, data.read_audio(index))
            files.append(str(file))
        examples.append(Example(f"scene {number}", str(target / "scene.png"), tuple(files)))
    return examples
