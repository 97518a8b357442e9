"""HearTheFlow: what moves is likelier to sound, so optical flow decides what the image features attend to.

Fedorishin, Mohan, Jawade, Setlur and Govindaraju, "Hear The Flow: Optical Flow-Based Self-Supervised Visual Sound
Source Localization", WACV 2023.

The idea: each location of the image attends to the locations of the optical flow, by their features, and the attended
image features are added to it; the rest is LVS, whose tri-map marks the sounding locations.

**The paper's and the released code's** (denfed/heartheflow, commit 60ed54d8): three ResNet-18 of 7 x 7 features, the
image's with ImageNet weights and frozen (its batch norm still follows the batches), the flow's begun with ImageNet's
but for its first layer; queries of the image and keys of the flow of an eighth of the channels, values of the image;
thresholds 0.65 and 0.65 - 0.25, sigmoids of width 0.03, temperature 0.07, from images to audio only. Flow as
`soundspot.data.media.optical_flow` computes it: it is cropped and mirrored with its image, and its x is not negated
then. The train loader does not shuffle.

**Differs here.** An image's own audio is left out of its negatives; the code multiplies that entry by -99 (see `lvs`,
whose loss this is). Samples are shuffled.

**Ours:** flow features of another resolution than the image's are resized to it. A batch without the flow channels
counts as one without motion. Freezing is an option (`frozen`); the batch norm of the frozen encoder follows the batches
as released.

**Released weights** (key `model`, or a Lightning checkpoint's `state_dict`, names from `model.` on) are read
unmodified. `soundspot.import_checkpoint(..., method="heartheflow")`.
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
from soundspot.losses.contrastive import full_precision, unit_norm
from soundspot.methods.base import register
from soundspot.methods.lvs_base import LVSBase
from soundspot.methods.option_checks import check_choice
from soundspot.models.encoders import build_encoder, with_stride32

FlowForm = Literal["cnn", "maxpool"]


@register("heartheflow")
class HearTheFlow(LVSBase):
    """HearTheFlow: image features attend to optical flow; the map's foreground is pulled to the audio.

    Images have five channels, the last two of them optical flow.

    Args:
        image, audio: options of the image and the audio encoder; None: ResNet-18.
        front_end: preprocessing of images and audio, to which optical flow is added; None: the preset `heartheflow`.
        flow: options of the flow encoder; None: a ResNet of the image encoder's sizes.
        flow_form: form of the flow features: `cnn`, by an encoder, or `maxpool`, the maximum of the flow itself in each
            cell.
        frozen: keep the weights of the image encoder; the statistics of its batch norm still follow the batches.
        base_options: further keyword arguments of `LVSBase`, such as `tau` and both thresholds.
    """

    front_end_preset = "heartheflow"
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
        **base_options: Any,
    ) -> None:
        check_choice(get_args(FlowForm), flow_form=flow_form)
        spec = front_end or PRESETS["heartheflow"]
        spec = replace(spec, image=replace(spec.image, flow=True))
        super().__init__(image=image, audio=audio, front_end=spec, **base_options)
        if frozen and (trained := (image or {}).get("trained", 0)):
            raise RecipeError(
                f"image.trained: found {trained!r}, and method.frozen is true; give `frozen: false`, or leave it out"
            )
        if frozen:
            self.image_encoder.requires_grad_(False)
        self.flow_encoder, flow_channels = None, 2
        if flow_form == "cnn":
            options = with_stride32(flow_options(image) if flow is None else flow)
            self.flow_encoder = build_encoder(options, in_channels=2)
            flow_channels = self.flow_encoder.channels
        self.attention = CrossAttention(self.image_encoder.channels, flow_channels)

    def encode_images(self, images: Float[Tensor, "b i H W"]) -> Float[Tensor, "b c h w"]:
        """Return unit-norm features with the attended features added; images of three channels have no motion.

        Args:
            images: (b, 5, H, W) normalized images, followed by flow to the right and down, in pixels per frame divided
                by 255; or (b, 3, H, W) without flow, which counts as 0.

        Returns:
            (b, c, h, w) features of unit L2 norm over c.
        """
        features = self.image_encoder(images[:, :3])
        flow = images[:, 3:] if images.shape[1] == 5 else torch.zeros_like(images[:, :2])
        return unit_norm(features + self.attention(features, self.flow_features(flow, features.shape[-2:])), dim=1)

    def flow_features(self, flow: Float[Tensor, "b 2 H W"], size: tuple[int, int]) -> Float[Tensor, "b d h w"]:
        """Compute flow features at the resolution of the image features.

        Args:
            flow: (b, 2, H, W) displacement to the right and down in pixels per frame, divided by 255. It lies in [0,
                1]: the front end rounds flow to whole pixels and clips it to 0..255, so motion to the left or up is 0.
            size: height and width (h, w) of the image features.

        Returns:
            (b, d, h, w) features of the flow encoder, averaged to `size` (adaptive average pooling) where they differ
            from it; without an encoder (`flow_form: maxpool`) d = 2, the maximum of the flow in each cell.
        """
        if self.flow_encoder is None:
            return F.adaptive_max_pool2d(flow, size)
        features = self.flow_encoder(flow)
        return features if features.shape[-2:] == size else F.adaptive_avg_pool2d(features, size)


class CrossAttention(nn.Module):
    """Attention of image locations to flow locations: queries and values of the image, keys of its flow.

    Args:
        channels: number of channels of the image features; queries and keys have an eighth of them, at least 1.
        flow_channels: number of channels of the flow features.
    """

    def __init__(self, channels: int, flow_channels: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(channels, max(1, channels // 8), 1)
        self.key = nn.Conv2d(flow_channels, max(1, channels // 8), 1)
        self.value = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Float[Tensor, "b c h w"], flow: Float[Tensor, "b d h w"]) -> Float[Tensor, "b c h w"]:
        """Return the attended image features at each location.

        Args:
            features: (b, c, h, w) image features.
            flow: (b, d, h, w) flow features of the same h and w.

        Returns:
            (b, c, h, w) attended features, to which `features` are not added yet.
        """
        query, key, value = (x.flatten(2).mT for x in (self.query(features), self.key(flow), self.value(features)))
        return cross_attention(query, key, value).mT.reshape(features.shape)


@full_precision
def cross_attention(
    query: Float[Tensor, "b p k"], key: Float[Tensor, "b q k"], value: Float[Tensor, "b q c"]
) -> Float[Tensor, "b p c"]:
    """Compute scaled dot-product attention of each location p over the locations q.

    Args:
        query: (b, p, k) queries of k channels.
        key: (b, q, k) keys.
        value: (b, q, c) values.

    Returns:
        (b, p, c) mean values, weighted by softmax(query . key / sqrt(k)) over q; float32, or float64 for such inputs.
    """
    query, key, value = ((x if x.dtype == torch.float64 else x.float())[:, None] for x in (query, key, value))
    return F.scaled_dot_product_attention(query, key, value)[:, 0]  # with one head: exporters know no other


def flow_options(image: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return options of a ResNet with the sizes of the image encoder, without weights; ResNet-18 beside any other.

    Args:
        image: options of the image encoder; None: the default ResNet-18.

    Returns:
        The same options without `weights`; an empty dict, for ResNet-18, where the image encoder is no ResNet.
    """
    options = {name: value for name, value in (image or {}).items() if name != "weights"}
    return options if options.get("encoder", "resnet18") in ("resnet18", "resnet") else {}
