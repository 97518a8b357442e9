"""What fifty clicks are worth: simulated reviews of recordings of another kind than those of the model's threshold.

    python examples/review_simulation.py --scores scores.json     with SOUNDSPOT_REALSET and SOUNDSPOT_REALSET2 set

Test images of the two catalogs, each with its own sound and with that of another category, in a room (reverberation of
0.4 to 1 s), with pink noise (0 to 15 dB) and through AAC. Peaks of the starter are computed once, into the file; then
clips are drawn and clicked 100 times, with and without wrong clicks, a threshold is fitted to them, and both it and the
starter's are scored on the rest.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from starter import catalogs, options

import soundspot
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.media.audio import resample
from soundspot.data.media.lossy import CODECS, pass_through_codec
from soundspot.evaluation.functional.thresholds import fit_threshold
from soundspot.review.calibrate import compute_weights
from soundspot.review.draw import draw_moments
from soundspot.types import Audio

RATE, SECONDS, NUM_IMAGES = 16000, 6, 200


def degrade(audio: Audio, rng: np.random.Generator) -> Audio:
    """Return a sound as a phone in another room records it: reverberation, pink noise, AAC."""
    dry = resample(audio, RATE).waveform.numpy()[: RATE * SECONDS].astype(np.float64)
    tail = int(RATE * rng.uniform(0.4, 1.0))
    room = rng.standard_normal(tail) * 10 ** (-3 * np.arange(tail) / tail)  # 60 dB over its length
    room *= 0.5 / np.sqrt((room**2).sum())
    room[0] += 1
    count = len(dry) + tail
    wet = np.fft.irfft(np.fft.rfft(dry, count) * np.fft.rfft(room, count), count)[: len(dry)]
    spectrum = np.fft.rfft(rng.standard_normal(len(dry)))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    noise = np.fft.irfft(spectrum, len(dry))
    noise *= np.sqrt((wet**2).mean() / (noise**2).mean() / 10 ** (rng.uniform(0, 15) / 10))
    mixture = (wet + noise) * 0.5 / max(1e-9, np.abs(wet + noise).max())
    return pass_through_codec(Audio(torch.from_numpy(mixture.astype(np.float32)), RATE), CODECS[0])


def compute_peaks(split: str) -> dict[str, Any]:
    """Compute the peaks of each image with its own sound and with another's, and the starter's threshold."""
    data, localizer, rng = Catalog(catalogs()[0], **options(split)), soundspot.load(), np.random.default_rng(0)
    rows: list[tuple[str, float]] = []
    for index in np.random.default_rng(5).permutation(len(data))[:NUM_IMAGES].tolist():
        image = localizer.encode_image(data.read_image(index))
        other = index
        while data.category(other) == data.category(index):
            other = int(rng.integers(len(data)))
        for kind, source in (("own", index), ("other", other)):
            rows.append((kind, localizer.predict(image, degrade(data.read_audio(source), rng)).peak))
    return {"threshold": localizer.threshold, "rows": rows}


def f1(peaks: np.ndarray, present: np.ndarray, threshold: float) -> float:
    """Compute F1 of presence at a threshold."""
    told = peaks >= threshold
    return float(2 * (told & present).sum() / (told.sum() + present.sum()))


def simulate(
    peaks: np.ndarray, present: np.ndarray, shipped: float, clicks: int, errors: float, num_draws: int
) -> dict[str, float]:
    """Simulate reviews: draw, click, fit, and score on the clips that were not clicked."""
    best = max(np.unique(peaks), key=lambda threshold: f1(peaks, present, float(threshold)))
    rows = []
    for seed in range(num_draws):
        rng = np.random.default_rng(seed)
        drawn = np.array(draw_moments(peaks, np.arange(len(peaks)), clicks, seed))
        clicked = present[drawn] != (rng.random(clicks) < errors)
        weights = compute_weights(peaks[drawn], peaks)
        fit = fit_threshold(torch.from_numpy(peaks[drawn]), torch.from_numpy(clicked), weights, torch.from_numpy(peaks))
        rest = np.setdiff1d(np.arange(len(peaks)), drawn)
        own, truth = peaks[rest], present[rest]
        probability = fit.presence(torch.from_numpy(own)).numpy().clip(1e-6, 1 - 1e-6)
        share = truth.mean()
        rows.append(
            {
                "F1 fitted": f1(own, truth, fit.threshold),
                "F1 shipped": f1(own, truth, shipped),
                "F1 of always present": f1(own, truth, -np.inf),
                "accuracy fitted": float(((own >= fit.threshold) == truth).mean()),
                "accuracy shipped": float(((own >= shipped) == truth).mean()),
                "better in": f1(own, truth, fit.threshold) > f1(own, truth, shipped),
                "log loss fitted": -np.log(np.where(truth, probability, 1 - probability)).mean(),
                "log loss of the share": -(share * np.log(share) + (1 - share) * np.log(1 - share)),
                "covered": fit.low <= best <= fit.high,
                "F1 lost": f1(own, truth, float(best)) - f1(own, truth, fit.threshold),
                "threshold": fit.threshold,
                "width": fit.high - fit.low,
            }
        )
    return {"best": float(best), **{name: float(np.mean([row[name] for row in rows])) for name in rows[0]}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scores", type=Path, required=True, help="file of the peaks; made where it is not there")
    parser.add_argument("--split", default="test")
    parser.add_argument("--draws", type=int, default=100)
    arguments = parser.parse_args()
    if not arguments.scores.exists():
        arguments.scores.write_text(json.dumps(compute_peaks(arguments.split)))
    content = json.loads(arguments.scores.read_text())
    peaks = np.array([row[1] for row in content["rows"]])
    present = np.array([row[0] == "own" for row in content["rows"]])
    print(f"{len(peaks)} pairs; the starter's threshold {content['threshold']:.3f}")
    for clicks in (50, 100):
        for errors in (0.0, 0.1):
            scores = simulate(peaks, present, content["threshold"], clicks, errors, arguments.draws)
            text = ", ".join(f"{name} {value:.3f}" for name, value in scores.items())
            print(f"{clicks} clicks, {100 * errors:.0f} % wrong: {text}")


if __name__ == "__main__":
    main()
