"""stoneMo/SLAVC (commit 05b429c6): under `model`, with `module.` before each name; two projections, a copy of all."""

from soundspot.importers.names import Release

_NETS = (
    ("imgnet.", "image_encoder."),
    ("audnet.", "audio_encoder."),
    ("img_proj1.", "which.picture."),
    ("aud_proj1.", "which.sound."),
    ("img_proj2.", "where.picture."),
    ("aud_proj2.", "where.sound."),
)

slavc = Release("slavc", _NETS + tuple((f"momentum_{theirs}", f"slow.{ours}") for theirs, ours in _NETS))
