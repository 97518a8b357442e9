"""SAM 2 with tiny random weights, of images and of videos."""

from typing import Any

import pytest
import torch

SIDE = 128


def make_model(is_video: bool = False) -> Any:
    """A `Sam2Model`, or the `Sam2VideoModel` whose hidden size its memory needs, in evaluation mode."""
    transformers = pytest.importorskip("transformers", reason="transformers is absent: SAM 2 is not tested")
    width = 128 if is_video else 32
    backbone = transformers.Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[SIDE, SIDE], blocks_per_stage=[1, 1, 2, 1],
        embed_dim_per_stage=[8, 16, 32, 64], num_attention_heads_per_stage=[1, 2, 4, 8], global_attention_blocks=[3],
        window_size_per_stage=[8, 4, 4, 4],
    )  # fmt: skip
    vision = transformers.Sam2VisionConfig(
        backbone_config=backbone, backbone_channel_list=[64, 32, 16, 8], fpn_hidden_size=width,
        backbone_feature_sizes=[[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
    )  # fmt: skip
    prompt = {"hidden_size": width, "image_size": SIDE, "patch_size": 16, "mask_input_channels": 4}
    decoder = {"hidden_size": width, "mlp_dim": width, "num_attention_heads": 2, "iou_head_hidden_dim": width}
    members = {"vision_config": vision, "prompt_encoder_config": prompt, "mask_decoder_config": decoder}
    torch.manual_seed(0)
    if not is_video:
        return transformers.Sam2Model(transformers.Sam2Config(**members)).eval()
    config = transformers.Sam2VideoConfig(
        **members, image_size=SIDE, memory_attention_hidden_size=width, memory_encoder_hidden_size=width,
        mask_downsampler_embed_dim=width, memory_fuser_embed_dim=width, memory_attention_feed_forward_hidden_size=width,
        memory_attention_rope_feat_sizes=[SIDE // 16] * 2, memory_attention_num_layers=1, memory_fuser_num_layers=1,
    )  # fmt: skip
    model = transformers.Sam2VideoModel(config).eval()
    torch.nn.init.constant_(model.mask_decoder.pred_obj_score_head.proj_out.bias, 5)  # or the object is lost at once
    return model
