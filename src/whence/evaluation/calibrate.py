"""One threshold for all pictures and sounds, fitted where nothing that is heard is in the picture.

xavijuanola/vssl_eval (arXiv 2410.01020) compares methods at such a threshold but does not say what it was fitted on,
and takes the peaks of maps at 224 x 224; here they are taken of raw maps, so that no read-out moves them.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from whence.errors import DataError
from whence.evaluation import functional as F
from whence.evaluation.asking import NEGATIVES, Embedded, ask, refuse_counts
from whence.evaluation.functional.negatives import Rule
from whence.evaluation.items import describe, id_hash
from whence.refinement import Refinement
from whence.types import AudioVisualDataset


@dataclass(frozen=True)
class Calibration:
    """A fitted threshold and what it came from.

    Attributes:
        threshold: peak (raw similarity) from which a source counts as present.
        rule: of `functional.universal_threshold`.
        asked: how many maps of each kind of negative sound.
        passed: share of those maps whose peak reaches the threshold.
        heard: share of the maps with their own sounds that reach it, of sources in the picture.
        refinement: what the maps were refined with (`Refinement.as_dict`); a threshold is of those maps alone.
        ids: hashes of the items' ids, by which an evaluation sees that it scores on what was fitted.
    """

    threshold: float
    rule: str
    dataset: str
    asked: dict[str, int]
    passed: float
    heard: float
    ids: tuple[str, ...]
    seed: int
    refinement: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def in_words(self) -> str:
        """Two lines for the terminal."""
        asked = ", ".join(f"{n} with {kind}" for kind, n in self.asked.items())
        refinement = Refinement.from_dict(self.refinement)
        refined = f"; maps refined by {refinement}" if refinement else ""
        return (
            f"threshold {self.threshold:.4f} ({self.rule} of the peaks over {self.dataset}: {asked}{refined})\n"
            f"of those {100 * self.passed:.1f} % reach it; of the pictures' own sounds {100 * self.heard:.1f} %"
        )


def calibrate(
    localizer: Any, data: AudioVisualDataset, *, rule: Rule = "q3", batch_size: int = 32, seed: int = 0
) -> Calibration:
    """Fit the universal threshold of a localizer on held-out data.

    Args:
        localizer, data: as `evaluate` has them.
        rule: `q3` the third quartile of the peaks, `max` their maximum, `max10` a tenth more than that.
        seed: of the foreign sounds and the noise.

    Raises:
        DataError: no item has a source in the picture.
    """
    refuse_counts(batch_size)
    items = describe(data, seed)
    if not any(items.present):
        raise DataError(f"{data.name}: no item has its source in the picture; a threshold cannot be fitted on it.")
    own: list[float] = []
    peaks: dict[str, list[float]] = {kind: [] for kind in NEGATIVES}
    for answers in ask(localizer, data, items, batch_size, Embedded(), NEGATIVES):
        own += [float(one.max()) for i, one in zip(answers.items, answers.maps, strict=True) if items.present[i]]
        for kind, maps in answers.negatives.items():
            peaks[kind] += [float(one.max()) for one in maps.values()]
    each = torch.tensor([peak for kind in NEGATIVES for peak in peaks[kind]], dtype=torch.float64)
    threshold = F.universal_threshold(each, rule)
    passed, heard = (float((some >= threshold).double().mean()) for some in (each, torch.tensor(own)))
    asked = {kind: len(some) for kind, some in peaks.items()}
    ids, refinement = tuple(map(id_hash, items.ids)), getattr(localizer, "refinement", Refinement()).as_dict()
    return Calibration(float(threshold), rule, data.name, asked, passed, heard, ids, seed, refinement)
