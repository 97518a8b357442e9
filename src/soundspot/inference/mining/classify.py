"""Class labels of images and audio from classifiers that the user names (extra `hub`).

Images are squashed whole, as in training; audio goes through the classifier's own feature extractor.
"""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from soundspot.config.frontend import IMAGENET_MEAN, IMAGENET_STD, ImageSpec
from soundspot.data.datasets.labels import Label
from soundspot.data.media.audio import resample
from soundspot.data.media.image import preprocess_images
from soundspot.errors import DataError, InputError, RecipeError, did_you_mean
from soundspot.types import Audio, AudioVisualDataset
from soundspot.utils.progress import track

Modality = Literal["image", "audio"]


class Classifier:
    """Classifier of images or of audio from the Hugging Face hub or a folder.

    Args:
        modality: `image` or `audio`.
        name: name of the model on the hub, or path of a folder.
        multi_label: whether several classes can hold at once, so that each has a probability of its own (sigmoid, not
            softmax); None: as the classifier's configuration says.
        device: device that it runs on, such as `cpu` or `cuda`.

    Attributes:
        class_names: names of the k classes.

    Raises:
        RecipeError: transformers is not installed, or no such classifier can be loaded.
    """

    def __init__(self, modality: Modality, name: str, multi_label: bool | None = None, device: str = "cpu"):
        try:
            import transformers
        except ImportError as error:
            raise RecipeError(
                '`soundspot pseudo-label` needs transformers; install it with `pip install "soundspot[hub]"`'
            ) from error
        self.modality, self.device = modality, device
        models = {
            "image": transformers.AutoModelForImageClassification,
            "audio": transformers.AutoModelForAudioClassification,
        }
        try:
            self.model = models[modality].from_pretrained(name).to(device).eval()
            if modality == "image":
                self._image_spec = self._read_image_spec(name)
            else:
                self._extractor = transformers.AutoFeatureExtractor.from_pretrained(name)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise RecipeError(
                f"{name} cannot be loaded as a classifier of {modality}s ({reason}); name one on the hub or a folder"
            ) from error
        config = self.model.config
        self.class_names = [config.id2label[i] for i in range(config.num_labels)]
        self.multi_label = config.problem_type == "multi_label_classification" if multi_label is None else multi_label

    @torch.inference_mode()
    def __call__(self, inputs: Sequence[Any]) -> Float[Tensor, "b k"]:
        """Compute the class probabilities of images or of audio.

        Args:
            inputs: b PIL images, or b `Audio` of any rates; they are squashed or resampled to the classifier's input.

        Returns:
            (b, k) float32 on the CPU: softmax, whose rows sum to 1; sigmoid of each class where it is multi-label.
        """
        preprocess = self._preprocess_images if self.modality == "image" else self._preprocess_audio
        tensors = {name: value.to(self.device) for name, value in preprocess(inputs).items()}
        logits = self.model(**tensors).logits.float()
        return (logits.sigmoid() if self.multi_label else logits.softmax(dim=-1)).cpu()

    def _read_image_spec(self, name: str) -> ImageSpec:
        """Return size, mean and deviation as the preprocessor's file says, if there is one."""
        from transformers.image_processing_base import ImageProcessingMixin

        try:
            config = ImageProcessingMixin.get_image_processor_dict(name)[0]
        except OSError:
            config = {}
        size = config.get("crop_size") or config.get("size") or self.model.config.to_dict().get("image_size", 224)
        side = next(iter(size.values())) if isinstance(size, dict) else size
        mean, std = config.get("image_mean", IMAGENET_MEAN), config.get("image_std", IMAGENET_STD)
        return ImageSpec(int(side), "squash", tuple(mean), tuple(std))

    def _preprocess_images(self, images: Sequence[Image.Image]) -> Mapping[str, Tensor]:
        return {"pixel_values": preprocess_images(list(images), self._image_spec)}

    def _preprocess_audio(self, audios: Sequence[Audio]) -> Mapping[str, Tensor]:
        rate: int = self._extractor.sampling_rate
        waveforms = [resample(audio, rate).waveform.numpy() for audio in audios]
        return self._extractor(waveforms, sampling_rate=rate, return_tensors="pt", padding=True)


