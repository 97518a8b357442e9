"""The differences between protocols as a table: `soundspot protocols` prints it and docs/protocols.md holds it."""

from dataclasses import asdict

from soundspot.config.frontend import CLIP_MEAN, ENCODER_PRESETS, IMAGENET_MEAN, PRESETS
from soundspot.evaluation.protocols.presets import PROTOCOLS, Protocol
from soundspot.evaluation.protocols.thresholding import ThresholdRule

COLUMN_DESCRIPTIONS = {
    "selects": "the pixels of a map that count as predicted: `half` of the image, as many as the `target` has, or "
    "those from a value on",
    "ties": "pixels equal to the last one selected: `>` drops them all, and that one too; `>=` keeps them all; `> or "
    "top` is `>` but pixels at the very maximum always count; `shared` gives each a fraction, so that exactly the "
    "wanted number is selected",
    "adaptive": "the same for the adaptive scores",
    "scaling": "what is done to a map before: min-max, `1 - minmax(-x)` (the same but for rounding), the affine map of "
    "a cosine that SLAVC has, a sigmoid, or nothing",
    "upsampling": "how a map is brought to 224 x 224: `bilinear` has pixel centers at half (OpenCV), `aligned` has the "
    "corners aligned",
    "empty target": "samples whose ground truth has no pixel: a failure, excluded, or scored by the background that is "
    "not predicted",
    "consensus": "who has half a vote in a consensus of annotators: each of the boxes, or each of the annotators",
    "AUC": "thresholds 0, 0.05, ... 1 as floating point products (0.15 misses the third) or exact",
    "AP, max-F1": "`published`: every s-th threshold from the second on, and a source located wrongly is not "
    "missed; `full`: every threshold, and it is",
    "F-score": "at the threshold, or the maximum over 255 thresholds of the mean curve",
    "IIoU": "images that enter the interactive scores by the number of their sounds",
}
TIE_SYMBOLS = {"drop": ">", "keep": ">=", "fill": "> or top", "share": "shared"}
MEAN_NAMES = {IMAGENET_MEAN: "ImageNet", CLIP_MEAN: "CLIP", (127 / 255,) * 3: "127 of 255"}
SCALING_NAMES = {"none": "-", "forward": "min-max", "mirrored": "1 - minmax(-x)", "sigmoid": "sigmoid"}


def describe_protocol(protocol: Protocol) -> dict[str, str]:
    """Describe the rules of a protocol as cells of a table.

    Args:
        protocol: a protocol, of the presets or not.

    Returns:
        Name of each column of `COLUMN_DESCRIPTIONS`, in its order -> short text.
    """
    adaptive, scaling = protocol.adaptive_rule, SCALING_NAMES[protocol.scaling]
    if protocol.tau is not None:
        scaling = "affine" + (f", {scaling}" if scaling != "-" else "")
    candidates = len(protocol.candidate_thresholds)
    cells = (
        f"best of {candidates} values" if candidates else _selects(protocol.threshold_rule),
        TIE_SYMBOLS[protocol.threshold_rule.ties],
        f"{_selects(adaptive)}, {TIE_SYMBOLS[adaptive.ties]}" if adaptive else "-",
        scaling,
        protocol.upsampling.mode.replace("-", " "),
        protocol.empty_target,
        protocol.consensus,
        "products" if protocol.auc_grid == "float" else "exact",
        protocol.detection,
        protocol.fscore,
        f"{protocol.min_group_size} or more",
    )
    return dict(zip(COLUMN_DESCRIPTIONS, cells, strict=True))


def _selects(rule: ThresholdRule) -> str:
    return rule.keep if isinstance(rule.keep, str) else f"from {rule.keep:g}"


def protocol_table() -> list[list[str]]:
    """Return the table of preset protocols.

    Returns:
        Rows of text cells: the column names, then a row for each protocol.
    """
    rows = [[name, *describe_protocol(protocol).values()] for name, protocol in PROTOCOLS.items()]
    return [["protocol", *COLUMN_DESCRIPTIONS], *rows]


def front_end_table(encoders: bool = False) -> list[list[str]]:
    """Return the table of front-end presets, with the columns in which they differ.

    Args:
        encoders: True: presets of public encoders; False: presets of the released methods.

    Returns:
        Rows of text cells: the column names, then a row for each preset.
    """
    presets = {name: preset for name, preset in PRESETS.items() if (name in ENCODER_PRESETS) == encoders}
    specs = {name: asdict(preset.image) | asdict(preset.audio) for name, preset in presets.items()}
    for spec in specs.values():
        spec["mean"] = MEAN_NAMES[spec["mean"]]  # the standard deviations go with it
    keys = [key for key in next(iter(specs.values())) if key != "std"]
    differing = [key for key in keys if len({str(spec[key]) for spec in specs.values()}) > 1]
    return [
        ["front end", *differing],
        *([name, *(str(spec[key]) for key in differing)] for name, spec in specs.items()),
    ]
