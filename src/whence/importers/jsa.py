"""InhoKim429/JSA (commit 359aa337): what its training writes, `*_best.pth` and `latest.pth`.

The weights lie under `model`. Widths are taken from the shapes; grids of the decoders must be those of 224 pixels and
five seconds. The GRU and the position codes have other names here.
"""

from collections.abc import Mapping

from torch import Tensor

from whence.methods import create
from whence.methods.base import Method
from whence.models.encoders import load_exactly

# Theirs to ours, applied in this order to the start of each name.
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


def joint_slots(state: Mapping[str, Tensor], what: str) -> Method:
    """The whole model, decoders included, with as many slots as the weights have."""
    ours = {}
    for name, value in state.items():
        theirs, mine = next(((theirs, mine) for theirs, mine in _PARTS if name.startswith(theirs)), ("", ""))
        ours[mine + name.removeprefix(theirs)] = value
    slots = state.get("slot_attn.slots")
    count = slots.shape[1] if slots is not None and slots.ndim == 3 else 2
    method = create("joint_slots", slots=max(2, count))
    load_exactly(method, ours, what, called=released_name)
    return method


def released_name(ours: str) -> str:
    """What the released code calls a weight of ours; a name of neither stays."""
    theirs, mine = next(((theirs, mine) for theirs, mine in _PARTS if ours.startswith(mine)), ("", ""))
    return theirs + ours.removeprefix(mine)
