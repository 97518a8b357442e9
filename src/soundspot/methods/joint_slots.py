"""Joint slot attention: what picture and sound share is drawn into one slot, the rest into another.

I. Kim, Song, Park, W. H. Kim and Kwak, "Improving Sound Source Localization with Joint Slot Attention on Image and
Audio", CVPR 2025. The released code, InhoKim429/JSA at 359aa337, does not run as it is; ours follows its arithmetic.

The idea: a mean or a maximum over places mixes the source with all else. So slots compete for the tokens of each
modality: slot 0, the target, must hold what both share, slot 1 takes the rest. Both modalities start at the *same*
learned slots; only target slots are contrasted; the map of a sound is how its target query attends to the picture.

**The paper's and the code's**: two ResNet-18 with stride 2 in the last stage, a 1 x 1 convolution to 512 channels,
sounds pooled over frequency by the maximum; two slots, five iterations; maps of the last iteration; one token in ten
masked; k-reciprocal neighbours (k 20) are no negatives; tau 0.03, both directions summed.

**Where they differ** we follow the code: means over elements where the paper has squared norms, hence the weights
reconstruction 0.1, divergence 0.1, matching 100; logits of the read-out times 0.1 (`factor`; 1.0 while it trains on
144k). Refining maps with the picture's own query (0.4 in the code, 0.6 in the paper) is no part of the method but asked
for: `soundspot.inference.refinement`. Epochs of contrast alone (`warmup`), which its scripts turn off, we do not have.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soundspot.config.upsampling import Upsampling
from soundspot.errors import RecipeError
from soundspot.losses.contrastive import embedding_similarity, info_nce, unit_norm
from soundspot.losses.slots import attention_matching_loss, divergence_loss, reciprocal_neighbors, reconstruction_loss
from soundspot.methods.base import Method, register
from soundspot.methods.option_checks import check_fraction, check_positive
from soundspot.models.encoders import output_channels, output_grid
from soundspot.models.slots import SlotAttention, SlotDecoder, SlotState, attend
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad, world_size


@register("joint_slots")
class JointSlots(Method):
    """Joint slot attention: what picture and sound share is drawn into one slot, the rest into another.

    The module's text says what is the paper's and what the code's.

    Codes: of a picture the keys of its places and, as one more channel, the map of its own target query,
    (b, d + 1, h, w); of a sound its queries, (b, s, d). Maps are attention: positive, and each sums to 1.

    Args:
        slots: 2 in the released scripts. iterations: of slot attention. width: of tokens and slots.
        mask_ratio: share of tokens that are masked in training.
        tau: temperature. k: of the reciprocal neighbours, the clip itself among them; 1: all others are negatives.
        reconstruction, divergence, matching: weights of these terms; 0 leaves one out.
        factor: of the logits of maps that are read out, not of those that are learned from.
        encoders: `image`, `audio` and `front_end`, as every method has them.
    """

    upsampling = Upsampling("bicubic")
    stride32 = True
    has_joint_space = True
    has_image_query = True  # so that `saliency` may refine maps: `iqr`

    def __init__(
        self,
        slots: int = 2,
        iterations: int = 5,
        width: int = 512,
        mask_ratio: float = 0.1,
        tau: float = 0.03,
        k: int = 20,
        reconstruction: float = 0.1,
        divergence: float = 0.1,
        matching: float = 100.0,
        logit_scale: float = 0.1,
        **encoders: Any,
    ) -> None:
        for name, found, least in (
            ("slots", slots, 2),
            ("iterations", iterations, 1),
            ("width", width, 2),
            ("k", k, 1),
        ):
            if found < least or (name == "width" and width % 2):
                even = "an even number, " if name == "width" else ""  # halves are position codes of rows and columns
                raise RecipeError(f"method.{name}: found {found}, expected {even}{least} or more")
        check_positive(tau=tau)
        check_fraction(mask_ratio=mask_ratio)
        super().__init__(**encoders)
        self.iterations, self.mask_ratio, self.tau, self.k, self.logit_scale = (
            iterations,
            mask_ratio,
            tau,
            k,
            logit_scale,
        )
        self.weights = {"reconstruction": reconstruction, "divergence": divergence, "matching": matching}
        self.image_projection = nn.Conv2d(output_channels(self.image_encoder), width, 1)
        self.audio_projection = nn.Conv2d(output_channels(self.audio_encoder), width, 1)
        self.slots = nn.Parameter(torch.randn(1, slots, width))
        self.image_slots, self.audio_slots = SlotAttention(width), SlotAttention(width)
        size = self.front_end.image.size
        self.image_decoder = SlotDecoder(width, output_grid(self.image_encoder, (3, size, size)))
        self.audio_decoder = SlotDecoder(
            width, (1, output_grid(self.audio_encoder, (1, *self.front_end.audio.shape))[1])
        )

    # Tokens and slots.

    def image_features(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d h w"]:
        """Features of each place."""
        return self.image_projection(self.image_encoder(images))

    def audio_tokens(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b n d"]:
        """Features of each moment: the largest over frequency."""
        return self.audio_projection(self.audio_encoder(audio)).amax(dim=2).transpose(1, 2)

    def attend_image(self, tokens: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None) -> SlotState:
        """Slots of a picture."""
        return self.image_slots(tokens, self.slots, self.iterations, mask)

    def attend_audio(self, tokens: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None) -> SlotState:
        """Slots of a sound."""
        return self.audio_slots(tokens, self.slots, self.iterations, mask)

    # What a localizer calls.

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b e h w"]:
        """Keys of each place and, as the last channel, the map of the picture's own target query."""
        grid = self.image_features(images)
        seen = self.attend_image(_tokens(grid))
        own = attend(seen.queries, seen.keys, self.logit_scale)[:, 0]
        return torch.cat([seen.keys, own[..., None]], dim=-1).transpose(1, 2).unflatten(2, grid.shape[-2:])

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b s d"]:
        """The queries of each sound."""
        return self.attend_audio(self.audio_tokens(audio)).queries

    def similarity_map(
        self, encoded_images: Float[Tensor, "b e h w"], encoded_audio: Float[Tensor, "b s d"]
    ) -> Float[Tensor, "b h w"]:
        """How the target query of sound i attends to picture i."""
        maps = attend(encoded_audio, _tokens(encoded_images[:, :-1]), self.logit_scale)[:, 0]
        return maps.unflatten(1, encoded_images.shape[-2:])

    def saliency(self, encoded_images: Float[Tensor, "b e h w"]) -> Float[Tensor, "b h w"]:
        """How the picture's own target query attends to it: no sound was asked, though some taught it what sounds."""
        return encoded_images[:, -1]

    # What retrieval calls. The release has no script of it; the target slot is what the contrast compares.

    def embed_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        return unit_norm(self.attend_image(_tokens(self.image_features(images))).slots[:, 0])

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        return unit_norm(self.attend_audio(self.audio_tokens(audio)).slots[:, 0])

    # What the trainer calls.

    def draw_mask(self, tokens: Float[Tensor, "b n d"]) -> Bool[Tensor, "b n"] | None:
        """Which tokens are masked: in training, each by itself."""
        if not (self.training and self.mask_ratio):
            return None
        return torch.rand(tokens.shape[:2], device=tokens.device) < self.mask_ratio

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`contrast` of target slots, and `reconstruction`, `divergence`, `matching` of both modalities.

        Raises:
            RecipeError: more than one view; or no more than k clips, so that one may be left without a negative.
        """
        _refuse(batch, self.k)
        pictures, moments = _tokens(self.image_features(batch.images[0])), self.audio_tokens(batch.audio[0])
        seen, heard = (
            self.attend_image(pictures, self.draw_mask(pictures)),
            self.attend_audio(moments, self.draw_mask(moments)),
        )
        v, a = unit_norm(seen.slots), unit_norm(heard.slots)
        alike = reciprocal_neighbors(all_gather_with_grad(v[:, 0]), all_gather_with_grad(a[:, 0]), self.k)
        if batch.false_negatives is not None:
            alike = alike | batch.false_negatives
        terms = {
            "contrast": info_nce(embedding_similarity(v[None, :, 0], a[None, :, 0]), self.tau, alike, symmetric=True)
        }
        if self.weights["reconstruction"]:
            terms["reconstruction"] = reconstruction_loss(self.image_decoder(seen.slots), pictures)
            terms["reconstruction"] += reconstruction_loss(self.audio_decoder(heard.slots), moments)
        if self.weights["divergence"]:
            terms["divergence"] = divergence_loss(v) + divergence_loss(a)
        if self.weights["matching"]:
            of_pictures, of_sounds = (
                attention_matching_loss(attend(other.queries, own.keys)[:, 0], attend(own.queries, own.keys)[:, 0])
                for own, other in ((seen, heard), (heard, seen))
            )
            terms["matching"] = of_pictures + of_sounds
        return {name: self.weights.get(name, 1.0) * value for name, value in terms.items()}


def _tokens(grid: Float[Tensor, "b d h w"]) -> Float[Tensor, "b n d"]:
    return grid.flatten(2).transpose(1, 2)


def _refuse(batch: Batch, k: int) -> None:
    views, sound_views, clips = len(batch.images), len(batch.audio), world_size() * batch.images.shape[1]
    if views != 1 or sound_views != 1:
        raise RecipeError(
            f"joint_slots learns from one view of each clip, and the recipe makes {views} of pictures and "
            f"{sound_views} of sounds; set `views: {{multi_view: false, semantic: false}}`"
        )
    if clips <= k:
        raise RecipeError(
            f"method.k: with {k} reciprocal neighbours (itself among them) a clip of a batch of {clips} may have no "
            f"negative left; raise train.batch_size above {k} (a held-out set is a batch too), or lower method.k"
        )
