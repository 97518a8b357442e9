"""Released weights of each code base that the library imports.

A method uses the entry of its name, or the one that `Method.release` names (EZ-VSL's for its descendants).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from soundspot.importers.denseav import DENSEAV
from soundspot.importers.release import Release

_ENCODERS = (("imgnet.", "image_encoder."), ("audnet.", "audio_encoder."))

# stoneMo/EZ-VSL (commit 95ff5bff), OpenNLPLab/FNAC_AVL (commit 0a0ca78a), and MarginNCE as kaistmm/SSLalignment reads
# it: under `model`, with `module.` before each name; two ResNets, two projections.
EZVSL = Release("ezvsl", (*_ENCODERS, ("img_proj.", "space.image."), ("aud_proj.", "space.audio.")))

# stoneMo/SLAVC (commit 05b429c6): under `model`, with `module.` before each name; two projections, a copy of all.
_SLAVC = (
    *_ENCODERS,
    ("img_proj1.", "identification.image."),
    ("aud_proj1.", "identification.audio."),
    ("img_proj2.", "localization.image."),
    ("aud_proj2.", "localization.audio."),
)
_SLAVC_COPY = tuple((f"momentum_{released}", f"momentum_encoder.{local}") for released, local in _SLAVC)
SLAVC = Release("slavc", _SLAVC + _SLAVC_COPY)

# kaistmm/SSLalignment (commit e7ae3c55), its `ours_*.pth.tar`; LVS and SSL-TIE, the same network. The published class
# holds three stems in *each* encoder (`conv1` for images, `conv1_a` for spectrograms, `conv1_flow`, never used) and a
# classifier; what its forward does not use is dropped by name here. Projection heads are not in the release (embeddings
# are pooled features), and unknown names are refused rather than ignored.
_UNUSED = ("imgnet.conv1_a.", "imgnet.conv1_flow.", "imgnet.fc.", "audnet.conv1.", "audnet.conv1_flow.", "audnet.fc.")
_STEMS = (("audnet.conv1_a.", "audio_encoder.conv1."), *_ENCODERS)
ALIGNMENT = Release("alignment", _STEMS, _UNUSED, (("projection_width", 0),))

# hche11/Localizing-Visual-Sounds-the-Hard-Way (commit 8fe8cbbf): `model_state_dict`, `module.` before each name.
LVS = Release("lvs", _STEMS, _UNUSED)

# jinxiang-liu/SSL-TIE (commit c49e6a94): `state_dict`, no prefix; three layers more, which no map depends on.
SSLTIE = Release("ssltie", _STEMS, _UNUSED, marker_prefixes=("vision_fc1.", "conv3.", "norm3."))

# ardasnck/learning_to_localize_sound_source (commit 89205e9b): the file is the state dict; audio is SoundNet's
# embeddings.
ATTENTION10K = Release(
    "attention10k",
    (
        ("vision_embedding_model.feature_extraction.", "image_encoder.features."),
        ("sound_fc1.", "query.1."),
        ("sound_fc2.", "query.3."),
        ("vision_fc1.", "meaning.1."),
        ("vision_fc2.", "meaning.3."),
    ),
    options=(("audio", {"encoder": "vectors", "width": 1000}),),
)

# denfed/heartheflow (commit 60ed54d8): under `model` (.pth), or a Lightning checkpoint's names from `model.` on.
HEARTHEFLOW = Release(
    "heartheflow",
    (
        *_ENCODERS,
        ("flownet.", "flow_encoder."),
        ("flowatt.query_conv.", "attention.query."),
        ("flowatt.key_conv.", "attention.key."),
        ("flowatt.value_conv.", "attention.value."),
    ),
)


def _infer_slots(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the number of slots of the weights."""
    slots = state.get("slot_attn.slots")
    return {"slots": max(2, slots.shape[1]) if slots is not None and slots.ndim == 3 else 2}


