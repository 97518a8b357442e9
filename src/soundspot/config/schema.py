"""Parts of a recipe: frozen values, checked when they are made."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from soundspot.config.augmentation import STRONG, WEAK, Augmentation
from soundspot.config.frontend import PRESETS, InputSpec
from soundspot.data.neighbors.table import Sampling
from soundspot.errors import RecipeError, did_you_mean


@dataclass(frozen=True)
class FrontEndConfig:
    """A front-end preset and the values that differ from it.

    Attributes:
        preset: name of a front end (`soundspot.config.frontend.PRESETS`); `clip+ast` takes images as the first does and
            sounds as the second.
        size: side of the square image in pixels; None: the preset's.
        resize: resizing of images to that size: `squash` (PIL bicubic, antialiased, aspect ratio not preserved), as in
            training; `squash-tensor` (bicubic on the float tensor, no antialiasing); `squash-tensor-antialias`; or
            `crop` (shorter side to `size`, center crop). The presets' own ways belong to released weights.
        seconds: length of the sound in seconds; None: the preset's.
        hop: step of the spectrogram in samples; None: the preset's.
    """

    preset: str = "alignment"
    size: int | None = None
    resize: Literal["squash", "squash-tensor", "squash-tensor-antialias", "crop"] = "squash"
    seconds: float | None = None
    hop: int | None = None

    def build(self) -> InputSpec:
        """Build the front end.

        Returns:
            The preset with the values that are given here; `resize` always replaces the preset's.

        Raises:
            RecipeError: no preset has that name, or a value is given that the preset does not use.
        """
        image_preset, _, audio_preset = self.preset.partition("+")
        audio_preset = audio_preset or image_preset
        for name in (image_preset, audio_preset):
            if name not in PRESETS:
                raise RecipeError(f"front_end.preset: unknown front end {name!r}{did_you_mean(name, PRESETS)}")
        image, audio = PRESETS[image_preset].image, PRESETS[audio_preset].audio
        image = replace(image, size=self.size or image.size, resize=self.resize)
        audio = audio if self.seconds is None else replace(audio, seconds=self.seconds, clip_seconds=None)
        if self.hop is not None and audio.window_function == "waveform":
            raise RecipeError(
                f"front_end.hop: found {self.hop} for {audio_preset!r}, which takes waveforms and has no spectrogram. "
                "Leave it out"
            )
        return InputSpec(image, audio if self.hop is None else replace(audio, hop=self.hop))


@dataclass(frozen=True)
class DataConfig:
    """A data set of a recipe.

    Attributes:
        name: name in `soundspot.list_datasets()`.
        root: folder of the data set; None where it needs none.
        options: options of that data set (split, length, seed...), by name.
    """

    name: str = "scenes"
    root: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ViewsConfig:
    """Views of each sample that are learned from. All three of both modalities make the paper's nine pairs.

    Attributes:
        multi_view: whether to add the augmented view (SimCLR for images, a random time shift for sounds).
        semantic: whether to add the neighbor's view; needs `neighbors`.
        modalities: modality that gets the added views: `both`, `image` or `audio`.
        base_view: image of the first view: `unaugmented`; `weak` (crop of at least 0.8, mirrored or not); or `strong`,
            by `augmentation`.
        base_audio_window: sound of the first view: the `center` of the clip, or a `random` window.
        max_time_shift: largest distance in seconds of the augmented sound's window from the middle; None: anywhere.
        augmentation: augmentation of the augmented image, and of a `strong` first view.
        spec_augment: mask a band of frequencies and one of times of each spectrogram: `none`; `mended` or `published`
            (joint slot attention); `specaugment` (SSL-TIE). See `soundspot.data.transforms.augment.BAND_MASKING`.
    """

    multi_view: bool = True
    semantic: bool = True
    modalities: Literal["both", "image", "audio"] = "both"
    base_view: Literal["unaugmented", "weak", "strong"] = "weak"
    base_audio_window: Literal["center", "random"] = "center"
    max_time_shift: float | None = None
    augmentation: Augmentation = STRONG
    spec_augment: Literal["none", "mended", "published", "specaugment"] = "none"

    def view_names(self, modality: Literal["image", "audio"]) -> tuple[str, ...]:
        """List the views of one modality.

        Args:
            modality: `image` or `audio`.

        Returns:
            `plain`, `augmented` and `neighbour`, those in use, in the order of the batch's first axis; the words are
            keys of random numbers (`soundspot.utils.hash_rng.Key`).
        """
        has_more = self.modalities in ("both", modality)
        is_used = {"plain": True, "augmented": self.multi_view and has_more, "neighbour": self.semantic and has_more}
        return tuple(name for name, used in is_used.items() if used)

    @property
    def base_augmentation(self) -> Augmentation | None:
        """Augmentation of the first view's image; None: no augmentation."""
        return {"unaugmented": None, "weak": WEAK, "strong": self.augmentation}[self.base_view]


