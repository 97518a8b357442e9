"""Scenes as a data set: training pairs with silent distractors, and the single, interactive and extended tests."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from soundspot._version import __version__
from soundspot.data.media.audio import open_audio, read_audio
from soundspot.errors import RecipeError, did_you_mean
from soundspot.scenes.compose import Scene, compose
from soundspot.scenes.image_file import read_or_compose
from soundspot.scenes.source import ObjectSource
from soundspot.types import Audio, AudioVisualDataset, GroundTruth
from soundspot.utils.hash_rng import Key, hash_key, make_generator

SceneKind = Literal["train", "single", "interactive", "extended"]
AudioKind = Literal["sound", "silence", "noise", "offscreen"]
AUDIO_KINDS: tuple[AudioKind, ...] = get_args(AudioKind)


NUM_RECENT = 32  # composed scenes in memory: those of a batch of an evaluation


@dataclass(frozen=True)
class SceneLayout:
    """The content of one image, decided before anything is drawn.

    Attributes:
        categories: categories of the objects; the first object sounds (in the interactive test each in its turn).
        sizes: longer sides of the objects, as shares of the image's side.
        offscreen_category: a category that is not in the image; None where all are.
    """

    categories: tuple[str, ...]
    sizes: tuple[float, ...]
    offscreen_category: str | None


@dataclass(frozen=True, eq=False)
class SceneDataset(AudioVisualDataset):
    """Composed scenes. What a sample looks and sounds like depends on (seed, kind, epoch, index) alone.

    Attributes:
        source: source of objects, sounds and backgrounds.
        kind: `train`: one object sounds among silent ones of other categories; `single`: one object by itself;
            `interactive`: each image shows `num_objects` categories and is paired with the sound of each, as in IS3,
            the samples of one image being a group; `extended`: sounds of an object, silence, noise, and sounds of a
            category not in the image, a quarter each, by the sample's index modulo four.
        length: number of images; `len()` counts samples, `num_objects` times as many in the interactive test.
        seed: seed of all draws; scenes of different seeds (or kinds, or epochs) have nothing in common.
        size: side of an image in pixels, 16 or more.
        seconds: duration of each sound in seconds.
        rate: sample rate of each sound in Hz.
        distractors: least and largest number of silent objects, in `train` and `extended`.
        object_size: least and largest longer side of an object, as a share of the image's side, in (0, 1].
        num_objects: number of objects in an image of the interactive test.
        whole_recordings: whether the sound of a training scene is the entire recording that it is drawn from, in place
            of its loudest window, so that scenes share recordings and each is encoded once.
        regenerate: whether `train` composes new scenes for each epoch; False: the same scenes for all.
        motion: largest drift of an object in pixels per frame, and four times the least; 0: all stand still. Objects
            that sound and silent objects drift alike, so that motion does not reveal which of them sounds.
        image_folder: folder for composed images, which other trainings on these scenes then read (49 KB each of 128
            pixels); empty: each training composes its own.
        epoch: epoch of these scenes, from 0.

    Raises:
        RecipeError: an unknown kind, an attribute out of range, or a source with too few categories.
    """

    source: ObjectSource
    kind: SceneKind = "train"
    length: int = 1000
    seed: int = 0
    size: int = 128
    seconds: float = 2.0
    rate: int = 16000
    distractors: tuple[int, int] = (0, 2)
    object_size: tuple[float, float] = (0.22, 0.5)
    num_objects: int = 2
    whole_recordings: bool = False
    regenerate: bool = True
    motion: float | int = 0.0
    image_folder: str = ""
    epoch: int = 0
    # The scenes composed last: the images of a batch are read first, and their ground truths after them.
    _recent: list[tuple[int, Scene]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in get_args(SceneKind):
            raise RecipeError(f"unknown kind of scenes {self.kind!r}{did_you_mean(self.kind, get_args(SceneKind))}")
        least, most = self.distractors
        small, large = self.object_size
        if self.length < 1 or self.size < 16 or self.seconds <= 0 or self.rate < 1 or self.num_objects < 1:
            raise RecipeError(
                "scenes need length, rate and num_objects of at least 1, a size of at least 16 pixels and seconds "
                f"above 0; found {self.length}, {self.rate}, {self.num_objects}, {self.size} and {self.seconds}."
            )
        if not 0 <= least <= most:
            raise RecipeError(f"distractors are (least, most) with 0 <= least <= most; found {self.distractors}.")
        if not 0 <= self.motion <= self.size:
            raise RecipeError(f"motion is the most pixels a frame, from 0 to the image's size; found {self.motion}.")
        if not 0 < small <= large <= 1:
            raise RecipeError(f"object_size is (least, most) within 0 to 1; found {self.object_size}.")
        if self.whole_recordings and (self.kind != "train" or self.source.name != "cutouts"):
            raise RecipeError(
                f"whole_recordings: found {self.source.name} of kind {self.kind!r}, expected cut-outs to train on: "
                "other scenes have no recordings, or windows of them by definition. Leave it out"
            )
        if self.image_folder and self.source.name != "scenes":
            raise RecipeError(
                "image_folder: found cut-outs, expected procedural scenes, which nothing but their options decides on. "
                "Leave it out"
            )
        required = {"single": 1, "interactive": self.num_objects, "train": 1 + most, "extended": 2 + most}[self.kind]
        if required > len(self.source.categories):
            raise RecipeError(
                f"{self.kind} scenes like these need {required} categories; the source has "
                f"{len(self.source.categories)}. Use fewer distractors or objects, or a source with more categories."
            )

    @property
    def name(self) -> str:  # type: ignore[override]
        """Name of the source, `scenes` or `cutouts`, followed by `-` and the kind of the test, if it is a test."""
        return self.source.name if self.kind == "train" else f"{self.source.name}-{self.kind}"

    @property
    def split(self) -> str:  # type: ignore[override]
        """Split of the catalog that cut-outs come from; empty for procedural scenes."""
        return self.source.split

    @property
    def categories(self) -> tuple[str, ...]:
        """Categories of the source."""
        return self.source.categories

    def __len__(self) -> int:
        return self.length * self._samples_per_scene

    def id(self, index: int) -> str:
        """Return the id of a sample.

        Args:
            index: position of the sample, from 0; negative positions count from the end.

        Returns:
            The id, unique in the data set and among those of other seeds and epochs.

        Raises:
            IndexError: there is no such sample.
        """
        scene, item = self._locate(index)
        return f"{self.group(index)}-{item}" if self.kind == "interactive" else self._scene_id(scene)

    def read_image(self, index: int) -> Image.Image:
        """Compose the image of a sample; its sound is not drawn.

        Args:
            index: position of the sample, from 0.

        Returns:
            RGB image of `size` x `size` pixels.

        Raises:
            DataError: the objects do not fit into the image.
        """
        scene = self._locate(index)[0]
        if not self.image_folder:
            return self._scene(scene).image.copy()
        sizes = tuple(self.distractors), tuple(self.object_size), self.size, self._samples_per_scene
        look = len(self.categories), *sizes, __version__
        name = f"{self.name}-{self.seed}-{self.epoch}-{hash_key(repr(look)):08x}.rgb"
        return read_or_compose(Path(self.image_folder, name), scene, self.size, lambda: self._scene(scene).image.copy())

    def read_flow(self, index: int) -> Float[Tensor, "2 h w"]:
        """Compute the exact optical flow of a sample: the drift of the object that each pixel shows, or 0.

        Drifts are whole pixels in any direction. (Folders in HearTheFlow's 8-bit form, and methods that take flow,
        treat motion to the left or up as none; see `soundspot.data.media.optical_flow`.)

        Args:
            index: position of the sample, from 0.

        Returns:
            (2, size, size) float32 displacement until the next frame, to the right and down, in pixels.
        """
        scene = self._locate(index)[0]
        flow = torch.zeros(2, self.size, self.size)
        if not self.motion:
            return flow
        rng = self._generator(scene, Key.SCENE_MOTION)
        for placed in self._scene(scene).objects:
            speed, angle = rng.uniform(self.motion / 4, self.motion), rng.uniform(0, 2 * np.pi)
            flow[:, placed.mask] = torch.tensor([np.cos(angle), np.sin(angle)]).mul(speed).round().float()[:, None]
        return flow

    def audio_file(self, index: int) -> str:
        """Return the path of the recording of a sample, where scenes have whole ones.

        Args:
            index: position of the sample, from 0.

        Returns:
            The path; empty where the sound is drawn.
        """
        if not self.whole_recordings:
            return ""
        scene, item = self._locate(index)
        return self.source.find_audio(self.category(index), self._generator(scene, f"{Key.SCENE_AUDIO} {item}"))

    def open_audio(self, index: int) -> Any:
        """Open the recording of a sample, where scenes have whole ones; else draw its sound.

        Args:
            index: position of the sample, from 0.

        Returns:
            Open file whose segments are decoded on demand, or the sound.
        """
        return open_audio(self.audio_file(index)) if self.whole_recordings else self.read_audio(index)

    def read_audio(self, index: int) -> Audio:
        """Draw the sound of a sample; its image is not composed.

        Args:
            index: position of the sample, from 0.

        Returns:
            Mono audio of round(seconds * rate) samples at `rate` Hz: a sound of the category, zeros for silence, or
            Gaussian noise. An entire recording at its own rate where scenes have whole ones.
        """
        if self.whole_recordings:
            return read_audio(self.audio_file(index))
        scene, item = self._locate(index)
        rng = self._generator(scene, f"{Key.SCENE_AUDIO} {item}")
        kind, count = self.audio_kind(index), round(self.seconds * self.rate)
        if kind == "silence":
            return Audio(torch.zeros(count), self.rate)
        if kind == "noise":
            noise = torch.from_numpy(rng.standard_normal(count, dtype="float32"))
            return Audio(noise * (rng.uniform(0.25, 0.9) / noise.abs().max()), self.rate)
        return self.source.draw_audio(self.category(index), rng, self.seconds, self.rate)

    def ground_truth(self, index: int) -> GroundTruth:
        """Return mask and box of the object that sounds.

        Args:
            index: position of the sample, from 0.

        Returns:
            Ground truth of rule `mask` in pixels of the image; an empty mask and `present=False` where no object in the
            image sounds.
        """
        scene, item = self._locate(index)
        if self.audio_kind(index) != "sound":
            mask = torch.zeros(self.size, self.size, dtype=torch.bool)
            return GroundTruth(self.size, self.size, mask=mask, rule="mask", present=False)
        placed = self._scene(scene).objects[item]
        return GroundTruth(self.size, self.size, (placed.box,), placed.mask, "mask")

    def group(self, index: int) -> str:
        """Return the id of the sample's image.

        Args:
            index: position of the sample, from 0.

        Returns:
            Id that samples of one image share.
        """
        return self._scene_id(self._locate(index)[0])

    def audio_id(self, index: int) -> str:
        """Return the id of the sample's audio.

        Args:
            index: position of the sample, from 0.

        Returns:
            The recording that the sound is a window of, if there is one, and the id of the sample, as each has its own
            window: `audio/dog/bark.flac#cutouts-0-0-000012`. The recording alone where scenes have whole ones.
        """
        id, (scene, item) = self.id(index), self._locate(index)
        if self.audio_kind(index) in ("silence", "noise"):
            return id
        recording = self.source.name_audio(self.category(index), self._generator(scene, f"{Key.SCENE_AUDIO} {item}"))
        if self.whole_recordings:
            return recording
        return f"{recording}#{id}" if recording else id

    def category(self, index: int) -> str:
        """Return the category of the sample's sound.

        Args:
            index: position of the sample, from 0.

        Returns:
            Name of the category; `silence` or `noise` for such samples of the extended test.
        """
        scene, item = self._locate(index)
        kind, layout = self.audio_kind(index), self.layout(scene)
        if kind == "offscreen":
            assert layout.offscreen_category is not None
            return layout.offscreen_category
        return layout.categories[item] if kind == "sound" else kind

    def visible_categories(self, index: int) -> tuple[str, ...]:
        """Return the categories of the objects in a sample's image.

        Args:
            index: position of the sample, from 0.

        Returns:
            Names of the categories, of silent objects too.
        """
        return self.layout(self._locate(index)[0]).categories

    def audio_kind(self, index: int) -> AudioKind:
        """Return the kind of a sample's audio.

        Args:
            index: position of the sample, from 0.

        Returns:
            `sound` (of an object in the image), `silence`, `noise`, or `offscreen` (of a category that is not in the
            image); always `sound` except in the extended test.
        """
        return AUDIO_KINDS[self._locate(index)[0] % 4] if self.kind == "extended" else "sound"

    def at_epoch(self, epoch: int) -> "SceneDataset":
        """Return the scenes of an epoch; tests, and training scenes that are not regenerated, return themselves.

        Args:
            epoch: number of the epoch, from 0.

        Returns:
            Data set of the same length; this data set is not changed.
        """
        if self.kind != "train" or not self.regenerate or epoch == self.epoch:
            return self
        return replace(self, epoch=epoch)

    def layout(self, scene: int) -> SceneLayout:
        """Decide the content of an image without drawing it.

        Args:
            scene: number of the image, from 0 to `length` - 1.

        Returns:
            Categories and sizes; the first object sounds (all of them, in turn, in the interactive test).
        """
        rng = self._generator(scene, Key.SCENE_PLAN)
        if self.kind == "interactive":
            count = self.num_objects
        elif self.kind == "single":
            count = 1
        else:
            count = 1 + int(rng.integers(self.distractors[0], self.distractors[1], endpoint=True))
        drawn = [self.categories[i] for i in rng.permutation(len(self.categories))]
        sizes = rng.uniform(*self.object_size, count).tolist()
        return SceneLayout(tuple(drawn[:count]), tuple(sizes), drawn[count] if count < len(drawn) else None)

    @property
    def _samples_per_scene(self) -> int:
        return self.num_objects if self.kind == "interactive" else 1

    def _locate(self, index: int) -> tuple[int, int]:
        """Return (number of the image, number of its object) of a sample; negative indices count from the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return divmod(index % len(self), self._samples_per_scene)

    def _scene_id(self, scene: int) -> str:
        return f"{self.name}-{self.seed}-{self.epoch}-{scene:06d}"

    def _generator(self, scene: int, use: str) -> np.random.Generator:
        return make_generator(self.seed, Key.SCENES, self.kind, self.epoch, scene, use)

    def _scene(self, scene: int) -> Scene:
        for number, composed in self._recent[:]:
            if number == scene:
                return composed
        layout = self.layout(scene)
        composed = compose(
            self.source, layout.categories, layout.sizes, self._generator(scene, Key.SCENE_IMAGE), self.size
        )
        self._recent[:] = [*self._recent[1 - NUM_RECENT :], (scene, composed)]
        return composed
