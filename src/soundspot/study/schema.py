"""A study's file: methods, variants, seeds, tests and tuning, as frozen values that are checked when they are read."""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, cast, get_type_hints

from soundspot.config.load import find_yaml, read_yaml
from soundspot.errors import RecipeError, did_you_mean
from soundspot.evaluation.metrics.registry import get_metric_info, list_metrics
from soundspot.methods import METHODS
from soundspot.utils.safe_read import has_type


@dataclass(frozen=True)
class StudyData:
    """A data set of a study that is scored or fitted on.

    Attributes:
        name: name in `soundspot.list_datasets()`.
        options: options of that data set; scenes are composed at the size and duration of the model's inputs.
        root: folder of the data set; None: that of the study's command.
        negatives: whether every image is also localized with silence, noise and another's sound: the sound-blind rows.
        examples: positions of samples whose maps are drawn, for one seed.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    root: str | None = None
    negatives: bool = True
    examples: tuple[int, ...] = ()


@dataclass(frozen=True)
class TuningConfig:
    """Choice of a few values for each method alike, on held-out data.

    Attributes:
        keys: dotted key of a recipe -> its values. A method without an option of its own of that name does not vary it.
        budget: largest number of trainings for each method; the values of all keys are combined.
        data: held-out data; never a test split.
        metric: report key; the values with the highest score are taken, of equal ones the first.
        seed: `train.seed` of the trainings, none of the study's own.
        overrides: keys of the recipe that differ while values are chosen, such as fewer epochs.
    """

    keys: dict[str, tuple[Any, ...]]
    budget: int
    data: StudyData
    metric: str
    seed: int
    overrides: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StartConfig:
    """Start weights for the image encoder of every training: it learns to name what single scenes show.

    Attributes:
        data: data set of images with one category each.
        options: options of that data set, with its `length`.
        steps: optimizer steps.
        batch_size: images of each.
        lr: highest learning rate, of one cycle.
        seed: seed of the weights and of the order.
    """

    data: str = "scenes-single"
    options: dict[str, Any] = field(default_factory=dict)
    steps: int = 150
    batch_size: int = 64
    lr: float = 3e-3
    seed: int = 0


@dataclass(frozen=True)
class Arm:
    """A method, or one variant of it, that is trained with every seed.

    Attributes:
        name: name in tables.
        method: name of the method.
        overrides: keys of the recipe that are this arm's own.
        left_out: reason for which it is named and not trained; empty: it is trained.
    """

    name: str
    method: str
    overrides: tuple[Mapping[str, Any], ...] = ()
    left_out: str = ""


@dataclass(frozen=True)
class Study:
    """All that a study is made of.

    Attributes:
        title: heading of its page.
        recipe: name of a recipe, in which `{method}` stands for the method's name, or the keys of one for all methods.
        overrides: keys of the recipe that are the same for all arms.
        arms: methods, or their variants.
        seeds: `train.seed` of the trainings of each arm.
        tests: name -> test set.
        tables: title -> heading of a column -> `TEST/METRIC`; the first is the main table.
        correlations: pairs of `TEST/METRIC` whose rank correlation is computed.
        tuning: choice of a few values for each method; None: recipes are as they are.
        start: start weights for the image encoders; None: those of the recipes.
        calibration: held-out data on which the threshold and the probability of presence of each model are fitted
            before it is scored; never a test split. None: models have none.
    """

    title: str
    recipe: str | dict[str, Any]
    overrides: dict[str, Any]
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    tests: dict[str, StudyData]
    tables: dict[str, dict[str, str]]
    correlations: tuple[tuple[str, str], ...] = ()
    tuning: TuningConfig | None = None
    start: StartConfig | None = None
    calibration: StudyData | None = None

    @property
    def trained_arms(self) -> tuple[Arm, ...]:
        """Arms that are trained."""
        return tuple(arm for arm in self.arms if not arm.left_out)

    @property
    def columns(self) -> tuple[str, ...]:
        """Every `TEST/METRIC` that the page has."""
        headings = [column for table in self.tables.values() for column in table.values()]
        return tuple(dict.fromkeys([*headings, *(column for pair in self.correlations for column in pair)]))


KEYS = (
    *("title", "recipe", "overrides", "methods", "variants", "seeds", "tests", "tables", "correlations", "tuning"),
    *("start", "calibration"),
)


def read_study(path: str | Path) -> Study:
    """Read the file of a study.

    Args:
        path: path of a YAML file, or the name of a study of the library, such as `debug`.

    Returns:
        The study; recipes are not built yet.

    Raises:
        RecipeError: no such file, no YAML, an unknown key, method, test or metric, a value of another type, a seed
            twice, or tuning on a test split.
    """
    path = find_yaml(path, "study")
    try:
        return build_study(read_yaml(path), path.stem)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error


def build_study(values: Any, name: str = "study") -> Study:
    """Build a study of plain values.

    Args:
        values: content of a study's file.
        name: heading of its page, where the file has no `title`.

    Returns:
        The study.

    Raises:
        RecipeError: see `read_study`.
    """
    _check_mapping(values, "a study", KEYS)
    for key in ("recipe", "methods", "seeds", "tests", "tables"):
        if key not in values:
            raise RecipeError(f"`{key}` is missing; docs/study-file.md describes the file of a study")
    seeds = values["seeds"]
    if not (isinstance(seeds, list) and seeds and all(type(seed) is int for seed in seeds)):
        raise RecipeError(f"seeds: found {seeds!r}, expected whole numbers, such as [0, 1, 2]")
    if twice := sorted({seed for seed in seeds if seeds.count(seed) > 1}):
        raise RecipeError(f"seeds: found {twice[0]} twice, expected each once, as one training cannot count as two")
    recipe = values["recipe"]
    if not isinstance(recipe, str | dict):
        raise RecipeError(
            f"recipe: found {recipe!r}, expected a name, such as '{{method}}/scenes', or keys of a recipe"
        )
    tests = _check_mapping(values["tests"], "tests")
    calibration = values.get("calibration")
    study = Study(
        title=str(values.get("title", name)),
        recipe=recipe,
        overrides=_check_mapping(values.get("overrides") or {}, "overrides"),
        arms=_read_arms(values["methods"], values.get("variants")),
        seeds=tuple(seeds),
        tests={test: read_fields(StudyData, tests[test], f"tests.{test}") for test in tests},
        tables=_check_mapping(values["tables"], "tables"),
        correlations=tuple(map(_read_pair, values.get("correlations") or ())),
        tuning=_read_tuning(values.get("tuning"), seeds),
        start=read_fields(StartConfig, values["start"], "start") if values.get("start") is not None else None,
        calibration=None
        if calibration is None
        else _check_held_out(read_fields(StudyData, calibration, "calibration"), "calibration"),
    )
    _check_columns(study)
    return study


def _read_arms(methods: Any, variants: Any) -> tuple[Arm, ...]:
    """Return an arm for each method, or for each variant of each method."""
    arms = []
    for method, own in _check_mapping(methods, "methods").items():
        if method not in METHODS:
            raise RecipeError(f"methods: unknown method {method!r}{did_you_mean(method, METHODS)}")
        overrides = dict(_check_mapping(own or {}, f"methods.{method}"))
        left_out = overrides.pop("left_out", "")
        if not isinstance(left_out, str) or (left_out and overrides):
            raise RecipeError(f"methods.{method}.left_out: expected a reason in words, and no other key beside it")
        if left_out or not variants:
            arms.append(Arm(method, method, (overrides,), left_out))
            continue
        for name, keys in _check_mapping(variants, "variants").items():
            full = name if len(methods) == 1 else f"{method}, {name}"
            arms.append(Arm(full, method, (overrides, _check_mapping(keys or {}, f"variants.{name}"))))
    if all(arm.left_out for arm in arms):
        raise RecipeError("methods: found none that is trained, expected one or more")
    return tuple(arms)


def _read_tuning(values: Any, seeds: list[int]) -> TuningConfig | None:
    if not values:
        return None
    tuning = read_fields(TuningConfig, values, "tuning")
    _check_held_out(tuning.data, "tuning.data")
    if tuning.seed in seeds:
        raise RecipeError(f"tuning.seed: found {tuning.seed}, a seed of the study; expected another")
    return tuning


def _check_held_out(data: StudyData, where: str) -> StudyData:
    if data.options.get("split") == "test":
        raise RecipeError(f"{where}: this is a test split, and nothing is chosen on one; use the split `val`")
    return data


def _read_pair(pair: Any) -> tuple[str, str]:
    if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(column, str) for column in pair)):
        raise RecipeError(f"correlations: found {pair!r}, expected pairs: [TEST/METRIC, TEST/METRIC]")
    return pair[0], pair[1]


def _check_columns(study: Study) -> None:
    """Raise RecipeError for a column whose test or metric is unknown."""
    if not study.tables:
        raise RecipeError("tables: found none, expected one or more: {Scores: {single cIoU: single/ciou_adaptive}}")
    for title, table in study.tables.items():
        _check_mapping(table, f"tables.{title}")
    keys = list_metrics()
    for column in study.columns:
        test, _, key = str(column).partition("/")
        if test not in study.tests:
            raise RecipeError(f"{column}: unknown test {test!r}{did_you_mean(test, study.tests)}")
        if get_metric_info(key).family == "Other" and key not in keys:
            raise RecipeError(f"{column}: unknown metric {key!r}{did_you_mean(key, keys)}")


def read_fields(config_class: type, values: Any, where: str) -> Any:
    """Build a dataclass of a mapping whose keys are its fields.

    Args:
        config_class: dataclass; a field that is a dataclass itself is given as a mapping.
        values: content of the file.
        where: dotted key of the mapping, for messages.

    Returns:
        The dataclass; lists become tuples.

    Raises:
        RecipeError: an unknown or a missing key, or a value of another type.
    """
    known = {f.name: f for f in fields(cast(Any, config_class))}
    hints, read = get_type_hints(config_class), {}
    for name, value in _check_mapping(values, where, list(known)).items():
        if hints[name] is StudyData:
            value = read_fields(StudyData, value, f"{where}.{name}")
        elif isinstance(value, dict) and name == "keys":
            value = {key: tuple(x) if isinstance(x, list) else (x,) for key, x in value.items()}
        elif isinstance(value, list):
            value = tuple(value)
        if hints[name] is not StudyData and not has_type(value, hints[name]):
            raise RecipeError(f"{where}.{name}: found {value!r}, expected {hints[name]}".replace("<class ", "a "))
        read[name] = value
    if missing := [name for name, f in known.items() if name not in read and _is_required(f)]:
        raise RecipeError(f"{where}: `{missing[0]}` is missing")
    return config_class(**read)


def _is_required(f: Any) -> bool:
    return f.default is MISSING and f.default_factory is MISSING


def _check_mapping(values: Any, where: str, known: Sequence[str] | None = None) -> dict[str, Any]:
    """Return a mapping of words, or raise RecipeError for another value or an unknown key."""
    if not isinstance(values, dict):
        raise RecipeError(f"{where}: found {values!r:.60}, expected `key: value` lines")
    for key in values:
        if not isinstance(key, str):
            raise RecipeError(f"{where}: found the key {key}, expected a word")
        if known is not None and key not in known:
            raise RecipeError(f"{where}: unknown key {key!r}{did_you_mean(key, known)}")
    return values
