"""The values that pass from stage to stage: small, frozen, and free of models, paths and metrics.

One alphabet everywhere: b batch, n m items, c channels, h w height and width, f t spectrogram, s slots, k neighbors,
v u views.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from soundspot.errors import DataError


@dataclass(frozen=True)
class Audio:
    """A mono audio signal.

    Attributes:
        waveform: (t,) float32 samples; those read from files lie in [-1, 1].
        rate: sample rate in Hz.
        notes: sentences for a reader of results: which track was chosen, what is missing.

    Examples:
        >>> Audio(torch.zeros(8000), rate=16000).seconds, Audio(torch.zeros(8000), rate=16000).is_silent
        (0.5, True)
    """

    waveform: Float[Tensor, " t"]
    rate: int
    notes: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.waveform) / self.rate

    @property
    def is_silent(self) -> bool:
        """True where no sample's absolute value exceeds 1/32768, one step of 16-bit audio."""
        return not bool((self.waveform.abs() > 1 / 32768).any())


@dataclass(frozen=True, eq=False)
class ImageWithFlow:
    """An image and its optical flow.

    Attributes:
        image: RGB image.
        flow: (2, h, w) displacement of each pixel until the next frame, to the right and down, in pixels.
    """

    image: Image.Image
    flow: Float[Tensor, "2 h w"]


@dataclass(frozen=True)
class Box:
    """A rectangle in the units of its `GroundTruth`: pixels, or fractions of the image's width and height.

    Attributes:
        x0, y0: left and top edge, inclusive.
        x1, y1: right and bottom edge, exclusive.
        annotator: index of the annotator who drew the box, from 0.
    """

    x0: float
    y0: float
    x1: float
    y1: float
    annotator: int = 0


GroundTruthRule = Literal["union", "consensus", "mask"]


@dataclass(frozen=True)
class GroundTruth:
    """The location of a sound source in an image.

    Attributes:
        height, width: size of the image in the units of the boxes: pixels, or 1 x 1 where boxes are fractions.
        boxes: rectangles around the sources.
        mask: (h, w) bool, True on the source; None where only boxes are known.
        rule: how `to_map` combines the annotation: `union` of the boxes, `consensus` (boxes summed, halved and clipped
            at 1, as in Flickr-SoundNet), or `mask`.
        present: False where the data set states that no source of the sound is in the image (silence, noise, off-screen
            sound). Ground truth that is present and yet has no pixel is an empty annotation.
        num_annotators: number of annotators, those who drew nothing included; None: the number of those who drew a box.

    Examples:
        >>> boxes = (Box(0.0, 0.0, 2.0, 1.0, annotator=0), Box(0.0, 0.0, 1.0, 1.0, annotator=1))
        >>> GroundTruth(1, 4, boxes).to_map(1, 4)
        tensor([[1., 1., 0., 0.]])
        >>> GroundTruth(1, 4, boxes, rule="consensus").to_map(1, 4)  # two of them agree on the first pixel alone
        tensor([[1.0000, 0.5000, 0.0000, 0.0000]])
    """

    height: int
    width: int
    boxes: tuple[Box, ...] = ()
    mask: Bool[Tensor, "h w"] | None = None
    rule: GroundTruthRule = "union"
    present: bool = True
    num_annotators: int | None = None

    def to_map(self, height: int, width: int, by_annotator: bool = False) -> Float[Tensor, "h w"]:
        """Rasterize the ground truth at height x width pixels.

        Box coordinates are clipped to the image, scaled to the map and truncated to whole pixels, and the far edge is
        exclusive, as in every released evaluator. Masks are resized by nearest neighbor.

        Args:
            height, width: size of the map in pixels, whatever the size of the image.
            by_annotator: applies to the rule `consensus` only. True: overlapping boxes of one annotator count once, and
                the sum is divided by min(2, number of annotators). False, as published: each box counts one half,
                whoever drew it.

        Returns:
            (height, width) float32 in [0, 1]; all zero where nothing is annotated.
        """
        if self.rule == "mask":
            if self.mask is None:
                return torch.zeros(height, width)
            return F.interpolate(self.mask[None, None].float(), (height, width), mode="nearest")[0, 0]
        is_union = self.rule == "union"  # one layer of all boxes, one of each annotator, or one of each box
        keys = [0 if is_union else box.annotator if by_annotator else i for i, box in enumerate(self.boxes)]
        layers = {key: torch.zeros(height, width) for key in keys or [0]}
        for key, box in zip(keys, self.boxes, strict=True):
            x0, x1 = (int(width * min(max(x, 0.0), self.width) / self.width) for x in (box.x0, box.x1))
            y0, y1 = (int(height * min(max(y, 0.0), self.height) / self.height) for y in (box.y0, box.y1))
            layers[key][y0:y1, x0:x1] = 1.0
        if is_union:
            return layers[0]
        required = min(2, self.num_annotators or len(layers)) if by_annotator else 2
        return (torch.stack([*layers.values()]).sum(0) / required).clamp(max=1.0)