def read_class_groups(path: Path, known_classes: Sequence[str]) -> dict[str, str]:
    """Read a mapping of classes to groups; each class has one group.

    Args:
        path: path of a CSV file with the header `class,group`.
        known_classes: names of the classes of all classifiers.

    Returns:
        Class -> group.

    Raises:
        DataError: the file cannot be read, has no rows, gives a class twice, or names a class that no classifier has.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: no groups can be read ({error}); expected a CSV of class,group") from error
    if rows[:1] != [["class", "group"]] or len(rows) < 2:
        raise DataError(f"{path}: found {rows[:1]}, expected the header class,group and a row for each class")
    groups: dict[str, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) != 2 or not all(row) or row[0] in groups:
            raise DataError(
                f"{path}: line {number}: found {row}, expected a class that no other line has, and its group"
            )
        if row[0] not in known_classes:
            suggestion = did_you_mean(row[0], known_classes)
            raise DataError(f"{path}: line {number}: no classifier has the class {row[0]!r}{suggestion}")
        groups[row[0]] = row[1]
    return groups


def sum_group_probabilities(
    probabilities: Float[Tensor, "b k"], class_names: Sequence[str], groups: Mapping[str, str], multi_label: bool
) -> tuple[Float[Tensor, "b g"], list[str]]:
    """Compute the probabilities of groups: the sum over a group's classes, at most 1, or their maximum if multi-label.

    Args:
        probabilities: (b, k) probabilities of classes.
        class_names: names of the k classes.
        groups: class -> group; classes without a group are left out.
        multi_label: whether several classes can hold at once.

    Returns:
        (b, g) probabilities, 0 for a group with none of the k classes, and the names of the g groups, sorted.
    """
    names, columns = sorted(set(groups.values())), []
    for group in names:
        members = probabilities[:, [i for i, name in enumerate(class_names) if groups.get(name) == group]]
        largest = torch.nn.functional.pad(members, (0, 1)).amax(dim=1)  # 0 where a group has no class
        columns.append(largest if multi_label else members.sum(dim=1).clamp(max=1.0))
    return torch.stack(columns, dim=1), names


def classify_dataset(
    data: AudioVisualDataset,
    classifiers: Sequence[Classifier],
    groups: Mapping[str, str] | None = None,
    min_probability: float = 0.01,
    batch_size: int = 32,
    progress: bool = False,
) -> Iterator[Label | InputError]:
    """Classify the images and audio of a data set.

    Args:
        data: data set to classify.
        classifiers: a classifier of images, a classifier of audio, or both.
        groups: class -> group, whose probabilities replace those of the classes; None: the classes themselves.
        min_probability: probability below which a class gives no label, unless it is the most probable of the sample.
        batch_size: number of samples classified at once.
        progress: whether to show a progress bar.

    Yields:
        A label for each sample and class that is probable enough, first of one modality, then of the other; and the
        error of each image or audio that cannot be read, in place of its labels.
    """
    for classifier in classifiers:
        read = data.read_image if classifier.modality == "image" else data.read_audio
        batches = torch.arange(len(data)).split(batch_size)
        for batch in track(batches, classifier.modality, enabled=progress):
            inputs: dict[int, Any] = {}
            for i in batch.tolist():
                try:
                    inputs[i] = read(i)
                except InputError as error:
                    yield error
            if not inputs:
                continue
            probabilities, names = classifier([*inputs.values()]), classifier.class_names
            if groups is not None:
                probabilities, names = sum_group_probabilities(probabilities, names, groups, classifier.multi_label)
            selected = (probabilities >= min_probability) | (probabilities == probabilities.amax(dim=1, keepdim=True))
            ids = [data.id(i) for i in inputs]
            for row, column in selected.nonzero().tolist():
                yield Label(ids[row], classifier.modality, names[column], float(probabilities[row, column]))
