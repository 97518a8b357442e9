"""InhoKim429/JSA (commit 359aa337): what its training writes, `*_best.pth` and `latest.pth`.

The weights lie under `model`, decoders included, whose grids must be those of 224 pixels and five seconds. The GRU and
the position codes have other names here.
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from soundspot.importers.names import Release

_PARTS = (
    ("imgnet.proj.", "image_projection."),
    ("imgnet.", "image_encoder."),
    ("audnet.proj.0.", "sound_projection."),
    ("audnet.conv1_1.", "audio_encoder.conv1."),
    ("audnet.", "audio_encoder."),
    ("slot_attn.slots", "slots"),
    ("slot_attn.mask_token_img", "image_slots.mask_token"),
    ("slot_attn.mask_token_aud", "sound_slots.mask_token"),
    ("slot_attn.img_norm_pre_ff.", "image_slots.norm_mlp."),
    ("slot_attn.aud_norm_pre_ff.", "sound_slots.norm_mlp."),
    ("slot_attn.img_", "image_slots."),
    ("slot_attn.aud_", "sound_slots."),
    ("img_decoder.pos_emb.row_embed.weight", "image_decoder.rows"),
    ("img_decoder.pos_emb.col_embed.weight", "image_decoder.columns"),
    ("aud_decoder.pos_emb.row_embed.weight", "sound_decoder.rows"),
    ("aud_decoder.pos_emb.col_embed.weight", "sound_decoder.columns"),
    ("img_decoder.", "image_decoder."),
    ("aud_decoder.", "sound_decoder."),
)


def _slots(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """As many slots as the weights have."""
    slots = state.get("slot_attn.slots")
    return {"slots": max(2, slots.shape[1]) if slots is not None and slots.ndim == 3 else 2}


joint_slots = Release("joint_slots", _PARTS, infer_options=_slots)
