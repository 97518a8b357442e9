"""One threshold for all pictures and sounds, fitted where nothing that is heard is in the picture.

xavijuanola/vssl_eval (arXiv 2410.01020) compares methods at such a threshold but does not say what it was fitted on,
and takes the peaks of maps at 224 x 224; here they are taken of raw maps, so that no read-out moves them.
"""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch

from soundspot.config.refinement import Refinement
from soundspot.errors import DataError
from soundspot.evaluation import functional as F
from soundspot.evaluation.engine.items import hash_id, index_samples
from soundspot.evaluation.engine.predict import NEGATIVES, Embeddings, check_counts, iter_predictions
from soundspot.evaluation.functional.negatives import PeakStatistic
from soundspot.types import AudioVisualDataset


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
    num_maps: dict[str, int]
    false_positive_rate: float
    true_positive_rate: float
    ids: tuple[str, ...]
    seed: int
    refinement: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def format_summary(self) -> str:
        """Two lines for the terminal."""
        asked = ", ".join(f"{n} with {kind}" for kind, n in self.num_maps.items())
        refinement = Refinement.from_dict(self.refinement)
        refined = f"; maps refined by {refinement}" if refinement else ""
        return (
            f"threshold {self.threshold:.4f} ({self.rule} of the peaks over {self.dataset}: {asked}{refined})\n"
            f"of those {100 * self.false_positive_rate:.1f} % reach it; of the pictures' own sounds {100 * self.true_positive_rate:.1f} %"
        )


def calibrate(
    localizer: Any, data: AudioVisualDataset, *, rule: PeakStatistic = "q3", batch_size: int = 32, seed: int = 0
) -> Calibration:
    """Fit the universal threshold of a localizer on held-out data.

    Args:
        localizer, data: as `evaluate` has them.
        rule: `q3` the third quartile of the peaks, `max` their maximum, `max10` a tenth more than that.
        seed: of the foreign sounds and the noise.

    Raises:
        DataError: no item has a source in the picture.
    """
    check_counts(batch_size)
    items = index_samples(data, seed)
    if not any(items.present):
        raise DataError(f"{data.name}: no item has its source in the picture; a threshold cannot be fitted on it.")
    own: list[float] = []
    peaks: dict[str, list[float]] = {kind: [] for kind in NEGATIVES}
    for answers in iter_predictions(localizer, data, items, batch_size, Embeddings(), NEGATIVES):
        own += [float(one.max()) for i, one in zip(answers.indices, answers.maps, strict=True) if items.present[i]]
        for kind, maps in answers.negatives.items():
            peaks[kind] += [float(one.max()) for one in maps.values()]
    each = torch.tensor([peak for kind in NEGATIVES for peak in peaks[kind]], dtype=torch.float64)
    threshold = F.universal_threshold(each, rule)
    passed, heard = (float((some >= threshold).double().mean()) for some in (each, torch.tensor(own)))
    asked = {kind: len(some) for kind, some in peaks.items()}
    ids, refinement = tuple(map(hash_id, items.ids)), getattr(localizer, "refinement", Refinement()).as_dict()
    return Calibration(float(threshold), rule, data.name, asked, passed, heard, ids, seed, refinement)
