"""What a recipe is made of: values, checked when they are made."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from soundspot.config.frontend import PRESETS, InputSpec
from soundspot.data.neighbors.table import Sampling
from soundspot.data.transforms.augment import STRONG, WEAK, Augmentation
from soundspot.errors import RecipeError, did_you_mean


@dataclass(frozen=True)
class FrontEndConfig:
    """A preset and what differs from it.

    Attributes:
        preset: name of a front end (`soundspot.config.frontend.PRESETS`); `clip+ast` is the picture's part of the first with the
            sound's of the second.
        size: side of the square picture in pixels.
        resize: how pictures are brought to that size (`soundspot.config.frontend.ImageSpec`). Training squashes with PIL, which
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
class DataConfig:
    """A data set by name (`soundspot.datasets()`), its folder, and options of its own (split, length, seed...)."""

    name: str = "scenes"
    root: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ViewsConfig:
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
            `published` (joint slot attention); `specaugment` (SSL-TIE). See `soundspot.data.transforms.augment.BANDS`.
    """

    multi_view: bool = True
    semantic: bool = True
    modalities: Literal["both", "image", "sound"] = "both"
    base_view: Literal["whole", "weak", "strong"] = "weak"
    base_audio_window: Literal["center", "random"] = "center"
    max_time_shift: float | None = None
    augmentation: Augmentation = STRONG
    spec_augment: Literal["none", "mended", "published", "specaugment"] = "none"

    def view_names(self, modality: Literal["image", "sound"]) -> tuple[str, ...]:
        """The views of one modality, in the order of the batch's first axis."""
        extra = self.modalities in ("both", modality)
        chosen = (True, self.multi_view and extra, self.semantic and extra)
        return tuple(n for n, used in zip(("plain", "augmented", "neighbour"), chosen, strict=True) if used)

    @property
    def base_augmentation(self) -> Augmentation | None:
        return {"whole": None, "weak": WEAK, "strong": self.augmentation}[self.base_view]


@dataclass(frozen=True)
class NeighborsConfig:
    """Where semantic neighbours come from.

    Attributes:
        table: folder that `soundspot mine` wrote; None with `mine_at` empty means there are none.
        mine_at: shares of the training (0 to 1) at which neighbours are mined with the model itself (self-mined): no
            outside supervision. Before the first of them the neighbour's view is the clip's own.
        k: how many of the nearest are drawn from; sampling: at `random`, always the nearest (`fixed`), or the clip
            itself (`anchor`).
        alike: clips among each other's first this many, in either modality, count as alike: likely false negatives; 0:
            none do.
    """

    table: str | None = None
    mining_schedule: tuple[float, ...] = ()
    k: int = 1000
    sampling: Sampling = "random"
    false_negatives_from_neighbors: int = 0

    @property
    def required_k(self) -> int:
        """How many neighbours a table must hold."""
        return max(self.k, self.false_negatives_from_neighbors, 1)


@dataclass(frozen=True)
class LabelsConfig:
    """Where class labels come from, for methods that learn from them (`soundspot.types.Batch.labels`).

    Attributes:
        source: `none`; `category`, the data set's own categories, which is supervision: say so where you print a
            number; `clusters` of the model's own features; or a table, which `soundspot label` writes.
        missing: clips that a table lacks, or whose category is not known: `refuse`, or count them as `unknown`.
        clusters: how many.
        at: shares of the training (0 to 1) at which clusters are made, of all samples, at the beginning of the next leg
            (`train.leg`). Before the first of them there are no labels.
    """

    source: str = "none"
    missing: Literal["refuse", "unknown"] = "refuse"
    num_clusters: int = 11
    cluster_schedule: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if self.num_clusters < 2:
            raise RecipeError(f"labels.clusters: found {self.num_clusters}, expected 2 or more")
        if (self.source == "clusters") != bool(self.cluster_schedule):
            raise RecipeError(
                f"labels.source is {self.source!r} and labels.at {list(self.cluster_schedule)}; expected both `source: clusters` and "
                "the shares of the training at which they are made, such as `at: [0.2, 0.5]`, or neither"
            )
        if any(not 0 <= share < 1 for share in self.cluster_schedule):
            raise RecipeError(
                f"labels.at: found {list(self.cluster_schedule)}, expected shares of the training, from 0 to below 1"
            )


@dataclass(frozen=True)
class TrainConfig:
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
        chunk: inputs that an encoder takes at a time, so that large batches fit; 0: all (`soundspot.training.grad_cache`).
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
    checkpoint_every_n_steps: int = 0
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    lr: float = 1e-4
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup: int = 0
    grad_clip_norm: float = 0.0
    param_groups: dict[str, dict[str, float]] = field(default_factory=dict)
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    false_negatives: Literal["none", "category"] = "none"
    grad_cache_size: int = 0
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
        for start, own in self.param_groups.items():
            for name, value in own.items():
                if name not in ("lr", "weight_decay"):
                    known = did_you_mean(name, ("lr", "weight_decay"))
                    raise RecipeError(f"train.groups.{start}: no {name!r}{known}; expected lr or weight_decay")
                if not value >= 0:
                    raise RecipeError(f"train.groups.{start}.{name}: found {value}, expected 0 or more")


@dataclass(frozen=True)
class ValidationConfig:
    """What the best checkpoint is chosen by, on data held out of training; never a test set.

    Attributes:
        data: the held-out set; None: no selection, the best is the last.
        metric: `loss`, or a key of the report (`ciou_adaptive`...), which needs truth on the held-out set.
        every: legs between two looks.
    """

    data: DataConfig | None = None
    metric: str = "loss"
    every_n_checkpoints: int = 1


@dataclass(frozen=True)
class Recipe:
    """Everything that a training run is made of."""

    method: dict[str, Any] = field(default_factory=lambda: {"name": "alignment"})
    image: dict[str, Any] = field(default_factory=lambda: {"encoder": "resnet18"})
    audio: dict[str, Any] = field(default_factory=lambda: {"encoder": "resnet18"})
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    data: DataConfig = field(default_factory=DataConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    neighbors: NeighborsConfig = field(default_factory=NeighborsConfig)
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        if "name" not in self.method:
            raise RecipeError(f"method: no `name` in {self.method}; give one, as in `method: {{name: alignment}}`")
        mined = self.neighbors.table or self.neighbors.mining_schedule
        if self.neighbors.table and self.neighbors.mining_schedule:
            raise RecipeError(
                "neighbours: found both a `table` and `mine_at`, whose tables would take its place; expected one of "
                "them. With a table of yours give `--neighbours.mine_at []`"
            )
        if self.views.semantic and not mined and self.neighbors.sampling != "anchor":
            raise RecipeError(
                "views.semantic is on, but there are no neighbours: give `neighbours.table` (see `soundspot mine`), or "
                "`neighbours.mine_at` for self-mined ones, or turn `views.semantic` off"
            )
        held_out = self.validation.data
        if held_out is not None and held_out.options.get("split") == "test":
            raise RecipeError("select.data: this is a test split, and nothing is selected on one; use the split `val`")

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as YAML and the checkpoint hold them."""
        return asdict(self)
