"""Data sets by name. Each adapter reads its authors' files unmodified and returns an `AudioVisualDataset`."""

import inspect
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from soundspot.config.frontend import InputSpec
from soundspot.errors import DataError, RecipeError, did_you_mean
from soundspot.utils.outlines import load_outline
from soundspot.utils.signatures import Option, check_options, read_options

if TYPE_CHECKING:  # it imports torch, which lists of data sets and of their options do without
    from soundspot.types import AudioVisualDataset

Opener = Callable[..., Any]
AnyOpener = TypeVar("AnyOpener", bound=Opener)

# module:function -> name -> summary. The module is imported when a data set is opened; the function takes the name
# first if it opens several. `test:` marks a test set, on which nothing is fitted; `training:` one without annotations.
_BUILT_IN = {
    "soundspot.data.datasets.catalog:Catalog": {
        "catalog": "a folder of images and recordings with annotations.json, paired by category",
    },
    "soundspot.data.datasets.concat:open_concat": {
        "concat": "several data sets one after the other, by name, root and options of each",
    },
    "soundspot.data.datasets.webdataset:open_shards": {
        "shards": "training: a folder of shards that `soundspot data extract` wrote, or of WebDataset's layout",
    },
    "soundspot.data.datasets.vggsound_flickr:open_clip_pairs": {
        "pairs": "training: a folder with frames/ID.jpg and audio/ID.wav (EZ-VSL's layout), by any list of ids",
        "vggsound": "training: VGGSound by any list, in the layout of EZ-VSL, SSLalignment or SSL-TIE",
        "flickr_soundnet": "training: Flickr-SoundNet by any list, in the layout of EZ-VSL or SSL-TIE",
    },
    "soundspot.data.datasets.vggss:open_vggss": {
        "vggss": "test: VGG-SS, 5158 clips with boxes (lists 5158, 4655, heard, unheard or a file)",
        "extended_vggss": "test: VGG-SS and 5158 images whose sound's source is not in them",
    },
    "soundspot.data.datasets.flickr:open_flickr": {
        "flickr": "test: Flickr-SoundNet, 250 clips with the boxes of three annotators (lists 250, 249 or a file)",
        "extended_flickr": "test: Flickr-SoundNet and 250 images whose sound's source is not in them",
    },
    "soundspot.data.datasets.packaged:open_packaged": {
        "open-interactive": "test: in the package, 64 composed images, each with two sounds, freely licensed; no root",
    },
    "soundspot.data.datasets.is3_vpo_avsbench:open_benchmark": {
        "is3": "test: IS3, 3240 images, each with two sounds (ground truth: boxes or masks)",
        "vpo_ss": "test: VPO-SS, 890 images with one source (ground truth: boxes or masks)",
        "vpo_ms": "test: VPO-MS, 1432 images with 2157 sounds (ground truth: boxes or masks)",
        "avsbench_s4": "test: AVSBench S4, 740 videos of one source, 3700 frames (ground truth: boxes or masks)",
        "avsbench_ms3": "test: AVSBench MS3, 64 videos of several sources, 320 frames (ground truth: boxes or masks)",
    },
    "soundspot.scenes:open_scenes": {
        "scenes": "training: a shape that sounds among silent ones, endless and new in every epoch",
        "scenes-single": "test: one shape by itself",
        "scenes-interactive": "test: each image with the sound of each of its shapes",
        "scenes-extended": "test: sounds in the image, silence, noise and off-screen sounds, a quarter each",
        "cutouts": "training: a cut-out object that sounds among silent ones, from a catalog with masks",
        "cutouts-single": "test: one cut-out object by itself",
        "cutouts-interactive": "test: each image with the sound of each of its cut-out objects",
        "cutouts-extended": "test: sounds in the image, silence, noise and off-screen sounds, a quarter each",
    },
}
PACKAGED = ("open-interactive",)  # names of data sets in the package
ROOTLESS = ("concat", *PACKAGED)  # and of several data sets that have a root each
# Name -> (summary, opener or its module:function).
_DATASETS: dict[str, tuple[str, str | Opener]] = {
    name: (summary, target) for target, summaries in _BUILT_IN.items() for name, summary in summaries.items()
}


