"""Class labels from classifiers that the user names (extra `hub`): what each picture shows, what each sound is.

Pictures are squashed whole, as they are in training; sounds go through the classifier's own feature extractor.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from PIL import Image
from rich.progress import track
from torch import Tensor

from soundspot.config.frontend import IMAGENET_MEAN, IMAGENET_STD, ImageSpec
from soundspot.data.datasets.labels import Label
from soundspot.data.media.audio import resample
from soundspot.data.media.image import preprocess_images
from soundspot.errors import DataError, InputError, RecipeError, did_you_mean
from soundspot.types import Audio, AudioVisualDataset

Kind = Literal["image", "sound"]


class Classifier:
    """A classifier of pictures or of sounds from the Hugging Face hub or a folder.

    Args:
        kind: `image` or `sound`.
        name: on the hub, or a folder.
        many: several classes can be right at once, so that each has a probability by itself (sigmoid), in place of all
            together (softmax); None: as the classifier's configuration says.

    Raises:
        RecipeError: transformers is not installed, or no such classifier can be loaded.
    """

    def __init__(self, modality: Kind, name: str, multi_label: bool | None = None, device: str = "cpu"):
        try:
            import transformers
        except ImportError as error:
            raise RecipeError(
                '`soundspot label` needs transformers; install it with `pip install "soundspot[hub]"`'
            ) from error
        models = transformers.AutoModelForImageClassification, transformers.AutoModelForAudioClassification
        try:
            self.model = models[modality == "sound"].from_pretrained(name).to(device).eval()
            self.enter = self._pictures(name) if modality == "image" else self._sounds(name)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise RecipeError(
                f"{name} cannot be loaded as a classifier of {modality}s ({reason}); name one on the hub or a folder"
            ) from error
        config = self.model.config
        self.class_names = [config.id2label[i] for i in range(config.num_labels)]
        self.multi_label = config.problem_type == "multi_label_classification" if multi_label is None else multi_label
        self.device = device

    @torch.inference_mode()
    def __call__(self, inputs: Sequence[Any]) -> Float[Tensor, "b k"]:
        """Probabilities of each class, on the CPU."""
        given = {name: value.to(self.device) for name, value in self.enter(inputs).items()}
        logits = self.model(**given).logits.float()
        return (logits.sigmoid() if self.multi_label else logits.softmax(dim=-1)).cpu()

    def _pictures(self, name: str) -> Callable[[Sequence[Image.Image]], Mapping[str, Tensor]]:
        """As its preprocessor's file says, where it has one: size, mean and deviation."""
        from transformers.image_processing_base import ImageProcessingMixin

        try:
            told = ImageProcessingMixin.get_image_processor_dict(name)[0]
        except OSError:
            told = {}
        size = told.get("crop_size") or told.get("size") or getattr(self.model.config, "image_size", 224)
        side = next(iter(size.values())) if isinstance(size, dict) else size
        mean, std = told.get("image_mean", IMAGENET_MEAN), told.get("image_std", IMAGENET_STD)
        spec = ImageSpec(int(side), "squash", tuple(mean), tuple(std))
        return lambda pictures: {"pixel_values": preprocess_images(list(pictures), spec)}

    def _sounds(self, name: str) -> Callable[[Sequence[Audio]], Mapping[str, Tensor]]:
        from transformers import AutoFeatureExtractor

        extractor = AutoFeatureExtractor.from_pretrained(name)
        rate: int = extractor.sampling_rate

        def enter(sounds: Sequence[Audio]) -> Mapping[str, Tensor]:
            waves = [resample(sound, rate).waveform.numpy() for sound in sounds]
            return extractor(waves, sampling_rate=rate, return_tensors="pt", padding=True)

        return enter


def read_class_groups(path: Path, known: Sequence[str]) -> dict[str, str]:
    """Class -> group, of a CSV `class,group`; a class may have one group.

    Args:
        known: the classifiers' classes.

    Raises:
        DataError: the file cannot be read, or names a class that no classifier has.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: no groups can be read ({error}); expected a CSV of class,group") from error
    if not rows or [cell.strip() for cell in rows[0]] != ["class", "group"] or len(rows) < 2:
        raise DataError(f"{path}: found {rows[:1]}, expected the header class,group and a row for each class")
    groups: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        cells = [cell.strip() for cell in row]
        if len(cells) != 2 or not all(cells) or cells[0] in groups:
            raise DataError(
                f"{path}: line {number}: found {row}, expected a class that no other line has, and its group"
            )
        if cells[0] not in known:
            raise DataError(
                f"{path}: line {number}: no classifier has the class {cells[0]!r}{did_you_mean(cells[0], known)}"
            )
        groups[cells[0]] = cells[1]
    return groups


def sum_group_probabilities(
    probable: Float[Tensor, "b k"], names: Sequence[str], groups: Mapping[str, str], many: bool
) -> tuple[Float[Tensor, "b g"], list[str]]:
    """Probabilities of groups: the sum over a group's classes, or where several can be right the largest of them."""
    kept = sorted(set(groups.values()))
    members = [[i for i, name in enumerate(names) if groups.get(name) == group] for group in kept]
    columns = [
        probable.new_zeros(len(probable))
        if not some
        else probable[:, some].amax(dim=1)
        if many
        else probable[:, some].sum(dim=1).clamp(max=1.0)
        for some in members
    ]
    return torch.stack(columns, dim=1), kept


def classify_dataset(
    data: AudioVisualDataset,
    classifiers: Mapping[Kind, Classifier],
    groups: Mapping[str, str] | None = None,
    min_probability: float = 0.01,
    batch_size: int = 32,
    progress: bool = False,
    unreadable: list[str] | None = None,
) -> Iterator[Label]:
    """The rows of a table of labels: of each clip the most probable class and all others that reach `least`.

    Args:
        unread: gets a message for each picture or sound that cannot be read, which is left out then; None: the first is
            an error.
    """
    for kind, classifier in classifiers.items():
        read: Callable[[int], Any] = data.read_image if kind == "image" else data.read_audio
        for start in track(range(0, len(data), batch_size), f"{kind}s", disable=not progress):
            some, given = _read(read, range(start, min(start + batch_size, len(data))), unreadable)
            if not some:
                continue
            probable, names = classifier(given), classifier.class_names
            if groups is not None:
                probable, names = sum_group_probabilities(probable, names, groups, classifier.multi_label)
            kept = (probable >= min_probability) | (probable == probable.amax(dim=1, keepdim=True))
            for row, column in kept.nonzero().tolist():
                yield Label(
                    data.id(some[row]),
                    "audio" if kind == "sound" else kind,
                    names[column],
                    float(probable[row, column]),
                )


def _read(read: Callable[[int], Any], some: Sequence[int], unread: list[str] | None) -> tuple[list[int], list[Any]]:
    """Those of some samples that can be read, and what they hold."""
    there: list[int] = []
    given: list[Any] = []
    for i in some:
        try:
            given.append(read(i))
        except InputError as error:
            if unread is None:
                raise
            unread.append(str(error))
        else:
            there.append(i)
    return there, given
