"""What a recipe is made of: values, checked when they are made."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from whence.data.augment import STRONG, WEAK, Augmentation
from whence.data.neighbours import Sampling
from whence.errors import RecipeError, did_you_mean
from whence.frontend import PRESETS, InputSpec


@dataclass(frozen=True)
class FrontEnd:
    """A preset and what differs from it.

    Attributes:
        preset: name of a front end (`whence.frontend.PRESETS`); `clip+ast` is the picture's part of the first with the
            sound's of the second.
        size: side of the square picture in pixels.
        resize: how pictures are brought to that size (`whence.frontend.ImageSpec`). Training squashes with PIL, which
            antialiases; `squash` does so afterwards too, and the presets' own ways belong to released weights.
        seconds: of sound. hop: of the spectrogram, in samples.
    """

    preset: str = "alignment"
    size: int | None = None
    resize: Literal["squash", "squash-tensor", "squash-tensor-antialias", "crop"] = "squash"
    seconds: float | None = None
    hop: int | None = None

    def build(self) -> InputSpec:
        pictures, _, sounds = self.preset.partition("+")
        for name in (pictures, sounds or pictures):
            if name not in PRESETS:
                raise RecipeError(f"front_end.preset: unknown front end {name!r}{did_you_mean(name, PRESETS)}")
        spec = InputSpec(PRESETS[pictures].image, PRESETS[sounds or pictures].audio)
        image = replace(spec.image, size=self.size or spec.image.size, resize=self.resize)
        sound = spec.audio if self.seconds is None else replace(spec.audio, seconds=self.seconds, clip_seconds=None)
        return InputSpec(image, sound if self.hop is None else replace(sound, hop=self.hop))


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
        plain: what the first view is: the picture `whole`, `weak`ly augmented (crop of 0.8 and mirror), or `strong`ly,
            by `augmentation`.
        plain_sound: its window: the `centre` of the clip or anywhere (`random`).
        shift: most seconds by which the augmented sound's window is moved from the middle; None: anywhere.
        augmentation: strong; of the augmented picture.
        bands: whether a band of frequencies and one of moments of a sound's spectrogram are masked: `none`; `mended` or
            `published` (joint slot attention); `specaugment` (SSL-TIE). See `whence.data.augment.BANDS`.
    """

    multi_view: bool = True
    semantic: bool = True
    modalities: Literal["both", "image", "sound"] = "both"
    plain: Literal["whole", "weak", "strong"] = "weak"
    plain_sound: Literal["centre", "random"] = "centre"
    shift: float | None = None
    augmentation: Augmentation = STRONG
    bands: Literal["none", "mended", "published", "specaugment"] = "none"

    def names(self, modality: Literal["image", "sound"]) -> tuple[str, ...]:
        """The views of one modality, in the order of the batch's first axis."""
        extra = self.modalities in ("both", modality)
        chosen = (True, self.multi_view and extra, self.semantic and extra)
        return tuple(n for n, used in zip(("plain", "augmented", "neighbour"), chosen, strict=True) if used)

    @property
    def plain_augmentation(self) -> Augmentation | None:
        return {"whole": None, "weak": WEAK, "strong": self.augmentation}[self.plain]


@dataclass(frozen=True)
class Neighbourhood:
    """Where semantic neighbours come from.

    Attributes:
        table: folder that `whence mine` wrote; None with `mine_at` empty means there are none.
        mine_at: shares of the training (0 to 1) at which neighbours are mined with the model itself (self-mined): no
            outside supervision. Before the first of them the neighbour's view is the clip's own.
        k: how many of the nearest are drawn from; sampling: at `random`, always the nearest (`fixed`), or the clip
            itself (`anchor`).
        alike: clips among each other's first this many, in either modality, count as alike: likely false negatives; 0:
            none do.
    """

    table: str | None = None
    mine_at: tuple[float, ...] = ()
    k: int = 1000
    sampling: Sampling = "random"
    alike: int = 0

    @property
    def depth(self) -> int:
        """How many neighbours a table must hold."""
        return max(self.k, self.alike, 1)