@dataclass(frozen=True)
class NeighborsConfig:
    """Source of semantic neighbors.

    Attributes:
        table: folder that `soundspot neighbors mine` wrote; None with an empty `mining_schedule`: no neighbors.
        mining_schedule: shares of the training, in [0, 1), at which neighbors are mined with the model itself: no
            outside supervision. Before the first of them the neighbor's view is the sample's own.
        k: number of nearest neighbors from which a neighbor is drawn.
        sampling: `random`, always the nearest (`fixed`), or the sample itself (`anchor`).
        false_negatives_from_neighbors: number of nearest neighbors of a sample, in either modality, that count as its
            likely false negatives, which losses leave out of their denominators; 0: none.
    """

    table: str | None = None
    mining_schedule: tuple[float, ...] = ()
    k: int = 1000
    sampling: Sampling = "random"
    false_negatives_from_neighbors: int = 0

    @property
    def required_k(self) -> int:
        """Number of neighbors that a table must hold for each sample."""
        return max(self.k, self.false_negatives_from_neighbors, 1)


@dataclass(frozen=True)
class LabelsConfig:
    """Source of class labels, for methods that learn from them (`soundspot.types.Batch.labels`).

    Attributes:
        source: `none`; `category`, the data set's own categories, which is supervision: say so where you print a
            number; `clusters` of the model's own features; or path of a table, which `soundspot pseudo-label` writes.
        missing: treatment of samples that a table lacks, or whose category is not known: an `error`, or `unknown`
            labels.
        num_clusters: number of clusters, at least 2.
        cluster_schedule: shares of the training, in [0, 1), at which all samples are clustered, at the next checkpoint
            (`train.checkpoint_every_n_steps`). Before the first of them there are no labels.

    Raises:
        RecipeError: a value is out of range, or only one of `source: clusters` and `cluster_schedule` is given.
    """

    source: str = "none"
    missing: Literal["error", "unknown"] = "error"
    num_clusters: int = 11
    cluster_schedule: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        schedule = list(self.cluster_schedule)
        if self.num_clusters < 2:
            raise RecipeError(f"labels.num_clusters: found {self.num_clusters}, expected 2 or more")
        if (self.source == "clusters") != bool(schedule):
            raise RecipeError(
                f"labels.source is {self.source!r} and labels.cluster_schedule {schedule}; expected both `source: "
                "clusters` and the shares of the training at which they are made, such as `cluster_schedule: [0.2, "
                "0.5]`, or neither"
            )
        if any(not 0 <= share < 1 for share in schedule):
            raise RecipeError(
                f"labels.cluster_schedule: found {schedule}, expected shares of the training, from 0 to below 1"
            )


@dataclass(frozen=True)
class NegativesConfig:
    """Sounds whose source is not in the image, which every method can learn to give lower maps than the own sounds.

    Attributes:
        silence: whether silence is one of them.
        noise: whether Gaussian noise is one, of any loudness.
        offscreen: number of sounds of other samples of the batch, none a likely false negative
            (`train.false_negatives`, `neighbors.false_negatives_from_neighbors`).
        weight: weight of the loss, above 0 (`soundspot.losses.negatives`).
        tau: temperature of the loss, in units of the maps.

    Raises:
        RecipeError: `weight` or `tau` is not above 0, or `offscreen` is below 0.
    """

    silence: bool = False
    noise: bool = False
    offscreen: int = 0
    weight: float = 1.0
    tau: float = 0.07

    def __post_init__(self) -> None:
        if self.offscreen < 0:
            raise RecipeError(f"negatives.offscreen: found {self.offscreen}, expected 0 or more")
        for name in ("weight", "tau"):
            if not getattr(self, name) > 0:
                raise RecipeError(f"negatives.{name}: found {getattr(self, name)}, expected more than 0")

    def __bool__(self) -> bool:
        return self.silence or self.noise or self.offscreen > 0


