"""Protocols: named, frozen values that hold everything able to move a localization score.

`corrected` is the default. The others follow a released evaluator, its quirks included (docs/protocols.md lists them,
and which of them are tested against the evaluators' own outputs). A report prints its protocol.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.config.upsampling import Upsampling
from soundspot.errors import RecipeError, did_you_mean
from soundspot.evaluation import functional as F
from soundspot.evaluation.functional import AUCGrid
from soundspot.evaluation.protocols.fast_iou import compute_overlaps
from soundspot.evaluation.protocols.thresholding import MapOverlap, Scaling, Target, ThresholdRule, scale_maps

Columns = dict[str, Tensor]  # numbers of each sample by name, (n,) or (n, k) float64


@dataclass(frozen=True)
class Protocol:
    """Rules that turn raw maps and ground truths into numbers for each sample, and those into scores.

    Attributes:
        name: name that selects the protocol and that reports print.
        summary: description in one line.
        source: code that the protocol follows: repository and commit.
        threshold_rule: rule that selects the predicted pixels for cIoU, AUC, IIoU, IAUC, mean IoU and the F-score.
        adaptive_rule: rule that selects the predicted pixels for the adaptive forms of these scores; None where the
            released code has none.
        candidate_thresholds: values tried in place of that of `threshold_rule`; the value with the highest AUC on the
            test set itself is reported, as in the released code. Empty: none.
        upsampling: interpolation from the resolution of raw maps to `size`.
        size: side in pixels of the square at which maps and ground truths are compared.
        tau: temperature; raw cosines are first turned into (map / tau + 1 / tau) / (2 / tau), as SLAVC's evaluation
            does with its logits. None: maps are not changed.
        scaling: scaling of the maps before thresholds: `none`, min-max (`forward`, `mirrored`), or `sigmoid`.
        empty_target: treatment of samples whose ground truth has no pixel at `size`: scored as a `failure`, left out
            (`exclude`), or scored by the share of the `background` that is not predicted.
        consensus: voters in a consensus: each of the `boxes` has half a vote, or each of the `annotators`.
        fscore: F-score of masks (beta^2 = 0.3) at one `threshold`, or the `maximum` over 255 thresholds of the mean
            curve.
        detection: AP and max-F1 with the `published` thresholds and step pairing, or over the `full` curve.
        auc_grid: IoU thresholds of areas: `float` 0.05 * k in floating point, `integer` k / 20 with a tolerance of
            1e-9.
        min_group_size: least number of sounds of an image that enters the interactive scores (IIoU, IAUC).
    """

    name: str
    summary: str
    source: str
    threshold_rule: ThresholdRule
    adaptive_rule: ThresholdRule | None = None
    candidate_thresholds: tuple[float, ...] = ()
    upsampling: Upsampling = Upsampling()  # noqa: RUF009 (frozen)
    size: int = 224
    tau: float | None = None
    scaling: Scaling = "forward"
    empty_target: Literal["failure", "exclude", "background"] = "failure"
    consensus: Literal["boxes", "annotators"] = "boxes"
    fscore: Literal["threshold", "maximum"] = "threshold"
    detection: Literal["published", "full"] = "published"
    auc_grid: AUCGrid = "float"
    min_group_size: int = 1

    @property
    def rules(self) -> list[ThresholdRule]:
        """Rules that every map is thresholded by: one for each candidate, or the fixed and the adaptive one."""
        if self.candidate_thresholds:
            return [replace(self.threshold_rule, keep=value) for value in self.candidate_thresholds]
        return [self.threshold_rule, *([self.adaptive_rule] if self.adaptive_rule else [])]

    def upsample(self, maps: Float[Tensor, "b h w"]) -> Float[Tensor, "b s s"]:
        """Upsample raw maps to the protocol's size, and apply its temperature.

        Args:
            maps: (b, h, w) raw scores; maps of the protocol's size are not resampled.

        Returns:
            (b, size, size) float32, interpolated as `upsampling` says; not yet scaled for thresholds. Where ties share,
            a constant map stays constant, as rounding must not rank its pixels.
        """
        raw = maps = maps.float()
        if maps.shape[-2:] != (self.size, self.size):
            maps = self.upsampling.upsample(maps, self.size, self.size)
        if self.threshold_rule.ties == "share":
            low, high = torch.aminmax(raw.flatten(1), dim=1)
            maps = torch.where((low == high)[:, None, None], low[:, None, None], maps)
        return maps if self.tau is None else (maps / self.tau).add_(1 / self.tau).div_(2 / self.tau)

    def compute_iou(
        self, maps: Float[Tensor, "b h w"], target: Bool[Tensor, "b s s"] | Float[Tensor, "b s s"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Compute IoU and adaptive IoU of raw maps.

        Args:
            maps: (b, h, w) raw scores, upsampled to `size` where they have another size.
            target: (b, size, size) ground truth in [0, 1].

        Returns:
            (b,) IoU and (b,) adaptive IoU, float64. Adaptive IoU is nan where the protocol has none; with candidate
            thresholds IoU is (b, t).

        Examples:
            >>> maps, target = torch.zeros(1, 14, 14), torch.zeros(1, 224, 224, dtype=torch.bool)
            >>> maps[0, :7, :7], target[0, :112, :112] = 1.0, True  # a quarter of the image, located exactly
            >>> half, adaptive = get_protocol("corrected").compute_iou(maps, target)
            >>> adaptive.item() > 0.9 > half.item() > 0.4  # half of the pixels are twice too many
            True
        """
        columns = compute_columns([self], self.upsample(maps), target)[0]
        return columns["iou"], columns.get("iou_adaptive", torch.full_like(columns["iou"], torch.nan))

    def as_dict(self) -> dict[str, Any]:
        """Convert to plain values for JSON.

        Returns:
            Attribute -> value; rules and upsampling as dictionaries.
        """
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Protocol":
        """Build a protocol from plain values.

        Args:
            values: attribute -> value: the result of `as_dict`, which report.json holds too.

        Returns:
            The protocol, equal to the one that was converted.
        """
        rules = {name: values[name] and ThresholdRule(**values[name]) for name in ("threshold_rule", "adaptive_rule")}
        rules["candidate_thresholds"] = tuple(values["candidate_thresholds"])
        return cls(**values | rules | {"upsampling": Upsampling(**values["upsampling"])})


