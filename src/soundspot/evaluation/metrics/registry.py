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
        key: key in reports, without the suffix of a variant.
        family: heading in tables, one of `FAMILIES`.
        label: name that tables print.
        description: one line; `{}` stands for the words of a variant.
        needs: kind of input of `function`. `maps`: (b, s, s) maps and ground truths at the protocol's size -> (b,)
            numbers, whose mean over the scored samples is the score. A kind of `INPUTS`: what that kind generates -> a
            `Score`, scores by further suffixes, or None where there is no score.
        function: function that computes the metric.
        headline: suffix -> rank (lowest first) among the headline numbers of a page and the columns of the table of
            protocols; empty: not among them.
        is_fraction: True: printed in percent; False: as it is.
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
        """Variants of the metric: suffix of the key -> (suffix of the label, words for the description)."""
        return INPUTS[self.needs].variants if self.needs in INPUTS else NO_VARIANTS


@dataclass(frozen=True)
class MetricInputKind:
    """A kind of inputs that metric functions take.

    Attributes:
        generate: function from `metrics.inputs.MetricInputs` to pairs (suffix of the key, input of a metric function),
            one for each variant.
        variants: suffix of the key -> (suffix of the label, words for the description).
    """

    generate: Callable[[Any], Iterator[tuple[str, Any]]]
    variants: Variants


METRICS: Registry[MetricInfo] = Registry("metric")  # in the order in which reports hold them
INPUTS: dict[str, MetricInputKind] = {}


def metric_inputs(kind: str, variants: Variants = NO_VARIANTS) -> Callable[[Function], Function]:
    """Register the decorated generator as a kind of metric inputs.

    Args:
        kind: name of the kind, which `register_metric` takes as `needs`; a kind of that name is replaced.
        variants: suffix of the key -> (suffix of the label, words for the description) of each variant generated.

    Returns:
        Decorator that returns its function unchanged.
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
        key: key of the metric in reports, without the suffix of a variant.
        family: heading in tables, one of `FAMILIES`.
        label: name that tables print.
        description: one line; `{}` stands for the words of a variant.
        needs: kind of inputs of the function: `maps` ((b, s, s) maps and ground truths -> (b,) numbers), or a kind that
            `metric_inputs` registered.
        headline: suffix -> rank (lowest first) among the headline numbers; empty: not among them.
        flags: `is_fraction` (default True: printed in percent) and `higher_is_better` (default True).

    Returns:
        Decorator that returns its function unchanged.

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
        Metric key -> function from (b, s, s) maps and (b, s, s) ground truths to (b,) numbers.
    """
    return {key: metric.function for key, metric in METRICS.items() if metric.needs == "maps" and metric.function}


def get_metric_info(key: str) -> MetricInfo:
    """Return the label, description and family of a key of a report.

    Args:
        key: report key with the suffix of its variant, such as `ciou_adaptive`.

    Returns:
        The metric, with the label and description of that variant; a metric of the family "Other", labeled by the key,
        where the key is not registered.
    """
    for metric in METRICS.values():
        suffix = key.removeprefix(metric.key)
        if key.startswith(metric.key) and suffix in metric.variants:
            label, words = metric.variants[suffix]
            return replace(metric, key=key, label=metric.label + label, description=metric.description.format(words))
    return MetricInfo(key, "Other", key, "")


def list_metrics() -> dict[str, str]:
    """List all keys that a report can have.

    Returns:
        Report key -> label and description in one line.
    """
    metrics = map(get_metric_info, _report_keys())
    return {metric.key: f"{metric.label}: {metric.description}" for metric in metrics}


def headline_keys() -> list[str]:
    """List the report keys of the headline numbers.

    Returns:
        Report keys in the order of their ranks.
    """
    ranks = {key + suffix: rank for key, metric in METRICS.items() for suffix, rank in metric.headline.items()}
    return sorted(ranks, key=ranks.__getitem__)


def expand_metric_keys(names: Iterable[str]) -> set[str]:
    """Expand names of metrics to report keys.

    Args:
        names: report keys, such as `ciou_adaptive`, or keys of metrics, which stand for all of their variants.

    Returns:
        The report keys.

    Raises:
        RecipeError: a name is unknown.
    """
    known, keys = _report_keys(), set()
    for name in names:
        keys |= {name} if name in known else set()
        keys |= {name + suffix for suffix in METRICS[name].variants} if name in METRICS or name not in known else set()
    return keys


def format_value(key: str, value: float) -> str:
    """Format a value for tables: percent with one decimal, or three decimals where the metric is not a fraction.

    Args:
        key: report key of the metric.
        value: value of the score, a fraction where the metric is one.

    Returns:
        The number as text, without a percent sign; a dash for nan.

    Examples:
        >>> format_value("ciou", 0.3456), format_value("alignment", 0.3456), format_value("ap", float("nan"))
        ('34.6', '0.346', '–')
    """
    if value != value:
        return "–"
    return f"{100 * value:.1f}" if get_metric_info(key).is_fraction else f"{value:.3f}"
