#!/usr/bin/env bash
# wav2vec2_level_depends_on_batch: transformers 5.24.0, numpy 2.4.6
#
# Behavior: Wav2Vec2FeatureExtractor scales each sound to a variance of 1, but in a batch it pads with zeros first and,
# unless it makes an attention mask too (it does not by default), counts the zeros in. The shorter of two sounds then
# comes out louder than alone: by 3 dB beside one of twice its length, by 10 dB beside one of ten times.
#
# Plausible guess: the features of a sound are its own; padding only makes the array longer.
#
# Seen, RMS of the samples of a tone of 1 s, beside others:
#   alone default 1.0 with an attention mask 1.0
#   beside one of 1 s default 1.0 with an attention mask 1.0
#   beside one of 2 s default 1.41 with an attention mask 1.0
#   beside one of 10 s default 3.16 with an attention mask 1.0
#
# Meaning: embeddings of short sounds depend on what they were batched with, so an index that is made in batches and
# asked with single sounds does not match itself. Call it with `return_attention_mask=True` (then lengths do not matter,
# as the last column shows), or with one sound at a time.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check transformers==5.24.0 numpy==2.4.6
cat > check.py <<'PY'
import sys

import numpy as np
import transformers
from transformers import Wav2Vec2FeatureExtractor

print("transformers", transformers.__version__, "numpy", np.__version__)
extractor = Wav2Vec2FeatureExtractor()
tone = (0.1 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)).astype(np.float32)


def level(neighbor_seconds: int, mask: bool | None) -> float:
    """RMS of the tone's own samples after the extractor."""
    sounds = [tone] + [np.tile(tone, neighbor_seconds)] * (neighbor_seconds > 0)
    batch = extractor(sounds, sampling_rate=16000, padding=True, return_attention_mask=mask, return_tensors="np")
    return float(np.sqrt((batch["input_values"][0, : len(tone)] ** 2).mean()))


plain, masked = {}, {}
for seconds in (0, 1, 2, 10):
    plain[seconds], masked[seconds] = level(seconds, None), level(seconds, True)
    beside = f"beside one of {seconds} s" if seconds else "alone"
    print(beside, "default", round(plain[seconds], 2), "with an attention mask", round(masked[seconds], 2))
if max(masked.values()) > 1.01 or plain[0] > 1.01:
    sys.exit("a sound alone, or with a mask, is no longer scaled to 1")
if plain[10] < 1.5:
    sys.exit("the behavior is gone: the level is that of the sound alone")
PY
venv/bin/python check.py
