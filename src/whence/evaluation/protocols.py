"""Protocols: named, frozen values that hold everything able to move a localisation score.

`corrected` is the default. The others reproduce a released evaluator to the last bit, its quirks included
(docs/decisions.md lists them). A report prints its protocol.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from whence.errors import RecipeError, did_you_mean
from whence.evaluation.binarise import Cut, Scaling
from whence.evaluation.functional import AUCGrid
from whence.evaluation.overlap import overlaps
from whence.readout import ReadOut


@dataclass(frozen=True)
class Protocol:
    """How raw maps and truths become an IoU for each sample, and those become scores.

    Attributes:
        summary: one line on what it is; `source` says whose code it follows.
        readout: how raw maps are brought to `size`.
        size: side of the square that maps and truths are compared at, in pixels.
        tau: raw maps are cosines; where given, they are first turned into (map / tau + 1 / tau) / (2 / tau), as SLAVC's
            evaluation does with its logits.
        scaling: the min-max before the cuts.
        cut: what cIoU, AUC, IIoU, IAUC and mean IoU keep of a map.
        adaptive: what their adaptive forms keep; None where the released code has none.
        empty_truth: samples whose truth has not one pixel at `size` stay as `failure`s, or are set `apart`.
        auc_grid: thresholds of the areas, see `functional.auc_terms`.
        min_group: pictures asked with fewer sounds than this do not enter the interactive scores.
    """

    name: str
    summary: str
    source: str
    cut: Cut
    adaptive: Cut | None = None
    readout: ReadOut = ReadOut()  # noqa: RUF009 (frozen)
    size: int = 224
    tau: float | None = None
    scaling: Scaling = "forward"
    empty_truth: Literal["failure", "apart"] = "failure"
    auc_grid: AUCGrid = "float"
    min_group: int = 1

    def rescaled(self, maps: Float[Tensor, "b h w"]) -> Float[Tensor, "b h w"]:
        """Raw maps in the unit the cuts are made for."""
        return maps if self.tau is None else (maps / self.tau + 1 / self.tau) / (2 / self.tau)

    def read_out(self, maps: Float[Tensor, "b h w"]) -> Float[Tensor, "b s s"]:
        """Raw maps at the size of the protocol; those that have it already are left as they are."""
        maps = maps.float()
        return maps if maps.shape[-2:] == (self.size, self.size) else self.readout.upsample(maps, self.size, self.size)

    def score(
        self, maps: Float[Tensor, "b h w"], truths: Bool[Tensor, "b s s"] | Float[Tensor, "b s s"]
    ) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """IoU and adaptive IoU (nan where the protocol has none) of raw maps with truths at the protocol's size."""
        cuts = [self.cut] if self.adaptive is None else [self.cut, self.adaptive]
        found = overlaps(self.rescaled(self.read_out(maps)), truths, cuts, self.scaling)
        return found[0], found[1] if self.adaptive else torch.full_like(found[0], torch.nan)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


ALIGNED = ReadOut("bilinear-aligned")

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "corrected",
            "exactly half, or exactly as many pixels as the object; ties share their places",
            "this library; docs/decisions.md",
            cut=Cut("half", "share"),
            adaptive=Cut("truth", "share"),
            scaling="none",  # by rank: min-max could only round neighbours together
            empty_truth="apart",
            auc_grid="integer",
            min_group=2,
        ),
        Protocol(
            "alignment",
            "the alignment paper's evaluator on all sets but VGG-SS",
            "kaistmm/SSLalignment e7ae3c55",
            readout=ALIGNED,
            scaling="mirrored",
            cut=Cut("half", "drop"),
            adaptive=Cut("truth", "drop"),
        ),
        Protocol(
            "alignment-vggss",
            "the same on VGG-SS: maps resized by OpenCV, pixel centres at half",
            "kaistmm/SSLalignment e7ae3c55",
            scaling="mirrored",
            cut=Cut("half", "drop"),
            adaptive=Cut("truth", "drop"),
        ),
        Protocol(
            "ezvsl",
            "EZ-VSL's evaluator, also FNAC's: pixels that equal the threshold count",
            "stoneMo/EZ-VSL 95ff5bff",
            cut=Cut("half", "keep"),
            readout=ALIGNED,
        ),
        Protocol(
            "lvs",
            "LVS's evaluator, also SSL-TIE's: pixels at the very maximum always count",
            "hche11/Localizing-Visual-Sounds-the-Hard-Way 8fe8cbbf",
            cut=Cut("half", "fill"),
            scaling="mirrored",
        ),
        Protocol(
            "slavc",
            "SLAVC's evaluator with --relative_prediction, as its README calls it",
            "stoneMo/SLAVC 05b429c6",
            cut=Cut("half", "keep"),
            readout=ReadOut("bicubic-aligned"),
            tau=0.03,
        ),
        Protocol(
            "slavc-absolute",
            "SLAVC's evaluator as its shell scripts call it: cosines from 0 up count",
            "stoneMo/SLAVC 05b429c6",
            cut=Cut(0.5, "keep"),
            readout=ReadOut("bicubic-aligned"),
            tau=0.03,
            scaling="none",
        ),
    )
}


def get_protocol(protocol: str | Protocol) -> Protocol:
    """A protocol by name; one that is a value already comes back as it is."""
    if isinstance(protocol, Protocol):
        return protocol
    if protocol not in PROTOCOLS:
        raise RecipeError(f"unknown protocol {protocol!r}{did_you_mean(protocol, PROTOCOLS)}")
    return PROTOCOLS[protocol]


def protocols() -> dict[str, str]:
    """Name and one line of each protocol there is."""
    return {name: protocol.summary for name, protocol in PROTOCOLS.items()}
