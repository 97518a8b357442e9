"""HearTheFlow: what moves is likelier to sound, so optical flow decides what of a picture is attended to.

Fedorishin, Mohan, Jawade, Setlur and Govindaraju, "Hear The Flow: Optical Flow-Based Self-Supervised Visual Sound
Source Localization", WACV 2023.

The idea: each place of the picture asks the places of the optical flow, by their own features, and what it finds there
is added to it; the rest is LVS, whose tri-map says which places sound.

**The paper's and the released code's** (denfed/heartheflow, commit 60ed54d8): three ResNet-18 of 7 x 7 cells, the
picture's of ImageNet and frozen (its batch norm still follows the batches), the flow's begun with ImageNet's but for
its first layer; queries of the picture and keys of the flow of an eighth of the channels, values of the picture;
thresholds 0.65 and 0.65 - 0.25, sigmoids of width 0.03, temperature 0.07, from pictures to sounds only. Flow as
`soundspot.data.media.optical_flow` has it: it is cropped and mirrored with its picture, and its x is not negated then. The train loader
does not shuffle.

**Differs here.** A picture's own sound is left out of its negatives; the code multiplies that entry by -99 (see
`lvs`, whose loss this is). Clips are shuffled.

**Ours:** a flow whose grid is not the picture's is resized to it. A batch without the planes of flow stands still. The
frozen encoder is one by option (`frozen`); its batch norm follows the batches as released.

**Released weights** (key `model`, or a Lightning checkpoint's `state_dict`, names from `model.` on) are read as they
are. `soundspot.import_checkpoint(..., method="heartheflow")`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.config.frontend import PRESETS, InputSpec
from soundspot.config.upsampling import Upsampling
from soundspot.errors import RecipeError
from soundspot.losses.contrastive import full_precision, info_nce, unit_norm
from soundspot.methods.base import register
from soundspot.methods.lvs_base import LVSBase
from soundspot.methods.option_checks import check_choice
from soundspot.models.encoders import build_encoder, output_channels, with_stride32
from soundspot.types import Batch

FlowForm = Literal["cnn", "maxpool"]


@register("heartheflow")
class HearTheFlow(LVSBase):
    """HearTheFlow: a place adds what optical flow makes it attend to; the map's foreground is pulled to the sound.

    Pictures have five channels, the last two of them flow.

    Args:
        image, audio, front_end: as every method has them.
        flow: options of the flow's encoder; None: a ResNet of the picture encoder's measures.
        flow_form: `cnn`, or `maxpool`: the flow itself, the largest of each cell, in place of an encoder.
        frozen: the picture encoder does not learn; its batch norm still follows the batches.
        trimap: as `TriMap` has them.
    """

    stride32 = True
    upsampling = Upsampling("bicubic")

    def __init__(
        self,
        image: Mapping[str, Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        front_end: InputSpec | None = None,
        flow: Mapping[str, Any] | None = None,
        flow_form: FlowForm = "cnn",
        frozen: bool = True,
        **trimap: Any,
    ) -> None:
        check_choice(get_args(FlowForm), flow_form=flow_form)
        spec = front_end or PRESETS["heartheflow"]
        looking = replace(spec, image=replace(spec.image, flow=True))
        super().__init__(image=image, audio=audio, front_end=looking, **trimap)
        if frozen and (trained := (image or {}).get("trained", 0)):
            raise RecipeError(
                f"image.trained: found {trained!r}, and method.frozen is true; give `frozen: false`, or leave it out"
            )
        if frozen:
            self.image_encoder.requires_grad_(False)
        self.flow_encoder = None
        if flow_form == "cnn":
            self.flow_encoder = build_encoder(
                with_stride32(flow_options(image) if flow is None else flow), in_channels=2
            )
        moving = 2 if self.flow_encoder is None else output_channels(self.flow_encoder)
        self.attention = CrossAttention(output_channels(self.image_encoder), moving)

    def encode_images(self, images: Float[Tensor, "b i H W"]) -> Float[Tensor, "b c h w"]:
        """Unit-norm features of each place, with what it attends to added.

        Args:
            images: five channels, or three of pictures that stand still.
        """
        grid = self.image_encoder(images[:, :3])
        flow = images[:, 3:] if images.shape[1] == 5 else torch.zeros_like(images[:, :2])
        return unit_norm(grid + self.attention(grid, self.flow_features(flow, grid)), dim=1)

    def flow_features(self, flow: Float[Tensor, "b 2 H W"], grid: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Features of the flow at the places of the picture's grid."""
        if self.flow_encoder is None:
            return F.adaptive_max_pool2d(flow, grid.shape[-2:])
        seen = self.flow_encoder(flow)
        h, w = grid.shape[-2:]
        return seen if seen.shape[-2:] == (h, w) else F.adaptive_avg_pool2d(seen, (h, w))

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`contrast` (LVS's), summed over the pairs of views."""
        similarity, behind = self.responses(*self.encode(batch))
        return {"contrast": info_nce(similarity, self.tau, batch.false_negatives, hard_negatives=behind)}


class CrossAttention(nn.Module):
    """What each place of a picture attends to: queries and values of the picture, keys of its flow.

    Args:
        channels: of the picture's grid; queries and keys have an eighth of them.
        moving: channels of the flow's.
    """

    def __init__(self, channels: int, flow_channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, max(1, channels // 8), 1)
        self.key = nn.Conv2d(flow_channels, max(1, channels // 8), 1)
        self.value = nn.Conv2d(channels, channels, 1)

    def forward(self, grid: Float[Tensor, "b c h w"], flow: Float[Tensor, "b d h w"]) -> Float[Tensor, "b c h w"]:
        query, key, value = (x.flatten(2).mT for x in (self.query(grid), self.key(flow), self.value(grid)))
        return cross_attention(query, key, value).mT.reshape(grid.shape)


@full_precision
def cross_attention(
    query: Float[Tensor, "b p k"], key: Float[Tensor, "b q k"], value: Float[Tensor, "b q c"]
) -> Float[Tensor, "b p c"]:
    """Scaled dot-product attention of each place p over the places q."""
    query, key, value = ((x if x.dtype == torch.float64 else x.float())[:, None] for x in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value)[:, 0]  # of one head: exporters know no other


def flow_options(image: Mapping[str, Any] | None) -> dict[str, Any]:
    """A ResNet of the picture encoder's measures, with weights of its own; ResNet-18 beside any other encoder."""
    options = {name: value for name, value in (image or {}).items() if name != "weights"}
    return options if options.get("encoder", "resnet18") in ("resnet18", "resnet") else {}
