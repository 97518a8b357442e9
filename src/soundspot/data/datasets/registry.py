"""Data sets by name. Each adapter reads its authors' files unmodified and offers `soundspot.types.AudioVisualDataset`."""

import inspect
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from soundspot.config.frontend import InputSpec
from soundspot.data.datasets.auxiliary import AUXILIARY_OPTIONS, AuxiliaryDataset
from soundspot.errors import DataError, RecipeError, did_you_mean
from soundspot.types import AudioVisualDataset

DATASET_SUMMARIES = {
    "catalogue": "a folder of pictures and recordings with annotations.json, paired by category",
    "pairs": "training: a folder with frames/ID.jpg and audio/ID.wav (EZ-VSL's layout), by any list of ids",
    "shards": "training: a folder of shards that `soundspot data prepare` wrote, or of WebDataset's layout",
    "vggsound": "training: VGGSound by any list, in the layout of EZ-VSL, SSLalignment or SSL-TIE",
    "flickr_soundnet": "training: Flickr-SoundNet by any list, in the layout of EZ-VSL or SSL-TIE",
    "vggss": "test: VGG-SS, 5158 clips with boxes (lists 5158, 4655, heard, unheard or a file)",
    "extended_vggss": "test: VGG-SS and 5158 pictures whose sound's source is not in them",
    "flickr": "test: Flickr-SoundNet, 250 clips with the boxes of three annotators (lists 250, 249 or a file)",
    "extended_flickr": "test: Flickr-SoundNet and 250 pictures whose sound's source is not in them",
    "is3": "test: IS3, 3240 pictures each asked with two sounds (truth: boxes or masks)",
    "vpo_ss": "test: VPO-SS, 890 pictures with one source (truth: boxes or masks)",
    "vpo_ms": "test: VPO-MS, 1432 pictures asked with 2157 sounds (truth: boxes or masks)",
    "avsbench_s4": "test: AVSBench S4, 740 videos of one source, 3700 frames (truth: boxes or masks)",
    "avsbench_ms3": "test: AVSBench MS3, 64 videos of several sources, 320 frames (truth: boxes or masks)",
}
# name: (module, function or class, what it is told before all else)
_ADAPTERS: dict[str, tuple[str, str, str]] = {
    "catalogue": ("catalog", "Catalogue", ""),
    "pairs": ("vggsound_flickr", "training_set", "PAIRS"),
    "shards": ("webdataset", "sharded", ""),
    "vggsound": ("vggsound_flickr", "training_set", "VGGSOUND_CLIPS"),
    "flickr_soundnet": ("vggsound_flickr", "training_set", "FLICKR_CLIPS"),
    "vggss": ("vggss", "vggss", ""),
    "extended_vggss": ("vggss", "extended_vggss", ""),
    "flickr": ("flickr", "flickr", ""),
    "extended_flickr": ("flickr", "extended_flickr", ""),
    **{
        name: ("is3_vpo_avsbench", "framed", name.upper())
        for name in ("is3", "vpo_ss", "vpo_ms", "avsbench_s4", "avsbench_ms3")
    },
}
TEST_SETS = {name for name, line in DATASET_SUMMARIES.items() if line.startswith("test:")}

Adapter = TypeVar("Adapter", bound=Callable[..., AudioVisualDataset])
_REGISTERED: dict[str, Callable[..., AudioVisualDataset]] = {}


def register_dataset(name: str, summary: str) -> Callable[[Adapter], Adapter]:
    """Decorator: makes a data set of yours known by name, to recipes and commands alike.

    What it decorates takes the folder first and its options after it, and answers with an
    `soundspot.types.AudioVisualDataset`, such as a `soundspot.data.datasets.base.Listed`.

    Args:
        name: as recipes and commands call it.
        line: what it is, for `soundspot datasets`. One that begins with `test:` is a test set: nothing is fitted on it.

    Raises:
        RecipeError: another data set has this name.
    """

    def add(adapter: Adapter) -> Adapter:
        if name in list_datasets():
            raise RecipeError(f"two data sets are named {name!r}; give yours another name")
        DATASET_SUMMARIES[name], _REGISTERED[name] = summary, adapter
        if summary.startswith("test:"):
            TEST_SETS.add(name)
        return adapter

    return add


