"""What a model learned from besides pictures with their sounds, as its recipe tells: reports say so."""

from collections.abc import Mapping
from typing import Any


def describe_supervision(recipe: Mapping[str, Any]) -> tuple[str, ...]:
    """A sentence where people's labels were learned from; none for pairs, mined neighbours and clusters.

    Args:
        recipe: plain values, as a checkpoint's header has them; those of older versions may lack parts.
    """
    used = []
    source = recipe.get("labels", {}).get("source", "none")
    if source not in ("none", "clusters"):
        used.append(f"class labels (labels.source: {source})")
    if recipe.get("train", {}).get("alike") == "category":
        used.append("categories, as likely false negatives (train.alike: category)")
    if recipe.get("data", {}).get("options", {}).get("truths"):
        used.append("annotated pictures (data.options.truths)")
    if not used:
        return ()
    return (
        f"The model learned from {' and '.join(used)}: say so where its numbers stand beside self-supervised ones.",
    )
