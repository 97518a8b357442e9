"""Recipes: a YAML file that says how to run a training and what to expect. Unknown keys are refused.

    recipe = read_recipe("recipes/alignment/scenes.yaml", ["--train.lr", "0.001"])
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Literal

from whence.data.augment import STRONG, WEAK, Augmentation
from whence.data.neighbours import Sampling
from whence.errors import RecipeError, did_you_mean
from whence.frontend import PRESETS, InputSpec


@dataclass(frozen=True)
class FrontEnd:
    """A preset and what differs from it.

    Attributes:
        preset: name of a front end (`whence.frontend.PRESETS`).
        size: side of the square picture in pixels.
        seconds: of sound. hop: of the spectrogram, in samples.
    """

    preset: str = "alignment"
    size: int | None = None
    seconds: float | None = None
    hop: int | None = None

    def build(self) -> InputSpec:
        if self.preset not in PRESETS:
            raise RecipeError(f"front_end.preset: unknown front end {self.preset!r}{did_you_mean(self.preset, PRESETS)}")
        spec = PRESETS[self.preset]
        image = replace(spec.image, size=self.size) if self.size else spec.image
        sound = {k: v for k, v in (("seconds", self.seconds), ("hop", self.hop)) if v}
        if self.seconds:
            sound["clip_seconds"] = None
        return InputSpec(image, replace(spec.audio, **sound))


@dataclass(frozen=True)
class Data:
    """A data set by name (`whence.datasets()`), its folder, and options of its own (split, length, seed...)."""

    name: str = "scenes"
    root: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Views:
    """Which views of each clip are learned from. All three of both modalities make the paper's nine pairs.

    Attributes:
        multi_view: the augmented view (SimCLR for pictures, a random shift in time for sounds).
        semantic: the neighbour's view; needs `neighbours`.
        modalities: which modality gets the extra views.
        plain: what the first view is: the picture `whole`, or `weak`ly augmented (crop of 0.8 and mirror).
        plain_sound: its window: the `centre` of the clip or anywhere (`random`).
        shift: most seconds by which the augmented sound's window is moved from the middle; None: anywhere.
        augmentation: of the augmented picture.
    """

    multi_view: bool = True
    semantic: bool = True
    modalities: Literal["both", "image", "sound"] = "both"
    plain: Literal["whole", "weak"] = "weak"
    plain_sound: Literal["centre", "random"] = "centre"
    shift: float | None = None
    augmentation: Augmentation = STRONG

    def names(self, modality: Literal["image", "sound"]) -> tuple[str, ...]:
        """The views of one modality, in the order of the batch's first axis."""
        extra = self.modalities in ("both", modality)
        chosen = (True, self.multi_view and extra, self.semantic and extra)
        return tuple(n for n, used in zip(("plain", "augmented", "neighbour"), chosen, strict=True) if used)

    @property
    def plain_augmentation(self) -> Augmentation | None:
        return WEAK if self.plain == "weak" else None


@dataclass(frozen=True)
class Neighbourhood:
    """Where semantic neighbours come from.

    Attributes:
        table: folder that `whence mine` wrote; None with `mine_at` empty means there are none.
        mine_at: shares of the training (0 to 1) at which neighbours are mined with the model itself (self-mined): no
            outside supervision. Before the first of them the neighbour's view is the clip's own.
        k: how many of the nearest are drawn from; sampling: at `random`, always the nearest (`fixed`), or the clip
            itself (`anchor`).
        exclude: neighbours among the first this many, in either modality, are no negatives; 0: all are.
    """

    table: str | None = None
    mine_at: tuple[float, ...] = ()
    k: int = 1000
    sampling: Sampling = "random"
    exclude: int = 0

    @property
    def depth(self) -> int:
        """How many neighbours a table must hold."""
        return max(self.k, self.exclude, 1)


@dataclass(frozen=True)
class Train:
    """The run.

    Attributes:
        epochs: passes over the data; batch_size: clips; the last incomplete batch of an epoch is dropped.
        leg: steps between checkpoints, probes and log lines; 0: one epoch. A killed run loses at most one leg.
        optimizer: `adam` or `adamw`; schedule: `constant` or `cosine` (to 0), after `warmup` steps.
        precision: `auto` is bf16 where the machine has it; `bf16`, `fp32`.
        exclude: which sounds are no negatives besides those of neighbours: `none`, or those of the same `category`
            (uses labels: say so where you print a number).
        workers: processes that read data; 0: none. seed: of everything.
    """

    epochs: float = 50
    batch_size: int = 128
    leg: int = 0
    optimizer: Literal["adam", "adamw"] = "adam"
    lr: float = 1e-4
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    clip: float = 0.0
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    exclude: Literal["none", "category"] = "none"
    workers: int = 2
    seed: int = 0


