"""The registry of metrics: each key of a report with its family, label, description, inputs and function.

Tables, headline cards and lists are derived from it. Adding a metric to every report is one decorated function:

    @register_metric("pointing", "Where", "pointing game", "highest pixel on the object")
    def pointing(maps, target): ...  # (b, h, w) maps at the protocol's size and ground truth -> (b,) numbers
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, TypeVar

from soundspot.errors import RecipeError, did_you_mean
from soundspot.utils.registry import Registry

SILENCE, NOISE, OFFSCREEN = "silence", "noise", "offscreen"
NEGATIVES = (SILENCE, NOISE, OFFSCREEN)  # audio that each image is asked with besides its own
FAMILIES = ("Where", "Listening", "Mixtures", "Presence", "Segments", "Retrieval", "Negatives", "Embedding", "Other")

Variants = Mapping[str, tuple[str, str]]  # suffix of the key -> (suffix of the label, words for the description)
ADAPTIVE: Variants = {
    "": ("", "the higher half of the map kept"),
    "_adaptive": (", adaptive", "as many pixels kept as the object has"),
}
NO_VARIANTS: Variants = {"": ("", "")}
Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True)
class MetricInfo:
    """A metric: its name and meaning, and how it is computed.

    Attributes:
        key: in reports, without the suffix of a variant.
        family: one of `FAMILIES`, the heading in tables.
        label: as tables print it.
        description: one line; `{}` stands for the words of a variant.
        needs: what `function` takes: `maps` (maps and ground truth at the protocol's size -> numbers per sample, whose
            mean over the localized samples is the score), or a kind of `INPUTS` (-> a `Score`, None, or scores by
            further suffixes).
        function: computes the metric.
        headline: suffix -> rank among the headline numbers of a page and the columns of the table of protocols.
        is_fraction: printed in percent; otherwise as it is.
        higher_is_better: False for errors.
    """

    key: str
    family: str
    label: str
    description: str
    needs: str = "maps"
    function: Callable[..., Any] | None = None
    headline: Mapping[str, int] = field(default_factory=dict)
    is_fraction: bool = True
    higher_is_better: bool = True

    @property
    def variants(self) -> Variants:
        """Variants of the metric by suffix of the key."""
        return INPUTS[self.needs].variants if self.needs in INPUTS else NO_VARIANTS


@dataclass(frozen=True)
class MetricInputKind:
    """A kind of inputs that metric functions take.

    Attributes:
        generate: `metrics.inputs.MetricInputs` -> (suffix of the key, what a metric function takes) for each variant.
        variants: suffix -> (suffix of the label, words in the description).
    """

    generate: Callable[[Any], Iterator[tuple[str, Any]]]
    variants: Variants


METRICS: Registry[MetricInfo] = Registry("metric")  # in the order in which reports hold them
INPUTS: dict[str, MetricInputKind] = {}


def metric_inputs(kind: str, variants: Variants = NO_VARIANTS) -> Callable[[Function], Function]:
    """Register the decorated generator as a kind of metric inputs.

    Args:
        kind: as `register_metric` takes it for `needs`.
        variants: suffix -> (suffix of the label, words in the description) of what is generated.

    Returns:
        The decorator, which returns its function.
    """

    def add(generate: Function) -> Function:
        INPUTS[kind] = MetricInputKind(generate, variants)
        return generate

    return add


def register_metric(
    key: str,
    family: str,
    label: str,
    description: str,
    needs: str = "maps",
    headline: Mapping[str, int] = MappingProxyType({}),
    **flags: bool,
) -> Callable[[Function], Function]:
    """Register the decorated function as a metric of all reports.

    Args:
        key: of the metric in reports.
        family: one of `FAMILIES`.
        label: as tables print it.
        description: one line.
        needs: kind of inputs that the function takes (`MetricInfo`).
        headline: suffix -> rank among the headline numbers.
        flags: `is_fraction`, `higher_is_better`.

    Returns:
        The decorator, which returns its function.

    Raises:
        RecipeError: another metric has this key, or the family is unknown.
    """

    def add(function: Function) -> Function:
        metric = MetricInfo(key, family, label, description, needs, function, headline, **flags)
        if taken := set(_report_keys()) & {key + suffix for suffix in metric.variants}:
            raise RecipeError(f"two metrics are named {min(taken)!r}; give yours another key.")
        if family not in FAMILIES:
            raise RecipeError(f"unknown family {family!r} of metric {key!r}{did_you_mean(family, FAMILIES)}")
        METRICS.register(key)(metric)
        return function

    return add


def _report_keys() -> list[str]:
    return [key + suffix for key, metric in METRICS.items() for suffix in metric.variants]


def map_metrics() -> dict[str, Callable[..., Any]]:
    """Return the functions of all metrics that need maps alone.

    Returns:
        Metric key -> function (maps, ground truth) -> numbers per sample.
    """
    return {key: metric.function for key, metric in METRICS.items() if metric.needs == "maps" and metric.function}


def get_metric_info(key: str) -> MetricInfo:
    """Return the label, description and family of a key of a report.

    Args:
        key: with the suffix of its variant, such as `ciou_adaptive`.

    Returns:
        The metric; one of the family "Other" for a key that is not registered.
    """
    for metric in METRICS.values():
        suffix = key.removeprefix(metric.key)
        if key.startswith(metric.key) and suffix in metric.variants:
            label, words = metric.variants[suffix]
            return replace(metric, key=key, label=metric.label + label, description=metric.description.format(words))
    return MetricInfo(key, "Other", key, "")


def list_metrics() -> dict[str, str]:
    """Return the label and description of each key that a report can have.

    Returns:
        Key -> one line.
    """
    metrics = map(get_metric_info, _report_keys())
    return {metric.key: f"{metric.label}: {metric.description}" for metric in metrics}


def headline_keys() -> list[str]:
    """Return the report keys that make headline numbers.

    Returns:
        Report keys, the most telling ones first.
    """
    ranks = {key + suffix: rank for key, metric in METRICS.items() for suffix, rank in metric.headline.items()}
    return sorted(ranks, key=ranks.__getitem__)


def expand_metric_keys(names: Iterable[str]) -> set[str]:
    """Return the report keys that names of metrics stand for.

    Args:
        names: report keys, such as `ciou_adaptive`, or keys of metrics, which stand for all of their variants.

    Returns:
        Report keys.

    Raises:
        RecipeError: an unknown name.
    """
    known, keys = _report_keys(), set()
    for name in names:
        keys |= {name} if name in known else set()
        keys |= {name + suffix for suffix in METRICS[name].variants} if name in METRICS or name not in known else set()
    return keys


def format_value(key: str, value: float) -> str:
    """Return a value as tables print it: percent with one decimal, or three decimals where it is no fraction.

    Args:
        key: of the report.
        value: of the score.

    Returns:
        The number as text; a dash for nan.

    Examples:
        >>> format_value("ciou", 0.3456), format_value("alignment", 0.3456), format_value("ap", float("nan"))
        ('34.6', '0.346', '–')
    """
    if value != value:
        return "–"
    return f"{100 * value:.1f}" if get_metric_info(key).is_fraction else f"{value:.3f}"