@runtime_checkable
class AudioVisualDataset(Protocol):
    """A data set of samples, each an image with an audio signal; subclass it to make your own.

    Each modality is read by itself, so that a neighbor's image is drawn without decoding its audio. A subclass defines
    `name`, `__len__`, `id`, `read_image` and `read_audio`; every other member has a default.

    Attributes:
        name: name that reports print.
        split: `train`, `val` or `test`; empty where the data set has none. Nothing is fitted on a test split.
    """

    name: str
    split: str = ""

    def __len__(self) -> int: ...

    def id(self, index: int) -> str:
        """Return the id of a sample.

        Args:
            index: position of the sample, from 0.

        Returns:
            The id, unique in the data set.
        """
        ...

    def read_image(self, index: int) -> Image.Image:
        """Read the image of a sample.

        Args:
            index: position of the sample, from 0.

        Returns:
            Upright RGB image of any size.
        """
        ...

    def read_audio(self, index: int) -> Audio:
        """Read the audio of a sample, decoded in full.

        Args:
            index: position of the sample, from 0.

        Returns:
            Mono audio at the sample rate of its file.
        """
        ...

    def open_audio(self, index: int) -> Any:
        """Open the audio of a sample, so that a segment can be decoded without the rest where the format permits.

        Args:
            index: position of the sample, from 0.

        Returns:
            Open file (`soundspot.data.media.audio.AudioFile`) whose segments are decoded on demand, or the audio
            decoded in full (`Audio`), which is the default.
        """
        return self.read_audio(index)

    def ground_truth(self, index: int) -> GroundTruth:
        """Return the location of the sound source.

        Args:
            index: position of the sample, from 0.

        Returns:
            Boxes or mask of the source; `present=False` where it is not in the image.

        Raises:
            DataError: the samples are not annotated (the default). An empty annotation would say that the source is not
                there.
        """
        raise DataError(f"{self.name}: these samples have no boxes or masks, so maps of them cannot be scored")

    def group(self, index: int) -> str:
        """Return the id of the sample's image, by default the id of the sample.

        Args:
            index: position of the sample, from 0.

        Returns:
            Id that is shared by the samples that pair one image with several sounds.
        """
        return self.id(index)

    def audio_id(self, index: int) -> str:
        """Return the id of the sample's audio, by default the id of the sample.

        Args:
            index: position of the sample, from 0.

        Returns:
            Id that is shared by the samples that pair several images with one audio, such as frames of one recording.
        """
        return self.id(index)

    def image_file(self, index: int) -> str:
        """Return the path of the file that a sample's image is read from, by which changes are noticed.

        Args:
            index: position of the sample, from 0.

        Returns:
            The path; empty where it is not known, or several are read, which is the default.
        """
        return ""

    def audio_file(self, index: int) -> str:
        """Return the path of the file that a sample's audio is read from, by which changes are noticed.

        Args:
            index: position of the sample, from 0.

        Returns:
            The path; empty where it is not known, or several are read, which is the default.
        """
        return ""

    def visible_categories(self, index: int) -> tuple[str, ...]:
        """Return the categories of the things that a sample's image is known to show.

        Args:
            index: position of the sample, from 0.

        Returns:
            Names of the categories, those of silent things too; by default the category of the sample's sound.
        """
        return (self.category(index),)

    def category(self, index: int) -> str:
        """Return the category of the sample's sound.

        Args:
            index: position of the sample, from 0.

        Returns:
            Name of the category; empty where it is not known, which is the default.
        """
        return ""

    def attributes(self, index: int) -> Mapping[str, str]:
        """Return what else is known of a sample, by which reports divide their scores (`group_by`).

        Args:
            index: position of the sample, from 0.

        Returns:
            Name -> value, such as `voice_over` -> `yes`; empty by default.
        """
        return {}

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories that samples of any epoch can have; empty where they are those of this epoch's samples."""
        return ()

    def at_epoch(self, epoch: int) -> "AudioVisualDataset":
        """Return the data set with the samples of an epoch.

        Args:
            epoch: number of the epoch, from 0.

        Returns:
            Data set of the same length; itself where samples are the same in all epochs, which is the default.
        """
        return self

    def count_frames(self) -> int:
        """Return the largest number of frames that any sample chooses its image from.

        Returns:
            Number of frames, 1 or more; 1 by default.
        """
        return 1

    def shard_ids(self) -> NDArray[np.int64] | None:
        """Return the number of the shard that holds each sample, so that loading can go shard by shard.

        Returns:
            (n,) int64 for n samples; None where samples do not lie in shards, which is the default.
        """
        return None

    def read_flow(self, index: int) -> Float[Tensor, "2 h w"]:
        """Read the optical flow of a sample's image.

        Args:
            index: position of the sample, from 0.

        Returns:
            (2, h, w) float32 displacement until the next frame, to the right and down, in pixels.

        Raises:
            DataError: the data set has no optical flow (the default).
        """
        raise DataError(
            f"{self.name}: has no optical flow, and this method takes it as input. Give its folder by the option "
            "`flow` (`soundspot data flow VIDEOS -o FOLDER` makes one)"
        )

    def read_audio_embedding(self, index: int) -> Float[Tensor, " d"]:
        """Read the embedding of a sample's audio that another network computed.

        Args:
            index: position of the sample, from 0.

        Returns:
            (d,) float32 embedding.

        Raises:
            DataError: the data set has no embeddings (the default).
        """
        raise DataError(
            f"{self.name}: has no embeddings of audio, and this method takes nothing else. Give their folder, or their "
            ".npz, by the option `audio_embeddings`, or train another audio encoder (`audio: {encoder: resnet18}`)"
        )

    @property
    def has_train_ground_truth(self) -> bool:
        """True where samples have ground truth to train on (`read_train_ground_truth`); False by default."""
        return False

    def read_train_ground_truth(self, index: int) -> GroundTruth | None:
        """Read the ground truth that a method may learn from, where `has_train_ground_truth` says that there is some.

        Args:
            index: position of the sample, from 0.

        Returns:
            Boxes or mask, by default those of `ground_truth`; None where the sample is not annotated for training.
        """
        return self.ground_truth(index)


