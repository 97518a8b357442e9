"""Losses of classes: cross-entropy with labels that may be soft or missing, and with another network's answer."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def class_entropy(logits: Float[Tensor, "b k"], labels: Float[Tensor, "b k"]) -> Float[Tensor, ""]:
    """Cross-entropy with labels scaled to sum to 1, mean over the clips that have any.

    Args:
        labels: in [0, 1]; rows that are not a number, or 0 throughout, are clips of which nothing is known.

    Returns:
        0 where nothing is known of any clip.
    """
    labels = labels.nan_to_num(0.0)
    total = labels.sum(dim=-1, keepdim=True)
    shares = labels / total.clamp(min=torch.finfo(labels.dtype).tiny)
    known = (total[:, 0] > 0).sum().clamp(min=1)
    return -(shares * F.log_softmax(logits.to(labels.dtype), dim=-1)).sum() / known


def taught_classes(scores: Float[Tensor, "*b k"], teacher: Float[Tensor, "*b k"]) -> Float[Tensor, "*b"]:
    """Divergence of softmax(scores) from a teacher's softmax, *mean* over the k classes (DSOL, as torch's has it).

    Args:
        teacher: logits that stand still.
    """
    goal = F.softmax(teacher.detach(), dim=-1)
    return F.kl_div(F.log_softmax(scores, dim=-1), goal, reduction="none").mean(dim=-1)