def compute_columns(
    protocols: Sequence[Protocol], maps: Float[Tensor, "b h w"], target: Target, is_mask: bool = False
) -> list[Columns]:
    """Compute the numbers of each sample under several protocols, from one pass over the maps.

    Args:
        protocols: p protocols of one size.
        maps: (b, size, size) maps upsampled by `Protocol.upsample`, alike for all p protocols; a map expanded to b is
            thresholded only once.
        target: (b, size, size) ground truth in [0, 1].
        is_mask: True: the ground truths are masks of objects, and F-scores are computed; False: IoU alone.

    Returns:
        For each protocol, float64 columns by name: `iou` (b,); `iou_adaptive` (b,) where the protocol has an adaptive
        rule; for masks `f` and `f_adaptive` (b,), or `f_curve` (b, 255). With t candidate thresholds, `iou` and `f` are
        (b, t).
    """
    rules = [rule for protocol in protocols for rule in protocol.rules]
    overlap = compute_overlaps(
        maps, target, rules, [protocol.scaling for protocol in protocols for _ in protocol.rules]
    )
    results, stop = [], 0
    for protocol in protocols:
        start, stop = stop, stop + len(protocol.rules)
        numbers = MapOverlap(*(values[start:stop] for values in overlap))
        iou, f = numbers.iou, F.f_score(numbers.intersection, numbers.pred_area, numbers.target_area)
        if protocol.empty_target == "background":
            iou = iou.where(numbers.target_area > 0, 1 - numbers.false_positives / protocol.size**2)
        scores = {"iou": iou} | ({"f": f} if is_mask and protocol.fscore == "threshold" else {})
        if protocol.candidate_thresholds:
            results.append({name: values.T for name, values in scores.items()})
            continue
        columns = {
            name + end: row for name, rows in scores.items() for end, row in zip(("", "_adaptive"), rows, strict=False)
        }
        if is_mask and protocol.fscore == "maximum":
            columns["f_curve"] = F.f_curve(scale_maps(maps, protocol.scaling), target.bool())
        results.append(columns)
    return results


BILINEAR_ALIGNED = Upsampling("bilinear-aligned")

