"""Scenes as a data set: training pairs with silent distractors, and the single, interactive and extended tests."""

import hashlib
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from soundspot._version import __version__
from soundspot.errors import RecipeError, did_you_mean
from soundspot.scenes.cache import SceneCache
from soundspot.scenes.compose import Scene, compose
from soundspot.scenes.source import ObjectSource
from soundspot.types import Audio, GroundTruth
from soundspot.utils.hash_rng import make_generator

SceneKind = Literal["train", "single", "interactive", "extended"]
AudioKind = Literal["sound", "silence", "noise", "offscreen"]
AUDIO_KINDS: tuple[AudioKind, ...] = get_args(AudioKind)


_UNTOLD = ("source", "fresh", "keep", "_last")


@dataclass(frozen=True)
class SceneLayout:
    """What one picture shows, decided before anything is drawn."""

    categories: tuple[str, ...]
    sizes: tuple[float, ...]
    offscreen_category: str | None  # a category that is not in the picture, where there is one


@dataclass(frozen=True, eq=False)
class SceneDataset:
    """Composed scenes with the interface of every data set (`soundspot.types.AudioVisualDataset`).

    Attributes:
        source: where objects, sounds and backgrounds come from.
        kind: `train` one object sounds among silent ones of other categories; `single` one object alone;
            `interactive` each picture shows `objects` categories and is asked with the sound of each, as IS3 does, the
            items of one picture being a group; `extended` a quarter each of sounds of an object, silence, noise, and
            sounds of a category not in the picture, as the item's index modulo four has it.
        length: pictures; `len()` counts items, which are `objects` times as many in the interactive test.
        seed: scenes of different seeds (or kinds, or epochs) have nothing in common.
        size: side of a picture in pixels.
        seconds, rate: of each sound.
        distractors: least and most silent objects, in `train` and `extended`.
        object_size: least and most of an object's longer side, as a share of the picture's.
        objects: in a picture of the interactive test.
        fresh: in `train`, whether `at(epoch)` has new scenes for each epoch or the same for all.
        motion: things drift by at most this many pixels in a frame, and by a quarter of it at least; 0: all stand
            still. Those that sound and those that do not drift alike, so that what moves does not tell what is heard.
        epoch: which epoch's scenes these are.
        keep: a folder in which pictures and sounds are kept, so that the next training on the same scenes reads them;
            None: they are composed each time. 112 kB for each scene of 128 pixels and a second.

    What an item looks and sounds like depends on (seed, kind, epoch, index) alone.
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
    regenerate: bool = True
    motion: float | int = 0.0
    epoch: int = 0
    cache_dir: str | None = None
    # The scene composed last: an item's picture and truth, and a group's items, are asked for one after the other.
    _last: list[tuple[int, Scene]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.kind not in get_args(SceneKind):
            raise RecipeError(f"unknown kind of scenes {self.kind!r}{did_you_mean(self.kind, get_args(SceneKind))}")
        least, most = self.distractors
        small, large = self.object_size
        if self.length < 1 or self.size < 16 or self.seconds <= 0 or self.rate < 1 or self.num_objects < 1:
            raise RecipeError(
                "scenes need length, rate and objects of at least 1, a size of at least 16 pixels and seconds above 0; "
                f"found {self.length}, {self.rate}, {self.num_objects}, {self.size} and {self.seconds}."
            )
        if not 0 <= least <= most:
            raise RecipeError(f"distractors are (least, most) with 0 <= least <= most; found {self.distractors}.")
        if not 0 <= self.motion <= self.size:
            raise RecipeError(f"motion is the most pixels a frame, from 0 to the picture's size; found {self.motion}.")
        if not 0 < small <= large <= 1:
            raise RecipeError(f"object_size is (least, most) within 0 to 1; found {self.object_size}.")
        need = {"single": 1, "interactive": self.num_objects, "train": 1 + most, "extended": 2 + most}[self.kind]
        if need > len(self.source.categories):
            raise RecipeError(
                f"{self.kind} scenes like these need {need} categories; the source has {len(self.source.categories)}. "
                "Ask for fewer distractors or objects, or give a source with more categories."
            )

    @property
    def name(self) -> str:
        return self.source.name if self.kind == "train" else f"{self.source.name}-{self.kind}"

    @property
    def categories(self) -> tuple[str, ...]:
        return self.source.categories

    def __len__(self) -> int:
        return self.length * self._items_per_scene

    def id(self, index: int) -> str:
        scene, item = self._locate(index)
        return f"{self.group(index)}-{item}" if self.kind == "interactive" else self._scene_id(scene)

    def read_image(self, index: int) -> Image.Image:
        """The picture, RGB, `size` x `size`. The sound is not drawn."""
        scene = self._locate(index)[0]
        if self._shelf is None:
            return self._scene(scene).image.copy()
        return Image.fromarray(
            self._shelf.get("pictures", index % len(self), lambda: np.asarray(self._scene(scene).image))
        )

    def read_flow(self, index: int) -> Float[Tensor, "2 h w"]:
        """How far each pixel moves until the next frame, exactly: the drift of the thing it shows, or 0.

        Drifts are whole steps of a pixel in any direction. (Folders in HearTheFlow's 8-bit form, and methods that look
        at flow, take what moves to the left or up for standing still; see `soundspot.data.media.optical_flow`.)
        """
        scene = self._locate(index)[0]
        flow = torch.zeros(2, self.size, self.size)
        if not self.motion:
            return flow
        rng = self._generator(scene, "motion")
        for placed in self._scene(scene).objects:
            speed, angle = rng.uniform(self.motion / 4, self.motion), rng.uniform(0, 2 * np.pi)
            flow[:, placed.mask] = torch.tensor([np.cos(angle), np.sin(angle)]).mul(speed).round().float()[:, None]
        return flow

    def read_audio(self, index: int) -> Audio:
        """The sound, `seconds` long at `rate`. The picture is not drawn."""
        if self._shelf is None:
            return self._draw_sound(index)
        samples = self._shelf.get("sounds", index % len(self), lambda: self._draw_sound(index).waveform.numpy())
        return Audio(torch.from_numpy(samples), self.rate)

    def _draw_sound(self, index: int) -> Audio:
        scene, item = self._locate(index)
        rng = self._generator(scene, f"sound {item}")
        kind, samples = self.audio_kind(index), round(self.seconds * self.rate)
        if kind == "silence":
            return Audio(torch.zeros(samples), self.rate)
        if kind == "noise":
            noise = torch.from_numpy(rng.standard_normal(samples, dtype="float32"))
            return Audio(noise * (rng.uniform(0.25, 0.9) / noise.abs().max()), self.rate)
        return self.source.draw_audio(self.category(index), rng, self.seconds, self.rate)

    def ground_truth(self, index: int) -> GroundTruth:
        """The mask and box of the object that sounds; empty where none in the picture does."""
        scene, item = self._locate(index)
        if self.audio_kind(index) != "sound":
            nothing = torch.zeros(self.size, self.size, dtype=torch.bool)
            return GroundTruth(self.size, self.size, mask=nothing, rule="mask", present=False)
        placed = self._scene(scene).objects[item]
        return GroundTruth(self.size, self.size, (placed.box,), placed.mask, "mask")

    def group(self, index: int) -> str:
        return self._scene_id(self._locate(index)[0])

    def category(self, index: int) -> str:
        """Of what is heard: a category, `silence` or `noise`."""
        scene, item = self._locate(index)
        kind, plan = self.audio_kind(index), self.layout(scene)
        if kind == "offscreen":
            assert plan.offscreen_category is not None
            return plan.offscreen_category
        return plan.categories[item] if kind == "sound" else kind

    def audio_kind(self, index: int) -> AudioKind:
        """What is heard: the `sound` of an object in the picture, `silence`, `noise` or an `offscreen` sound."""
        return AUDIO_KINDS[self._locate(index)[0] % 4] if self.kind == "extended" else "sound"

    def at_epoch(self, epoch: int) -> "SceneDataset":
        return replace(self, epoch=epoch) if self.kind == "train" and self.regenerate and epoch != self.epoch else self

    def layout(self, scene: int) -> SceneLayout:
        """What picture number `scene` shows; its first object is the one that sounds (all of them, in turn, in the
        interactive test)."""
        rng = self._generator(scene, "plan")
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
    def _items_per_scene(self) -> int:
        return self.num_objects if self.kind == "interactive" else 1

    def _locate(self, index: int) -> tuple[int, int]:
        """(picture, which of its objects) of an item; negative indices count from the end."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"item {index} of {len(self)}")
        return divmod(index % len(self), self._items_per_scene)

    def _scene_id(self, scene: int) -> str:
        return f"{self.name}-{self.seed}-{self.epoch}-{scene:06d}"

    @cached_property
    def _shelf(self) -> SceneCache | None:
        """Its name tells all that moves a pixel or a sample; of the code, the version alone."""
        if self.cache_dir is None:
            return None
        catalogue = getattr(self.source, "catalogue", None)
        where = catalogue and (str(catalogue.root.resolve()), catalogue.split)
        told = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in _UNTOLD}
        digest = hashlib.sha256(repr((__version__, where, self.categories, told)).encode()).hexdigest()
        return SceneCache(
            Path(self.cache_dir) / f"{self.name}-{self.seed}-{self.epoch}-{digest[:12]}",
            items=len(self),
            size=self.size,
            samples=round(self.seconds * self.rate),
        )

    def _generator(self, scene: int, part: str) -> np.random.Generator:
        return make_generator(self.seed, "scenes", self.kind, self.epoch, scene, part)

    def _scene(self, scene: int) -> Scene:
        for which, composed in self._last[:]:
            if which == scene:
                return composed
        plan = self.layout(scene)
        composed = compose(self.source, plan.categories, plan.sizes, self._generator(scene, "picture"), self.size)
        self._last[:] = [(scene, composed)]
        return composed