# InhoKim429/JSA (commit 359aa337): what its training writes, `*_best.pth` and `latest.pth`. The weights lie under
# `model`, decoders included, whose grids must be those of 224 pixels and five seconds.
JOINT_SLOTS = Release(
    "joint_slots",
    (
        ("imgnet.proj.", "image_projection."),
        ("audnet.proj.0.", "audio_projection."),
        ("audnet.conv1_1.", "audio_encoder.conv1."),
        *_ENCODERS,
        ("slot_attn.slots", "slots"),
        ("slot_attn.mask_token_img", "image_slots.mask_token"),
        ("slot_attn.mask_token_aud", "audio_slots.mask_token"),
        ("slot_attn.img_norm_pre_ff.", "image_slots.norm_mlp."),
        ("slot_attn.aud_norm_pre_ff.", "audio_slots.norm_mlp."),
        ("slot_attn.img_", "image_slots."),
        ("slot_attn.aud_", "audio_slots."),
        ("img_decoder.pos_emb.row_embed.weight", "image_decoder.rows"),
        ("img_decoder.pos_emb.col_embed.weight", "image_decoder.columns"),
        ("aud_decoder.pos_emb.row_embed.weight", "audio_decoder.rows"),
        ("aud_decoder.pos_emb.col_embed.weight", "audio_decoder.columns"),
        ("img_decoder.", "image_decoder."),
        ("aud_decoder.", "audio_decoder."),
    ),
    infer_options=_infer_slots,
)

# zjsong/SSPL (commit d1af4c7a), without and with predictive coding: files in a folder, `module.` in all but one.
_HEAD, _PCM, _CYCLES = "ssl_head/module.", "pcm/module.", 4
_SSPL = (
    ("frame/feat_extractor.", "image_encoder.features."),
    ("sound/module.fc.", "query."),
    ("sound/module.", "audio_encoder."),
    (f"{_HEAD}projector.layer1.", "head.projector."),
    (f"{_HEAD}projector.layer2.0.", "head.projector.3."),
    (f"{_HEAD}projector.layer2.1.", "head.projector.4."),
    (f"{_HEAD}projector.layer3.0.", "head.projector.6."),
    (f"{_HEAD}projector.layer3.1.", "head.projector.7."),
    (f"{_HEAD}predictor.layer1.", "head.predictor."),
    (f"{_HEAD}predictor.layer2.", "head.predictor.3."),
)
_FILES = (("frame", "frame_best.pth"), ("sound", "sound_best.pth"), ("ssl_head", "ssl_head_best.pth"))


def _pcm_norms() -> Iterator[tuple[str, str]]:
    """Yield the prefixes of batch norms: released in one list, cycle after cycle, without those of the first pass."""
    for released, local, count in (("BNPred", "down_norms", 2), ("BNError", "up_norms", 3)):
        yield f"{_PCM}{released}.", f"pcm.{local}.0."
        for n in range(_CYCLES * count):
            yield f"{_PCM}{released}_step.{n}.", f"pcm.{local}.{1 + n // count}.{n % count}."


SSPL = Release("sspl", _SSPL, files=_FILES)
SSPL_PCM = Release(
    "sspl_pcm",
    (
        *_SSPL,
        (f"{_PCM}PredProcess.0.", "pcm.predict_audio."),
        (f"{_PCM}PredProcess.1.conv2d.", "pcm.down.0."),
        (f"{_PCM}PredProcess.2.conv2d.", "pcm.down.1."),
        (f"{_PCM}ErrorProcess.0.", "pcm.up.0."),
        (f"{_PCM}ErrorProcess.1.", "pcm.up.1."),
        (f"{_PCM}ErrorProcess.2.convtrans2d.", "pcm.up.2."),
        (f"{_PCM}ErrorProcess.3.", "pcm.output."),
        (f"{_PCM}a0.", "pcm.gates.a."),
        (f"{_PCM}b0.", "pcm.gates.b."),
        *_pcm_norms(),
    ),
    files=(*_FILES, ("pcm", "pcm_best.pth")),
)

_ALL = (ALIGNMENT, ATTENTION10K, DENSEAV, EZVSL, HEARTHEFLOW, JOINT_SLOTS, LVS, SLAVC, SSPL, SSPL_PCM, SSLTIE)
RELEASES = {release.method: release for release in _ALL}
"""Name -> released weights."""
