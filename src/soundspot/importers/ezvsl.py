"""stoneMo/EZ-VSL (commit 95ff5bff): under `model`, with `module.` before each name; two ResNets, two projections."""

from soundspot.importers.names import Release

_PARTS = (
    ("imgnet.", "image_encoder."),
    ("audnet.", "audio_encoder."),
    ("img_proj.", "space.picture."),
    ("aud_proj.", "space.sound."),
)

ezvsl = Release("ezvsl", _PARTS)

# OpenNLPLab/FNAC_AVL (commit 0a0ca78a), and MarginNCE as kaistmm/SSLalignment reads it: the same names and shapes.
fnac = Release("fnac", _PARTS)
marginnce = Release("marginnce", _PARTS)