def register_dataset(name: str, summary: str) -> Callable[[AnyOpener], AnyOpener]:
    """Register a data set by name, so that recipes and commands open it; a decorator.

    The decorated function or class takes the folder first and its options after it, and returns an
    `soundspot.types.AudioVisualDataset`, such as a `soundspot.data.datasets.base.ClipDataset`.

    Args:
        name: name that recipes and commands use.
        summary: one-line description, printed by `soundspot datasets`. If it begins with `test:`, the data set is a
            test set: nothing is fitted on it.

    Returns:
        The decorator, which returns its argument unchanged.

    Raises:
        RecipeError: another data set has this name.
    """
    if name in _DATASETS:
        raise RecipeError(f"two data sets are named {name!r}; give yours another name")

    def add(opener: AnyOpener) -> AnyOpener:
        _DATASETS[name] = (summary, opener)
        return opener

    return add


def list_datasets() -> dict[str, str]:
    """List the data sets.

    Returns:
        Name -> one-line summary; test sets begin with `test:`.
    """
    return {name: summary for name, (summary, _) in _DATASETS.items()}


def is_test_set(name: str) -> bool:
    """Return True for the name of a test set of fixed samples (test scenes of another seed are other samples).

    Args:
        name: name of a data set.

    Returns:
        True where nothing may be fitted on the data set; False for scenes and for unknown names.
    """
    return name in _DATASETS and _DATASETS[name][0].startswith("test:") and not is_composed(name)


def is_composed(name: str) -> bool:
    """Return True for the name of scenes, which are composed rather than read.

    Args:
        name: name of a data set.

    Returns:
        True where the data set has no files of its own; False for unknown names.
    """
    return name in _DATASETS and str(_DATASETS[name][1]).startswith("soundspot.scenes:")


def open_dataset(name: str, root: str | Path | None = None, **options: Any) -> "AudioVisualDataset":
    """Open a data set by name.

    Args:
        name: name of the data set, a key of `list_datasets()`.
        root: folder of the data set; procedural scenes, `concat` and `open-interactive` need none.
        options: options of the data set itself (`split`, `length`, `seed`...); and, for every data set, its auxiliary
            files: `flow`, a folder of optical flow; `train_ground_truth`, `own` or a folder of masks ID.png to train
            on, of which `train_ground_truth_fraction` is used; `audio_embeddings`, embeddings ID.npy in a folder or an
            .npz.

    Returns:
        The data set.

    Raises:
        RecipeError: an unknown name or option, or an option of another type or length than expected.
        DataError: the folder is missing or its files are wrong.

    Examples:
        >>> scenes = open_dataset("scenes-interactive", length=3, size=64, seconds=0.5)
        >>> len(scenes), scenes.read_image(0).size, scenes.read_audio(0).seconds
        (6, (64, 64), 0.5)
        >>> scenes.group(0) == scenes.group(1)  # one image, with two sounds
        True
        >>> open_dataset("vgss", "VGGSS")
        Traceback (most recent call last):
        ...
        soundspot.errors.RecipeError: unknown data set 'vgss'. Did you mean 'vggss'?
    """
    from soundspot.data.datasets.auxiliary import AUXILIARY_OPTIONS, AuxiliaryDataset

    opener = _load_opener(name, lambda module, function: getattr(import_module(module), function))
    check_dataset_options(name, options)
    if root is None and name not in ROOTLESS and not is_composed(name):  # scenes say themselves which need one
        raise DataError(
            f"the data set {name!r} needs a folder; give it as `root` (`--root FOLDER`). {name}: {_DATASETS[name][0]}"
        )
    auxiliary = {option: options.pop(option) for option in AUXILIARY_OPTIONS & options.keys()}
    dataset: AudioVisualDataset = opener(root, **options)
    return AuxiliaryDataset(dataset, **auxiliary) if auxiliary else dataset