@dataclass(frozen=True)
class TrainConfig:
    """Options of the optimization.

    Attributes:
        epochs: passes over the data, more than 0; fractions are allowed.
        batch_size: number of samples contrasted with each other, of all processes together, at least 2; the last
            incomplete batch of an epoch is dropped.
        accumulate: number of batches whose mean gradient makes one step. Their samples are no negatives of each
            other's: for that raise `batch_size`, and let `grad_cache_size` make it fit.
        checkpoint_every_n_steps: steps between checkpoints, validations and log lines; 0: one epoch. A killed run loses
            no more than these.
        optimizer: `adam`, `adamw` or `sgd` (momentum 0.9).
        lr: learning rate.
        weight_decay: weight decay of the optimizer.
        schedule: `constant` or `cosine` (to 0), after the warm-up.
        warmup: number of steps in which the learning rate rises linearly from 0.
        grad_clip_norm: largest norm of the gradient; 0: not clipped.
        param_groups: own `lr` or `weight_decay` of parameters, by the beginning of their names: `{query: {lr: 5.0e-4},
            pcm.gates: {weight_decay: 0.0}}`. The longest beginning that matches counts.
        precision: `bf16` (mixed), `fp32`, or `auto`: bf16 where the device multiplies in it natively.
        false_negatives: samples that count as likely false negatives besides neighbors, and are left out of the
            denominators of losses: `none`; those of the same `category`; or, from image to sound, those of a `visible`
            category, be it that of a silent thing in the image. Both use labels, as a catalog's pairing does already;
            say so where you print a number.
        grad_cache_size: number of samples that an encoder takes at a time, so that large batches fit; 0: all
            (`soundspot.training.grad_cache`).
        compile: compilation of the encoders by `torch.compile`: `auto` (where there is a GPU and Triton), `always`, or
            `never`.
        sync_batchnorm: whether batch norms take their statistics over all processes, so that their number moves
            nothing; else each over its own samples, which is quicker.
        order: order of an epoch: `samples`, any after any; `categories`, by turns, each category as often as another,
            with samples of a small one several times (uses the labels of all samples); or `shards`, for a slow disk: in
            random order, the samples of eight of them shuffled, so that few files are read from at once.
        workers: number of processes that read data; 0: none, as where stored features are all that is read.
        seed: seed of everything random.

    Raises:
        RecipeError: a value is out of range.
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
    false_negatives: Literal["none", "category", "visible"] = "none"
    grad_cache_size: int = 0
    compile: Literal["auto", "always", "never"] = "auto"
    sync_batchnorm: bool = True
    order: Literal["samples", "categories", "shards"] = "samples"
    workers: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        values = asdict(self)
        at_least = {"batch_size": 2, "accumulate": 1}
        zero = ("workers", "grad_cache_size", "checkpoint_every_n_steps", "weight_decay", "warmup")
        for name, least in (at_least | dict.fromkeys(zero, 0)).items():
            if values[name] < least:
                raise RecipeError(f"train.{name}: found {values[name]}, expected {least} or more")
        for name in ("epochs", "lr"):
            if not values[name] > 0:
                raise RecipeError(f"train.{name}: found {values[name]}, expected more than 0")
        for prefix, own in self.param_groups.items():
            for name, value in own.items():
                if name not in ("lr", "weight_decay"):
                    hint = did_you_mean(name, ("lr", "weight_decay"))
                    raise RecipeError(f"train.param_groups.{prefix}: no {name!r}{hint}; expected lr or weight_decay")
                if not value >= 0:
                    raise RecipeError(f"train.param_groups.{prefix}.{name}: found {value}, expected 0 or more")


@dataclass(frozen=True)
class FeatureCacheConfig:
    """Features of frozen stages of encoders, computed once and read in every step of every later run.

    Attributes:
        folder: folder of the features of any number of data sets, encoders and views; None: nothing is stored.
        augmentations: number of drawn views of each image and sound, for each view of the recipe that is drawn. A view
            that is not (`views.base_view: unaugmented`, `views.base_audio_window: center`) is stored once.
        epochs: number of epochs whose pairs and composed scenes are stored: epoch e of the training is epoch e %
            `epochs`. Data sets that pair anew store each image and sound once, however many these are.
        max_gb: largest size in GB (10^9 bytes); more is an error before anything is computed.
        seed: seed of the drawn views that are stored; None: `train.seed`. With one of its own a cache serves runs of
            any `train.seed`, which then decides on the initial weights, the order of the samples and which of the
            stored views is taken in each epoch.

    Raises:
        RecipeError: a value is out of range.
    """

    folder: str | None = None
    augmentations: int = 4
    epochs: int = 4
    max_gb: float = 4.0
    seed: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("augmentations", 0), ("epochs", 1)):
            if getattr(self, name) < least:
                raise RecipeError(f"feature_cache.{name}: found {getattr(self, name)}, expected {least} or more")
        if not self.max_gb > 0:
            raise RecipeError(f"feature_cache.max_gb: found {self.max_gb}, expected more than 0")


@dataclass(frozen=True)
class ValidationConfig:
    """Selection of the best checkpoint on data held out of training; never a test set.

    Attributes:
        data: held-out data set; None: no selection, the best is the last.
        metric: score to select by: `loss` (less is better), or a key of the report (`ciou_adaptive`..., more is
            better), which needs ground truth of the held-out set.
        every_n_checkpoints: number of checkpoints from one validation to the next; the last checkpoint is always
            validated.
    """

    data: DataConfig | None = None
    metric: str = "loss"
    every_n_checkpoints: int = 1


@dataclass(frozen=True)
class Recipe:
    """All that a training run is made of.

    Attributes:
        method: `name` of the method and its options.
        image: `encoder` of images and its options.
        audio: `encoder` of sounds and its options.
        front_end: sizes and rates of the encoders' inputs.
        data: training set.
        views: views of each sample that are learned from.
        neighbors: source of semantic neighbors.
        labels: source of class labels.
        negatives: sounds whose source is not in the image.
        train: options of the optimization.
        feature_cache: features of frozen encoders that are computed once.
        validation: selection of the best checkpoint.

    Raises:
        RecipeError: no `name` of the method, neighbors that are needed and not given or given twice, or a test split as
            held-out set.
    """

    method: dict[str, Any] = field(default_factory=lambda: {"name": "alignment"})
    image: dict[str, Any] = field(default_factory=lambda: {"encoder": "resnet18"})
    audio: dict[str, Any] = field(default_factory=lambda: {"encoder": "resnet18"})
    front_end: FrontEndConfig = field(default_factory=FrontEndConfig)
    data: DataConfig = field(default_factory=DataConfig)
    views: ViewsConfig = field(default_factory=ViewsConfig)
    neighbors: NeighborsConfig = field(default_factory=NeighborsConfig)
    labels: LabelsConfig = field(default_factory=LabelsConfig)
    negatives: NegativesConfig = field(default_factory=NegativesConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    feature_cache: FeatureCacheConfig = field(default_factory=FeatureCacheConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        if "name" not in self.method:
            raise RecipeError(f"method: no `name` in {self.method}; give one, as in `method: {{name: alignment}}`")
        neighbors = self.neighbors
        if neighbors.table and neighbors.mining_schedule:
            raise RecipeError(
                "neighbors: found both a `table` and a `mining_schedule`, whose tables would replace it; expected one "
                "of them. With a table of yours give `--neighbors.mining_schedule []`"
            )
        has_neighbors = neighbors.table or neighbors.mining_schedule or neighbors.sampling == "anchor"
        if self.views.semantic and not has_neighbors:
            raise RecipeError(
                "views.semantic is on, but there are no neighbors: give `neighbors.table` (see `soundspot neighbors "
                "mine`), or `neighbors.mining_schedule` for self-mined ones, or turn `views.semantic` off"
            )
        if self.validation.data is not None and self.validation.data.options.get("split") == "test":
            raise RecipeError(
                "validation.data: this is a test split, and nothing is selected on one; use the split `val`"
            )

    @property
    def stored_views_seed(self) -> int:
        """Seed of the drawn views that a cache of features holds."""
        return self.train.seed if self.feature_cache.seed is None else self.feature_cache.seed

    def as_dict(self) -> dict[str, Any]:
        """Convert the recipe to plain values, for YAML and the header of a checkpoint.

        Returns:
            Nested dictionaries by field; tuples stay tuples.
        """
        return asdict(self)


def describe_supervision(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """Describe the labels of people that a model learned from, for reports.

    Args:
        recipe: recipe as plain values (see `Recipe.as_dict`); empty for a model without a recipe.

    Returns:
        One sentence; empty for a model of image-audio pairs, mined neighbors and clusters alone.
    """
    used = []
    source = recipe.get("labels", {}).get("source", "none")
    if source not in ("none", "clusters"):
        used.append(f"class labels (labels.source: {source})")
    if (by_category := recipe.get("train", {}).get("false_negatives", "none")) != "none":
        used.append(f"categories, as likely false negatives (train.false_negatives: {by_category})")
    options = recipe.get("data", {}).get("options", {})
    members = [member.get("options") or {} for member in options.get("datasets", ())]
    if any(member.get("train_ground_truth") for member in (options, *members)):
        used.append("annotated images (data.options.train_ground_truth)")
    if not used:
        return ()
    return (
        f"The model learned from {' and '.join(used)}: say so where its numbers stand beside self-supervised ones.",
    )
