"""Results of `soundspot locate` without a model: tiny images with tones, whose peaks and labels are known."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from soundspot.review.review import ABSENT, ELSEWHERE, RIGHT, Review

IDENTITY = "0123456789abcdef"


def make_results(folder: Path, peaks: Any, name: str = "{}", media: bool = True, identity: str = IDENTITY) -> Path:
    """A folder of recordings, and beside it that of their results: an image, a sound and a summary for each peak."""
    recordings, located = folder / "recordings", folder / "located"
    for path in (recordings, located):
        path.mkdir(exist_ok=True)
    for number, peak in enumerate(peaks):
        stem = name.format(number)
        image, sound = recordings / f"{stem}.png", recordings / f"{stem}.wav"
        if media:
            Image.new("RGB", (64, 48), (90, 3 * number % 200, 60)).save(image)
            soundfile.write(sound, 0.5 * np.sin(np.arange(8000) * (0.05 + 0.001 * number)), 8000)
        entry = {
            "image": f"recordings/{image.name}", "sound": f"recordings/{sound.name}", "model": "tiny",
            "model_id": identity, "size": [48, 64], "peak": float(peak), "peak_at": [20, 30], "silent": False,
            "threshold": 0.9, "mask": {"size": [48, 64], "counts": [480, 960, 1632]},
        }  # fmt: skip
        (located / f"{stem}.json").write_text(json.dumps([entry]), encoding="utf-8")
    return located


def click(review: Review, annotator: str = "ann", errors: float = 0.0, seed: int = 0) -> dict[int, bool]:
    """Decide on all clips: the source is in the image where the peak and some noise reach 0.5."""
    rng, truth, choices = np.random.default_rng(seed), {}, {}
    for clip in review.clips:
        noise = np.random.default_rng(round(1e6 * clip.moment.peak)).normal(0, 0.1)
        truth[clip.id] = bool(clip.moment.peak + noise >= 0.5)
        present = truth[clip.id] != (rng.random() < errors)
        choices[clip.id] = (RIGHT if rng.random() < 0.8 else ELSEWHERE) if present else ABSENT
    review.record_all(annotator, choices)
    return truth
