"""Inputs of metrics made by hand, as the sample table makes them from maps."""

from collections.abc import Collection

import torch
from torch import Tensor

from soundspot.evaluation import metrics  # noqa: F401 (registers the metrics)
from soundspot.evaluation.metrics.bootstrap import Scores
from soundspot.evaluation.metrics.inputs import MetricInputs, compute_scores
from soundspot.evaluation.protocols.presets import Columns, Protocol


def score_columns(
    protocol: Protocol,
    columns: Columns,
    groups: Tensor,
    present: Tensor | None = None,
    confidence: Tensor | None = None,
    needs: Collection[str] = (),
) -> Scores:
    """Return the metrics of columns whose samples are all scored where a source is present."""
    present = torch.ones(len(groups), dtype=torch.bool) if present is None else present
    free = {} if confidence is None else {"confidence": confidence}
    return compute_scores(MetricInputs(protocol, present, groups, present, columns, free), needs)
