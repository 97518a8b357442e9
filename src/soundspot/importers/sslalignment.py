"""kaistmm/SSLalignment (commit e7ae3c55), its `ours_*.pth.tar`; LVS and SSL-TIE, the same network.

The published class holds three stems in *each* encoder (`conv1` for pictures, `conv1_a` for spectrograms, `conv1_flow`,
never used) and a classifier; what its forward does not use is dropped by name here. Projection heads are not in the
release, and names that nothing knows are refused rather than ignored.
"""

from soundspot.importers.names import Release

_UNUSED = ("imgnet.conv1_a.", "imgnet.conv1_flow.", "imgnet.fc.", "audnet.conv1.", "audnet.conv1_flow.", "audnet.fc.")
_PARTS = (("imgnet.", "image_encoder."), ("audnet.conv1_a.", "audio_encoder.conv1."), ("audnet.", "audio_encoder."))

# Without projections: embeddings are pooled features.
alignment = Release("alignment", _PARTS, _UNUSED, (("projection_width", 0),))

# hche11/Localizing-Visual-Sounds-the-Hard-Way (commit 8fe8cbbf): `model_state_dict`, `module.` before each name.
lvs = Release("lvs", _PARTS, _UNUSED)

# jinxiang-liu/SSL-TIE (commit c49e6a94): `state_dict`, no prefix; three layers more, which no map depends on.
ssltie = Release("ssltie", _PARTS, _UNUSED, marker_prefixes=("vision_fc1.", "conv3.", "norm3."))