@dataclass(frozen=True)
class Select:
    """What the best checkpoint is chosen by, on data held out of training; never a test set.

    Attributes:
        data: the held-out set; None: no selection, the best is the last.
        metric: `loss`, or a key of the report (`ciou_adaptive`...), which needs truth on the held-out set.
        every: legs between two looks.
    """

    data: Data | None = None
    metric: str = "loss"
    every: int = 1


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run is made of."""

    method: dict[str, Any] = field(default_factory=lambda: {"name": "alignment"})
    image: dict[str, Any] = field(default_factory=lambda: {"encoder": "resnet18"})
    audio: dict[str, Any] = field(default_factory=lambda: {"encoder": "resnet18"})
    front_end: FrontEnd = field(default_factory=FrontEnd)
    data: Data = field(default_factory=Data)
    views: Views = field(default_factory=Views)
    neighbours: Neighbourhood = field(default_factory=Neighbourhood)
    train: Train = field(default_factory=Train)
    select: Select = field(default_factory=Select)

    def __post_init__(self) -> None:
        if "name" not in self.method:
            raise RecipeError(f"method: no `name` in {self.method}; give one, as in `method: {{name: alignment}}`")
        mined = self.neighbours.table or self.neighbours.mine_at
        if self.views.semantic and not mined and self.neighbours.sampling != "anchor":
            raise RecipeError(
                "views.semantic is on, but there are no neighbours: give `neighbours.table` (see `whence mine`), or "
                "`neighbours.mine_at` for self-mined ones, or turn `views.semantic` off"
            )
        held_out = self.select.data
        if held_out is not None and held_out.options.get("split") == "test":
            raise RecipeError("select.data: this is a test split, and nothing is selected on one; use the split `val`")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as YAML and the checkpoint hold them."""
        return asdict(self)


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe: a path, or the name of one that comes with the library, such as `alignment/scenes`."""
    if Path(name).is_file():
        return Path(name)
    package = Path(__file__).parent
    homes = (package / "recipes", package.parent.parent / "recipes")  # installed; in a checkout
    known = {p.relative_to(home).with_suffix("").as_posix(): p for home in homes for p in home.glob("*/*.yaml")}
    if str(name) not in known:
        raise RecipeError(f"{name}: no such recipe, neither a file nor one of the library's{did_you_mean(str(name), known)}")
    return known[str(name)]


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a file (or of a name, see `find_recipe`) with command-line overrides (`--train.lr 0.001`).

    Raises:
        RecipeError: no such file, no YAML, an unknown key (with the nearest known one), a value of the wrong type.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    path = find_recipe(path)
    parser = ArgumentParser(exit_on_error=False, prog="whence train")
    parser.add_class_arguments(Recipe, None)
    parser.add_argument("--recipe", action="config")
    try:
        values = parser.parse_args(["--recipe", str(path), *overrides])
        built = parser.instantiate(values)
        recipe = Recipe(**{one.name: built[one.name] for one in fields(Recipe)})
    except (ArgumentError, TypeError, ValueError) as error:
        raise RecipeError(f"{path}: {_explain(str(error))}") from error
    return recipe


def known_keys(kind: Any = Recipe, prefix: str = "") -> list[str]:
    """Every dotted key of a recipe."""
    keys = []
    for one in fields(kind):
        keys.append(prefix + one.name)
        nested = one.type if is_dataclass(one.type) else Data if one.name == "data" else None
        if nested is not None and not prefix.startswith("select.data"):
            keys += known_keys(nested, f"{prefix}{one.name}.")
    return keys


def _explain(message: str) -> str:
    """The parser's message, with the nearest known key where one is unknown."""
    found = re.search(r"Key '([^']+)' is not expected|Unrecognized arguments: --([\w.]+)|Option '([\w.]+)' is not accepted", message)
    if not found:
        return message
    key = next(group for group in found.groups() if group)
    near = [name for name in known_keys() if name.count(".") == key.count(".")] or known_keys()
    return f"unknown key {key!r}{did_you_mean(key, near)}"
