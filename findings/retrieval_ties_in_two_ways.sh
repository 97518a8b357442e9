#!/usr/bin/env bash
# retrieval_ties_in_two_ways: torchmetrics 1.9.0, torch 2.13.0, numpy 2.4.6
#
# Behavior: where scores are equal, torchmetrics' retrieval metrics put the items in an order that they do not tell, and
# not all in the same. Of one query whose items all have one score, RetrievalRecall and RetrievalHitRate take one item
# for the first, RetrievalMRR and RetrievalMAP another one, and RetrievalNormalizedDCG takes the mean over all orders.
#
# Plausible guess: the metrics of one library see one ranking: recall at 1 is 1 exactly where the reciprocal rank is 1,
# and a query whose scores say nothing gets what chance gets.
#
# Seen, of queries of n items with equal scores (which item, when it is the right one, counts as the first):
#   5 equal scores: {'Recall@1': [0], 'HitRate@1': [0], 'MRR': [2], 'MAP': [2], 'NDCG@1': []}
#   10 equal scores: {'Recall@1': [0], 'HitRate@1': [0], 'MRR': [5], 'MAP': [5], 'NDCG@1': []}
#   20 equal scores: {'Recall@1': [0], 'HitRate@1': [0], 'MRR': [9], 'MAP': [9], 'NDCG@1': []}
#   100 equal scores: {'Recall@1': [13], 'HitRate@1': [13], 'MRR': [64], 'MAP': [64], 'NDCG@1': []}
#
# Meaning: a collapsed model, whose embeddings are all alike, scores 0 or 1 by the place of the right item in the list;
# where that is always the same place (the pair first, then the distractors) the recall may be perfect. Break ties
# against the model, or by expectation, before the metric sees them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torchmetrics==1.9.0 torch==2.13.0 numpy==2.4.6
cat > check.py <<'PY'
import sys

import numpy as np
import torch
import torchmetrics
from torchmetrics.retrieval import RetrievalHitRate, RetrievalMAP, RetrievalMRR, RetrievalNormalizedDCG, RetrievalRecall

print("torchmetrics", torchmetrics.__version__, "torch", torch.__version__.partition("+")[0], "numpy", np.__version__)


def first_items(metric: torchmetrics.Metric, scores: torch.Tensor) -> list[int]:
    """Items that get a full score when they are the only right one."""
    query, found = torch.zeros(len(scores), dtype=torch.long), []
    for item in range(len(scores)):
        target = torch.zeros(len(scores), dtype=torch.long)
        target[item] = 1
        if float(metric(scores, target, query)) > 0.999:
            found.append(item)
        metric.reset()
    return found


metrics = {"Recall@1": RetrievalRecall(top_k=1), "HitRate@1": RetrievalHitRate(top_k=1), "MRR": RetrievalMRR(),
           "MAP": RetrievalMAP(), "NDCG@1": RetrievalNormalizedDCG(top_k=1)}
agree = []
for size in (5, 10, 20, 100):
    tied = {name: first_items(metric, torch.ones(size)) for name, metric in metrics.items()}
    print(size, "equal scores:", tied)
    agree.append(tied["Recall@1"] == tied["MRR"])
falling = {name: first_items(metric, torch.arange(10, 0, -1.0)) for name, metric in metrics.items()}
if any(items != [0] for items in falling.values()):
    sys.exit("without ties the metrics do not agree")
if all(agree):
    sys.exit("the behavior is gone: ties are broken in one way")
PY
venv/bin/python check.py
