"""Metrics of reports: `register_metric` adds one, `list_metrics` lists them; those of the library register here."""

# The order of these imports is the order of the metrics in reports. It also moves the last bits of bootstrap intervals,
# which come from one product of matrices.
from soundspot.evaluation.metrics import localization  # isort: skip
from soundspot.evaluation.metrics import presence  # isort: skip
from soundspot.evaluation.metrics import negatives  # isort: skip
from soundspot.evaluation.metrics import sources  # isort: skip
from soundspot.evaluation.metrics import retrieval  # isort: skip
from soundspot.evaluation.metrics.registry import list_metrics, register_metric

__all__ = ["list_metrics", "localization", "negatives", "presence", "register_metric", "retrieval", "sources"]