@dataclass(frozen=True)
class Labels:
    """Where class labels come from, for methods that learn from them (`whence.types.Batch.labels`).

    Attributes:
        source: `none`; `category`, the data set's own categories, which is supervision: say so where you print a
            number; `clusters` of the model's own features; or a table, which `whence label` writes.
        missing: clips that a table lacks, or whose category is not known: `refuse`, or count them as `unknown`.
        clusters: how many.
        at: shares of the training (0 to 1) at which clusters are made, of all samples, at the beginning of the next leg
            (`train.leg`). Before the first of them there are no labels.
    """

    source: str = "none"
    missing: Literal["refuse", "unknown"] = "refuse"
    clusters: int = 11
    at: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.clusters < 2:
            raise RecipeError(f"labels.clusters: found {self.clusters}, expected 2 or more")
        if (self.source == "clusters") != bool(self.at):
            raise RecipeError(
                f"labels.source is {self.source!r} and labels.at {list(self.at)}; expected both `source: clusters` and "
                "the shares of the training at which they are made, such as `at: [0.2, 0.5]`, or neither"
            )
        if any(not 0 <= share < 1 for share in self.at):
            raise RecipeError(f"labels.at: found {list(self.at)}, expected shares of the training, from 0 to below 1")


@dataclass(frozen=True)
class Train:
    """The run.

    Attributes:
        epochs: passes over the data; batch_size: clips that are told apart, of all processes together; the last
            incomplete batch of an epoch is dropped.
        accumulate: batches whose mean gradient makes one step. Their clips are no negatives of each other's: for that
            raise `batch_size`, and let `chunk` make it fit.
        leg: steps between checkpoints, probes and log lines; 0: one epoch. A killed run loses at most one leg.
        optimizer: `adam`, `adamw` or `sgd` (momentum 0.9).
        schedule: `constant` or `cosine` (to 0), after `warmup` steps.
        groups: what some of the method's parameters have of their own, by the beginnings of their names:
            `{query: {lr: 5.0e-4}, pcm.gates: {weight_decay: 0.0}}`. The longest beginning that fits tells.
        precision: `auto` is bf16 where the machine has it; `bf16`, `fp32`.
        alike: which clips count as alike besides neighbours: `none`, or those of the same `category` (uses labels, as a
            catalogue's pairing does already; say so where you print a number).
        chunk: inputs that an encoder takes at a time, so that large batches fit; 0: all (`whence.training.chunks`).
        compile: the encoders, by `torch.compile`: `auto` does where there is a GPU and Triton, `always`, or `never`.
        sync_batchnorm: of several processes, batch norms take their statistics over all, so that how many there are
            moves nothing; false: each of its own clips, which is quicker.
        order: of an epoch: `samples`, any after any; or `shards`, for a slow disk: shards in random order, the samples
            of eight of them mixed, so that few files are read from at once.
        workers: processes that read data; 0: none. seed: of everything.
    """

    epochs: float = 50.0
    batch_size: int = 128
    accumulate: int = 1
    leg: int = 0
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-4
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    clip: float = 0.0
    groups: dict[str, dict[str, float]] = field(default_factory=dict)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    alike: Literal["none", "category"] = "none"
    chunk: int = 0
    compile: Literal["auto", "always", "never"] = "auto"
    sync_batchnorm: bool = True
    order: Literal["samples", "shards"] = "samples"
    workers: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (
            ("batch_size", 2),
            ("accumulate", 1),
            ("workers", 0),
            ("chunk", 0),
            ("leg", 0),
            ("weight_decay", 0),
            ("warmup", 0),
        ):
            if getattr(self, name) < least:
                raise RecipeError(f"train.{name}: found {getattr(self, name)}, expected {least} or more")
        for name in ("epochs", "lr"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"train.{name}: found {getattr(self, name)}, expected more than 0")
        for start, own in self.groups.items():
            for name, value in own.items():
                if name not in ("lr", "weight_decay"):
                    known = did_you_mean(name, ("lr", "weight_decay"))
                    raise RecipeError(f"train.groups.{start}: no {name!r}{known}; expected lr or weight_decay")
                if not value >= 0:
                    raise RecipeError(f"train.groups.{start}.{name}: found {value}, expected 0 or more")


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
    labels: Labels = field(default_factory=Labels)
    train: Train = field(default_factory=Train)
    select: Select = field(default_factory=Select)

    def __post_init__(self) -> None:
        if "name" not in self.method:
            raise RecipeError(f"method: no `name` in {self.method}; give one, as in `method: {{name: alignment}}`")
        mined = self.neighbours.table or self.neighbours.mine_at
        if self.neighbours.table and self.neighbours.mine_at:
            raise RecipeError(
                "neighbours: found both a `table` and `mine_at`, whose tables would take its place; expected one of "
                "them. With a table of yours give `--neighbours.mine_at []`"
            )
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
