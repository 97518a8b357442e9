"""Predictions of a model that soundspot does not know, as a folder for `soundspot evaluate-maps`. NumPy alone.

python examples/write_predictions.py predictions
soundspot evaluate-maps predictions scenes-interactive --options '{"length": 50, "size": 128, "seconds": 2.0}'
"""

import json
import sys
from pathlib import Path

import numpy as np

folder = Path(sys.argv[1])
folder.mkdir()
rng = np.random.default_rng(0)
ids = [f"scenes-interactive-0-0-{scene:06d}-{sound}" for scene in range(50) for sound in range(2)]
maps = {id: rng.random((14, 14), dtype=np.float32) for id in ids}  # your model here: (h, w) of any size
np.savez(folder / "maps.npz", **maps)
(folder / "meta.json").write_text(json.dumps({"model": "noise"}))