@dataclass(frozen=True)
class Batch:
    """The input of `Method.losses`: b samples. Views are axes, so each modality is encoded in one call.

    Attributes:
        images: (v, b, 3, h, w) normalized images; views in the order plain, augmented, neighbor (those in use). Where
            the front end has optical flow, two more channels follow, (v, b, 5, h, w): displacement to the right and
            down in pixels per frame, divided by 255.
        audio: (u, b, 1, f, t) scaled spectrograms; views in the same order.
        index: (b,) position of each sample in its data set.
        false_negatives: (m, m) bool over the m samples of the step, those of all processes: True where audio j is
            likely to fit image i as well as its own, so that losses do not use the pair as a negative. None where no
            such pair is known.
        ground_truth: (v, b, y, x) location of the source in each image, in [0, 1] and of any size, for methods that
            learn from it; NaN throughout where an image is not annotated, None where no image is.
        labels: (2, b, k) probabilities in [0, 1] of k classes, of the images and of the audio; NaN throughout where the
            labels of an image or audio are not known; None where the recipe has no labels.
        negative_audio: (n, 1, f, t) spectrograms of silence and noise that the samples share; None where there are
            none.
        negatives: (kinds, b) row of the negative sound of each kind of each image, among the b sounds of the first view
            followed by `negative_audio`; -1 where an image has none of that kind. None where the recipe has no
            negatives.
    """

    images: Float[Tensor, "v b i h w"]
    audio: Float[Tensor, "u b 1 f t"]
    index: Int[Tensor, " b"]
    false_negatives: Bool[Tensor, "m m"] | None = None
    ground_truth: Float[Tensor, "v b y x"] | None = None
    labels: Float[Tensor, "2 b k"] | None = None
    negative_audio: Float[Tensor, "n 1 f t"] | None = None
    negatives: Int[Tensor, "kinds b"] | None = None