def list_dataset_options(name: str) -> list[Option]:
    """List the options of a data set.

    Args:
        name: name of the data set, a key of `list_datasets()`.

    Returns:
        Its options, `root` first, with type, default and meaning; those that every data set has at the end.

    Raises:
        RecipeError: no data set has this name.
    """
    opener = _load_opener(name, load_outline)
    options = read_options(opener.func if isinstance(opener, partial) else opener)
    returned = inspect.signature(opener).return_annotation
    if is_composed(name) and isinstance(returned, type):  # `**options` are fields of what it returns
        options += [field for field in read_options(returned) if not field.is_required and field.name != "kind"]
    auxiliary = read_options(load_outline("soundspot.data.datasets.auxiliary", "AuxiliaryDataset"))
    options += [option for option in auxiliary if option.name != "dataset"]
    return [option for option in options if option.name != "name"]


def check_dataset_options(name: str, options: dict[str, Any]) -> None:
    """Raise RecipeError for an option that a data set does not have, or whose value has another type or length.

    Args:
        name: name of the data set.
        options: name -> value.

    Raises:
        RecipeError: the data set or an option is unknown, or a value does not fit.
    """
    known = list_dataset_options(name)
    names = {option.name for option in known} - {"root"}
    for option in options:
        if option not in names:
            raise RecipeError(f"the data set {name!r} has no option {option!r}{did_you_mean(option, names)}")
    check_options(f"the data set {name!r}", options, known)


def _load_opener(name: str, load: Callable[[str, str], Any]) -> Opener:
    """Return the function that opens a data set, which takes its folder first; `load` gets that of a module by name."""
    if name not in _DATASETS:
        if Path(name).is_dir():
            raise RecipeError(
                f"{name} is a folder, expected the name of a data set (`soundspot datasets`). Give the folder as its "
                f"root, for one with annotations.json: `catalog --root {name}`."
            )
        raise RecipeError(f"unknown data set {name!r}{did_you_mean(name, _DATASETS)}")
    target = _DATASETS[name][1]
    if isinstance(target, str):
        module, _, function = target.partition(":")
        target = load(module, function)
    return partial(target, name) if next(iter(inspect.signature(target).parameters)) == "name" else target


def scoring_options(name: str, front_end: InputSpec | None = None, ground_truth_only: bool = False) -> dict[str, Any]:
    """Return the options with which a data set is opened to be scored on.

    Args:
        name: name of the data set.
        front_end: front end of the model: scenes are composed at its image size and duration; None: at their defaults.
        ground_truth_only: whether test sets are opened without looking for images and audio.

    Returns:
        Options for `open_dataset`; empty where the defaults serve.
    """
    if name == "catalog":
        return {"split": "test"}
    if is_composed(name) and front_end is not None:
        return {"size": front_end.image.size, "seconds": front_end.audio.seconds}
    return {"missing": "ignore"} if ground_truth_only and is_test_set(name) else {}


def fitting_options(name: str, front_end: InputSpec, options: dict[str, Any]) -> dict[str, Any]:
    """Return the options with which a data set is opened to fit something on it, such as a threshold.

    Args:
        name: name of the data set.
        front_end: front end of the model: scenes are composed at its image size and duration.
        options: options given by the user, which take precedence.

    Returns:
        Options for `open_dataset`.

    Raises:
        RecipeError: the data set is a test set, or the user's options name the split `test`.
    """
    members = options.get("datasets", ()) if name == "concat" else ()
    named = [(name, options), *((member.get("name", ""), member.get("options") or {}) for member in members)]
    if any(is_test_set(member) or chosen.get("split") == "test" for member, chosen in named):
        raise RecipeError(
            f"{name}: nothing is fitted on a test set; name held-out data, such as a catalog's split `val` or scenes "
            "of another seed."
        )
    return ({"split": "val"} if name == "catalog" else scoring_options(name, front_end)) | options