def list_datasets() -> dict[str, str]:
    """Name and one line of each data set there is."""
    from soundspot.scenes import SCENES

    return {**DATASET_SUMMARIES, **SCENES}


def open_dataset(name: str, root: str | Path | None = None, **options: Any) -> AudioVisualDataset:
    """A data set by name.

    Args:
        name: one of `datasets()`.
        root: its folder; procedural scenes need none.
        options: of its own: `split`, `length`, `seed`...; and, of every data set, what lies beside pictures and sounds
            (`soundspot.data.datasets.auxiliary.Beside`): `flow`, `truths`, `truths_share`, `vectors`.

    Raises:
        RecipeError: an unknown name or option. DataError: the folder is missing or its files are wrong.

    Examples:
        >>> scenes = open_dataset("scenes-interactive", length=3, size=64, seconds=0.5)
        >>> len(scenes), scenes.read_image(0).size, scenes.read_sound(0).seconds
        (6, (64, 64), 0.5)
        >>> scenes.group(0) == scenes.group(1)  # one picture, asked with two sounds
        True
        >>> open_dataset("vgss", "VGGSS")
        Traceback (most recent call last):
        ...
        soundspot.errors.RecipeError: unknown data set 'vgss'. Did you mean 'vggss'?
    """
    if name not in list_datasets():
        raise RecipeError(f"unknown data set {name!r}{did_you_mean(name, list_datasets())}")
    extra = {option: options.pop(option) for option in AUXILIARY_OPTIONS & options.keys()}
    opened = _opened(name, root, options)
    return AuxiliaryDataset(opened, **extra) if extra else opened


def _opened(name: str, root: str | Path | None, options: dict[str, Any]) -> AudioVisualDataset:
    if name not in DATASET_SUMMARIES:
        from soundspot.scenes import open_scenes

        return open_scenes(name, root, **options)
    adapter = _adapter(name)
    if root is None:
        raise DataError(f"the data set {name!r} needs a folder; give it as `root`. It is {DATASET_SUMMARIES[name]}")
    known = (set(inspect.signature(adapter).parameters) - {"root"}) | AUXILIARY_OPTIONS
    for option in options:
        if option not in known:
            raise RecipeError(f"the data set {name!r} has no option {option!r}{did_you_mean(option, known)}")
    opened: AudioVisualDataset = adapter(root, **options)
    return opened


def scoring_options(name: str, front_end: InputSpec | None = None, ground_truth_only: bool = False) -> dict[str, Any]:
    """What a data set is opened with to be scored on.

    Args:
        front_end: of the model: scenes are composed at its size and length.
        truths_only: neither pictures nor sounds are looked for.
    """
    if name == "catalogue":
        return {"split": "test"}
    if name not in DATASET_SUMMARIES and front_end is not None:
        return {"size": front_end.image.size, "seconds": front_end.audio.seconds}
    return {"media": "unchecked"} if ground_truth_only and name in TEST_SETS else {}


def fitting_options(name: str, front_end: InputSpec, options: dict[str, Any]) -> dict[str, Any]:
    """What a data set is opened with to fit something on it.

    Raises:
        RecipeError: it is a test set.
    """
    if name in TEST_SETS or options.get("split") == "test":
        raise RecipeError(
            f"{name}: nothing is fitted on a test set; name held-out data, such as a catalogue's split `val` or scenes "
            "of another seed."
        )
    own = {"split": "val"} if name == "catalogue" else scoring_options(name, front_end)
    return own | options


def _adapter(name: str) -> Callable[..., AudioVisualDataset]:
    """Imported where used: the catalogue's rules and the scenes' shapes cost nobody who does not need them."""
    if name in _REGISTERED:
        return _REGISTERED[name]
    module, what, told = _ADAPTERS[name]
    home = import_module(f"soundspot.data.datasets.{module}")
    adapter: Callable[..., AudioVisualDataset] = getattr(home, what)
    return partial(adapter, getattr(home, told)) if told else adapter
