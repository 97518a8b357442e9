"""Protocols: named, frozen values that hold everything able to move a localisation score.

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
from soundspot.evaluation.protocols.thresholding import Scaling, ThresholdRule, scale_maps

Columns = dict[str, Tensor]  # numbers of each sample by name, (n,) or (n, k) float64


@dataclass(frozen=True)
class Protocol:
    """How raw maps and truths become numbers for each sample, and those become scores.

    Attributes:
        summary: one line on what it is; `source` says whose code it follows.
        cut: what cIoU, AUC, IIoU, IAUC, mean IoU and the F-score keep of a map.
        adaptive: what their adaptive forms keep; None where the released code has none.
        best_of: thresholds that are all tried in place of `cut`'s, the one with the best AUC being reported: chosen on
            the test set itself, as the released code does.
        readout: how raw maps are brought to `size`.
        size: side of the square that maps and truths are compared at, in pixels.
        tau: raw maps are cosines; where given, they are first turned into (map / tau + 1 / tau) / (2 / tau), as SLAVC's
            evaluation does with its logits.
        scaling: the min-max, or the sigmoid, before the cuts.
        empty_truth: samples whose truth has not one pixel at `size` stay as `failure`s, are set `apart`, or are scored
            by the share of `background` that is left alone.
        consensus: whether each of the `boxes`, or each of the `annotators`, has a voice in a consensus (`Truth.map`).
        fscore: F of masks (beta^2 = 0.3) at the `cut`, or the `maximum` over 255 thresholds of the mean curve.
        detection: AP and max-F1 with the `published` subsampling and step pairing, or over the `full` curve.
        auc_grid: thresholds of the areas, see `functional.auc_terms`.
        min_group: pictures asked with fewer sounds than this do not enter the interactive scores.
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
    empty_target: Literal["failure", "apart", "background"] = "failure"
    consensus: Literal["boxes", "annotators"] = "boxes"
    fscore: Literal["cut", "maximum"] = "cut"
    detection: Literal["published", "full"] = "published"
    auc_grid: AUCGrid = "float"
    min_group_size: int = 1

    def upsample(self, maps: Float[Tensor, "b h w"]) -> Float[Tensor, "b s s"]:
        """Raw maps at the size of the protocol and in its unit; those that have the size are not resampled."""
        maps = maps.float()
        if maps.shape[-2:] != (self.size, self.size):
            maps = self.upsampling.upsample(maps, self.size, self.size)
        return maps if self.tau is None else (maps / self.tau + 1 / self.tau) / (2 / self.tau)

    def compute_columns(
        self,
        maps: Float[Tensor, "b s s"],
        target: Bool[Tensor, "b s s"] | Float[Tensor, "b s s"],
        is_mask: bool = False,
    ) -> Columns:
        """Numbers of each sample, float64: `iou`, `iou_adaptive`, and of masks `f`, `f_adaptive` or `f_curve` (b, 255).

        Args:
            large: maps as `read_out` gives them.
            truths: at the protocol's size.
            masks: whether the truths are masks of objects, which have F-scores.
        """
        if self.candidate_thresholds:
            found = compute_overlaps(
                maps,
                target,
                [ThresholdRule(at, self.threshold_rule.ties) for at in self.candidate_thresholds],
                self.scaling,
            )
            f = F.f_score(found.intersection, found.pred_area, found.target_area) if is_mask else None
            return {"iou": found.iou.T} | ({"f": f.T} if f is not None else {})
        cuts = {"": self.threshold_rule} | ({"_adaptive": self.adaptive_rule} if self.adaptive_rule else {})
        found = compute_overlaps(maps, target, [*cuts.values()], self.scaling)
        iou = found.iou
        if self.empty_target == "background":
            iou = iou.where(found.target_area > 0, 1 - found.false_positives / self.size**2)
        columns = {f"iou{suffix}": row for suffix, row in zip(cuts, iou, strict=True)}
        if is_mask and self.fscore == "maximum":
            columns["f_curve"] = F.f_curve(scale_maps(maps, self.scaling), target.bool())
        elif is_mask:
            f = F.f_score(found.intersection, found.pred_area, found.target_area)
            columns |= {f"f{suffix}": row for suffix, row in zip(cuts, f, strict=True)}
        return columns

    def compute_iou(
        self, maps: Float[Tensor, "b h w"], target: Bool[Tensor, "b s s"] | Float[Tensor, "b s s"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """IoU, and adaptive IoU (nan where the protocol has none), of raw maps with truths at the protocol's size.

        Examples:
            >>> maps, truths = torch.zeros(1, 14, 14), torch.zeros(1, 224, 224, dtype=torch.bool)
            >>> maps[0, :7, :7], truths[0, :112, :112] = 1.0, True  # a quarter of the picture, found exactly
            >>> half, adaptive = get_protocol("corrected").score(maps, truths)
            >>> adaptive.item() > 0.9 > half.item() > 0.4  # half of the pixels are twice too many
            True
        """
        columns = self.compute_columns(self.upsample(maps), target)
        return columns["iou"], columns.get("iou_adaptive", torch.full_like(columns["iou"], torch.nan))

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Protocol":
        """The protocol of plain values, as a report keeps them."""
        cuts = {name: ThresholdRule(**values[name]) if values[name] else None for name in ("cut", "adaptive")}
        rest = {"best_of": tuple(values["best_of"]), "readout": Upsampling(**values["readout"])}
        return cls(**values | cuts | rest)


BILINEAR_ALIGNED = Upsampling("bilinear-aligned")

CORRECTED = Protocol(
    "corrected",
    "exactly half, or exactly as many pixels as the object; ties share their places",
    "this library; docs/protocols.md",
    threshold_rule=ThresholdRule("half", "share"),
    adaptive_rule=ThresholdRule("truth", "share"),
    scaling="none",  # by rank: min-max could only round neighbours together
    empty_target="apart",
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
    adaptive_rule=ThresholdRule("truth", "drop"),
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
            summary="the same on VGG-SS: maps resized by OpenCV, pixel centres at half",
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
    """A protocol by name; one that is a value already comes back as it is.

    Examples:
        >>> get_protocol("ezvsl").cut
        Cut(places='half', ties='keep')
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
    """One protocol, several (in a string with commas between), or by `all` every one, `corrected` first; each once.

    Examples:
        >>> [protocol.name for protocol in choose("lvs, corrected")]
        ['lvs', 'corrected']
    """
    if protocol == "all" or (isinstance(protocol, str) and "all" in protocol.split(",")):
        named: list[str | Protocol] = [*PROTOCOLS.values()]
    elif isinstance(protocol, str):
        named = [*filter(None, map(str.strip, protocol.split(",")))]
    else:
        named = [protocol] if isinstance(protocol, Protocol) else [*protocol]
    if not named:
        raise RecipeError("no protocol was given; name one, or `all`.")
    return tuple(dict.fromkeys(map(get_protocol, named)))


def list_protocols() -> dict[str, str]:
    """Name and one line of each protocol there is."""
    return {name: protocol.summary for name, protocol in PROTOCOLS.items()}