CORRECTED = Protocol(
    "corrected",
    "exactly half, or exactly as many pixels as the object; ties share what is left",
    "this library; docs/protocols.md",
    threshold_rule=ThresholdRule("half", "share"),
    adaptive_rule=ThresholdRule("target", "share"),
    scaling="none",  # by rank: min-max could only round neighbors together
    empty_target="exclude",
    consensus="annotators",
    detection="full",
    auc_grid="integer",
    min_group_size=2,
)
ALIGNMENT = Protocol(
    "alignment",
    "the alignment paper's evaluator on all sets but VGG-SS",
    "kaistmm/SSLalignment e7ae3c55",
    upsampling=BILINEAR_ALIGNED,
    scaling="mirrored",
    threshold_rule=ThresholdRule("half", "drop"),
    adaptive_rule=ThresholdRule("target", "drop"),
)
EZVSL = Protocol(
    "ezvsl",
    "EZ-VSL's evaluator: pixels that equal the threshold count",
    "stoneMo/EZ-VSL 95ff5bff",
    threshold_rule=ThresholdRule("half", "keep"),
    upsampling=BILINEAR_ALIGNED,
)
SLAVC = Protocol(
    "slavc",
    "SLAVC's evaluator with --relative_prediction, as its README calls it",
    "stoneMo/SLAVC 05b429c6",
    threshold_rule=ThresholdRule("half", "keep"),
    upsampling=Upsampling("bicubic-aligned"),
    tau=0.03,
)
LVS = Protocol(
    "lvs",
    "LVS's evaluator: pixels at the very maximum always count",
    "hche11/Localizing-Visual-Sounds-the-Hard-Way 8fe8cbbf",
    threshold_rule=ThresholdRule("half", "fill"),
    scaling="mirrored",
)

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        CORRECTED,
        ALIGNMENT,
        replace(
            ALIGNMENT,
            name="alignment-vggss",
            summary="the same on VGG-SS: maps resized by OpenCV, pixel centers at half",
            upsampling=Upsampling(),
        ),
        EZVSL,
        SLAVC,
        replace(
            SLAVC,
            name="slavc-absolute",
            summary="SLAVC's evaluator as its shell scripts call it: cosines from 0 up count",
            threshold_rule=ThresholdRule(0.5, "keep"),
            scaling="none",
        ),
        replace(EZVSL, name="fnac", summary="FNAC's evaluator: EZ-VSL's", source="OpenNLPLab/FNAC_AVL 0a0ca78a"),
        LVS,
        replace(LVS, name="ssltie", summary="SSL-TIE's evaluator: LVS's", source="jinxiang-liu/SSL-TIE c49e6a94"),
        Protocol(
            "joint_slots",
            "joint slot attention's evaluator: a fixed threshold of 0.6 after min-max",
            "InhoKim429/JSA 359aa337",
            threshold_rule=ThresholdRule(0.6, "keep"),
            upsampling=Upsampling("bicubic"),
        ),
        Protocol(
            "acl",
            "ACL's evaluator: the best of 19 fixed thresholds, chosen on the test set itself; maps are logits",
            "swimmiing/ACL-SSL 57f4a6c3",
            threshold_rule=ThresholdRule(0.5, "keep"),
            candidate_thresholds=tuple(step / 20 for step in range(1, 20)),
            scaling="sigmoid",
        ),
        Protocol(
            "avsbench",
            "AVSBench's evaluator of masks: a probability of one half, F at its best threshold; maps are logits",
            "OpenNLPLab/AVSBench 4d4c9010, over all samples at once",
            threshold_rule=ThresholdRule(0.5, "drop"),
            scaling="sigmoid",
            empty_target="background",
            fscore="maximum",
        ),
    )
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """Return a protocol by name.

    Args:
        protocol: name of a preset (`list_protocols`); a `Protocol` is returned unchanged.

    Returns:
        The protocol.

    Raises:
        RecipeError: no preset has this name.

    Examples:
        >>> get_protocol("ezvsl").threshold_rule
        ThresholdRule(keep='half', ties='keep')
        >>> get_protocol("ezvls")
        Traceback (most recent call last):
        ...
        soundspot.errors.RecipeError: unknown protocol 'ezvls'. Did you mean 'ezvsl'?
    """
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise RecipeError(f"unknown protocol {protocol!r}{did_you_mean(protocol, PROTOCOLS)}")
    return PROTOCOLS[protocol]


def resolve_protocols(protocol: str | Protocol | Sequence[str | Protocol]) -> tuple[Protocol, ...]:
    """Return the named protocols in the order given, without repeats.

    Args:
        protocol: a protocol, a name, several names separated by commas, or a sequence of names and protocols; `all`
            among the names selects all presets, `corrected` first.

    Returns:
        At least one protocol.

    Raises:
        RecipeError: a name is unknown, or none is given.

    Examples:
        >>> [protocol.name for protocol in resolve_protocols("lvs, corrected")]
        ['lvs', 'corrected']
    """
    if isinstance(protocol, str):
        protocol = [name for name in map(str.strip, protocol.split(",")) if name]
    elif isinstance(protocol, Protocol):
        protocol = [protocol]
    if not protocol:
        raise RecipeError("no protocol was given; name one, or `all`.")
    return tuple(dict.fromkeys(PROTOCOLS.values() if "all" in protocol else map(get_protocol, protocol)))


def list_protocols() -> dict[str, str]:
    """List the preset protocols.

    Returns:
        Name -> description in one line.
    """
    return {name: protocol.summary for name, protocol in PROTOCOLS.items()}
