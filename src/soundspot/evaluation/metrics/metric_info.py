"""What each number of a report is called and means, in words for a reader who has not read the papers."""

from typing import NamedTuple


class MetricInfo(NamedTuple):
    """A metric in words: its family, the name tables print, and one line of meaning."""

    family: str
    label: str
    description: str


_ADAPTIVE = "as many pixels kept as the object has"
_HALF = "the higher half of the map kept"

METRIC_INFO = {
    "ciou": MetricInfo("Where", "cIoU", f"samples with IoU of at least one half, {_HALF}"),
    "auc": MetricInfo("Where", "AUC", f"the same over all IoU thresholds, {_HALF}"),
    "ciou_adaptive": MetricInfo("Where", "cIoU, adaptive", f"samples with IoU of at least one half, {_ADAPTIVE}"),
    "auc_adaptive": MetricInfo("Where", "AUC, adaptive", f"the same over all IoU thresholds, {_ADAPTIVE}"),
    "mean_iou": MetricInfo("Where", "mean IoU", f"average overlap with the truth, {_HALF}"),
    "mean_iou_adaptive": MetricInfo("Where", "mean IoU, adaptive", f"average overlap with the truth, {_ADAPTIVE}"),
    "iiou": MetricInfo("Listening", "IIoU", f"pictures right for all of their sounds, {_HALF}"),
    "iauc": MetricInfo("Listening", "IAUC", f"the same over all IoU thresholds, {_HALF}"),
    "iiou_adaptive": MetricInfo("Listening", "IIoU, adaptive", f"pictures right for all of their sounds, {_ADAPTIVE}"),
    "iauc_adaptive": MetricInfo("Listening", "IAUC, adaptive", f"the same over all IoU thresholds, {_ADAPTIVE}"),
    "presence_auroc": MetricInfo("Presence", "AUROC", "a map of a present source is surer than one of an absent one"),
    "ap": MetricInfo("Presence", "AP", "average precision of finding a source only where there is one"),
    "max_f1": MetricInfo("Presence", "max F1", "best balance of precision and recall over all thresholds"),
    "loc_acc": MetricInfo("Presence", "LocAcc", "samples with a visible source and IoU of at least one half"),
    "ap_adaptive": MetricInfo("Presence", "AP, adaptive", f"the same, {_ADAPTIVE}"),
    "max_f1_adaptive": MetricInfo("Presence", "max F1, adaptive", f"the same, {_ADAPTIVE}"),
    "loc_acc_adaptive": MetricInfo("Presence", "LocAcc, adaptive", f"the same, {_ADAPTIVE}"),
    "miou": MetricInfo("Segments", "mIoU", f"overlap with the object's mask, {_HALF}"),
    "fscore": MetricInfo("Segments", "F-score", f"precision-weighted overlap with the mask, {_HALF}"),
    "miou_adaptive": MetricInfo("Segments", "mIoU, adaptive", f"overlap with the object's mask, {_ADAPTIVE}"),
    "fscore_adaptive": MetricInfo("Segments", "F-score, adaptive", f"precision-weighted overlap, {_ADAPTIVE}"),
    "cap": MetricInfo("Where", "CAP", "average precision over pixels, of each of several sources in a picture"),
    "piap": MetricInfo("Where", "PIAP", "the same over the pixels of all sources of a picture at once"),
    "ciou_mixture_adaptive": MetricInfo(
        "Mixtures", "cIoU, mixture, adaptive", f"sources told apart and found, {_ADAPTIVE}"
    ),
    "ciou_mixture": MetricInfo(
        "Mixtures", "cIoU, mixture", f"sources found, the picture asked with all at once, {_HALF}"
    ),
    "ciou_mixture@0.3": MetricInfo("Mixtures", "cIoU at 0.3, mixture", "the same with IoU of at least 0.3"),
    "cap_mixture": MetricInfo("Mixtures", "CAP, mixture", "average precision over pixels of each source, at that cut"),
    "piap_mixture": MetricInfo(
        "Mixtures", "PIAP, mixture", "the same over the pixels of all sources of a picture at once"
    ),
    "alignment": MetricInfo("Embedding", "alignment", "mean cosine of a picture and its sound (no percentage)"),
    "magnitude": MetricInfo("Embedding", "magnitude", "mean distance of a picture and its sound (no percentage)"),
    "overlap": MetricInfo("Listening", "overlap", "highest places with the own and another sound"),
    "mean_iou_universal": MetricInfo(
        "Negatives", "mean IoU, universal", "overlap with the truth, one threshold for all"
    ),
    "auc_universal": MetricInfo("Negatives", "AUC, universal", "the same over all IoU thresholds"),
    "f_loc": MetricInfo("Negatives", "F-LOC", "balance of finding sources and staying quiet on negatives"),
    "f_auc": MetricInfo("Negatives", "F-AUC", "the same over all thresholds"),
}

FAMILIES = ("Where", "Listening", "Mixtures", "Presence", "Segments", "Retrieval", "Negatives", "Embedding", "Other")

UNSCALED_METRICS = {"alignment", "magnitude"}  # printed as they are; all else is a fraction, printed in percent

HEADLINE_METRICS = (
    *("ciou_adaptive", "iiou_adaptive", "ciou", "iiou", "ap", "f_loc", "presence_auroc", "recall_a2i@1"),
    *("auc_adaptive", "auc"),
)


def get_metric_info(key: str) -> MetricInfo:
    """The words for a key of a report; keys with a number or a kind of negative in them are put together."""
    if key in METRIC_INFO:
        return METRIC_INFO[key]
    head, _, tail = key.replace("@", "_").rpartition("_")
    if head.startswith(("recall_a2i", "recall_i2a")):
        asked, wanted = ("sound", "picture") if "a2i" in head else ("picture", "sound")
        by = "category" if head.endswith("category") else "instance"
        name = f"recall {asked} → {wanted} @{tail}" + (", by category" if by == "category" else "")
        nearest = f"the nearest {wanted}" if tail == "1" else f"one of the {tail} nearest {wanted}s"
        fits = {"instance": "is the one that belongs to it", "category": "is of its category"}[by]
        return MetricInfo("Retrieval", name, f"{nearest} {fits}")
    if key.startswith("overlap_"):
        return MetricInfo("Listening", f"overlap, {tail}", f"of the highest places with the own sound and with {tail}")
    if key.startswith("pia_"):
        return MetricInfo(
            "Negatives", f"pIA, {tail}", f"share of the picture claimed when asked with {tail} (lower is better)"
        )
    if key.startswith("aucn_"):
        return MetricInfo("Negatives", f"AUC-N, {tail}", f"how often little of the picture is claimed with {tail}")
    return MetricInfo("Other", key, "")


def format_value(key: str, value: float) -> str:
    """A value as tables print it: percent with one decimal, or three decimals where it is no fraction.

    Examples:
        >>> printed("ciou", 0.3456), printed("alignment", 0.3456), printed("ap", float("nan"))
        ('34.6', '0.346', '–')
    """
    if value != value:
        return "–"
    return f"{value:.3f}" if key in UNSCALED_METRICS else f"{100 * value:.1f}"
