"""What flows between the stages: small frozen values that know nothing of models, paths or metrics.

One alphabet everywhere: b batch, n m items, c channels, h w place, f t spectrogram, s slots, k neighbours, v u views.
"""

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Audio:
    """A mono waveform: (t,) float32, from files in [-1, 1], at `rate` samples a second.

    Examples:
        >>> Sound(torch.zeros(8000), rate=16000).seconds, Sound(torch.zeros(8000), rate=16000).is_silent
        (0.5, True)
    """

    waveform: Float[Tensor, " t"]
    rate: int

    @property
    def seconds(self) -> float:
        return len(self.waveform) / self.rate

    @property
    def is_silent(self) -> bool:
        """True where no sample is louder than one step of 16-bit sound."""
        return not bool((self.waveform.abs() > 1 / 32768).any())


@dataclass(frozen=True, eq=False)
class ImageWithFlow:
    """A picture and its optical flow: pixels to the right and down that each place moves by until the next frame."""

    image: Image.Image
    flow: Float[Tensor, "2 h w"]


@dataclass(frozen=True)
class Box:
    """A rectangle, x0 <= x < x1 and y0 <= y < y1, in the units of its `Truth`; `annotator` says whose it is."""

    x0: float
    y0: float
    x1: float
    y1: float
    annotator: int = 0


GroundTruthRule = Literal["union", "consensus", "mask"]


@dataclass(frozen=True)
class GroundTruth:
    """Where the source of a sound is in a picture of `height` x `width` units: pixels, or 1 x 1 for fractions.

    Attributes:
        boxes: rectangles around the sources, in those units.
        mask: (height, width) bool, or None where only boxes are known.
        rule: how `map` makes one map of it: `union` of the boxes, `consensus` (boxes summed, halved, cut at 1, as
            Flickr-SoundNet has it), or `mask`.
        present: False where the data set says that no source of the sound is in the picture (silence, noise, off-screen
            sound). A truth that is present and yet has no pixel is one whose annotation is empty.
        annotators: how many were asked, those who drew nothing included; None: those who drew.

    Examples:
        >>> boxes = (Box(0.0, 0.0, 2.0, 1.0, annotator=0), Box(0.0, 0.0, 1.0, 1.0, annotator=1))
        >>> Truth(1, 4, boxes).map(1, 4)
        tensor([[1., 1., 0., 0.]])
        >>> Truth(1, 4, boxes, rule="consensus").map(1, 4)  # two of them agree on the first pixel alone
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
        """The truth squashed to height x width, values in [0, 1]; all zero where none is known.

        Box edges are truncated to whole pixels and the far edge is exclusive, as every released evaluator does;
        masks are resized to the nearest pixel.

        Args:
            by_annotator: in a consensus, overlapping boxes of one annotator have one voice, and where there is only one
                annotator that voice is enough. As published, each box has half a voice, whoever drew it.
        """
        if self.rule == "mask":
            if self.mask is None:
                return torch.zeros(height, width)
            return F.interpolate(self.mask[None, None].float(), (height, width), mode="nearest")[0, 0]
        one_voice = self.rule == "union"  # of all boxes together, of each annotator's, or of each box
        voices = [0 if one_voice else box.annotator if by_annotator else i for i, box in enumerate(self.boxes)]
        layers = {voice: torch.zeros(height, width) for voice in voices or [0]}
        for voice, box in zip(voices, self.boxes, strict=True):
            x0, x1 = (int(width * min(max(x, 0.0), self.width) / self.width) for x in (box.x0, box.x1))
            y0, y1 = (int(height * min(max(y, 0.0), self.height) / self.height) for y in (box.y0, box.y1))
            layers[voice][y0:y1, x0:x1] = 1.0
        if one_voice:
            return layers[0]
        needed = min(2, self.num_annotators or len(layers)) if by_annotator else 2
        return (torch.stack([*layers.values()]).sum(0) / needed).clamp(max=1.0)


@runtime_checkable
class AudioVisualDataset(Protocol):
    """Random access to each modality by itself, so that a neighbour's picture is drawn without decoding its sound.

    `group(i)` names the picture an item shows: items that ask one picture with several sounds share it (interactive
    scores take the worst of a group). `at(epoch)` is the data set as that epoch sees it: sets that pair or compose
    anew return another value of the same length, all others return themselves.
    """

    @property
    def name(self) -> str: ...
    def __len__(self) -> int: ...
    def id(self, index: int) -> str: ...
    def read_image(self, index: int) -> Image.Image: ...
    def read_audio(self, index: int) -> Audio: ...
    def ground_truth(self, index: int) -> GroundTruth: ...
    def group(self, index: int) -> str: ...
    def category(self, index: int) -> str: ...
    def at_epoch(self, epoch: int) -> "AudioVisualDataset": ...


@dataclass(frozen=True)
class Batch:
    """What a method learns from: views are axes, so each modality is encoded in one call.

    Attributes:
        images: (v, b, 3, h, w) normalised pictures; views in the order plain, augmented, neighbour (those in use).
            Where the front end has optical flow, two planes of it follow, in 255 pixels a frame.
        sounds: (u, b, 1, f, t) scaled spectrograms, views likewise.
        index: (b,) position of each sample in its data set.
        alike: (m, m) bool, True where sound j would do for image i as well as its own, as far as is known: a likely
            false negative; None where nothing is known. Of all clips of the step, those of other processes included.
        truths: (v, b, y, x) where the source is in each picture, in [0, 1] and of any size, for methods that can be
            taught; not a number throughout where nobody marked it, None where nobody marked any.
        labels: (2, b, k) how far each of k classes is what each picture shows, and what each sound is, in [0, 1]; not
            a number throughout where it is not known; None where nothing is. Whose they are, the recipe says.
    """

    images: Float[Tensor, "v b i h w"]
    audio: Float[Tensor, "u b 1 f t"]
    index: Int[Tensor, " b"]
    false_negatives: Bool[Tensor, "m m"] | None = None
    ground_truth: Float[Tensor, "v b y x"] | None = None
    labels: Float[Tensor, "2 b k"] | None = None
