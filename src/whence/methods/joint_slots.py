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
for: `whence.inference.guidance`. Epochs of contrast alone (`warmup`), which its scripts turn off, we do not have.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from whence.errors import RecipeError
from whence.losses.contrastive import info_nce, unit, vector_similarity
from whence.losses.slots import divergence, matching, reciprocal_neighbours, reconstruction
from whence.methods.base import Method, register
from whence.methods.checks import positive, share
from whence.models.encoders import channels_of, grid_of
from whence.models.slots import SlotAttention, SlotDecoder, Slots, attend
from whence.processes import gathered, world
from whence.readout import ReadOut
from whence.types import Batch


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

    readout = ReadOut("bicubic")
    coarse = True
    projects = True
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
        factor: float = 0.1,
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
        positive(tau=tau)
        share(mask_ratio=mask_ratio)
        super().__init__(**encoders)
        self.iterations, self.mask_ratio, self.tau, self.k, self.factor = iterations, mask_ratio, tau, k, factor
        self.weights = {"reconstruction": reconstruction, "divergence": divergence, "matching": matching}
        self.image_projection = nn.Conv2d(channels_of(self.image_encoder), width, 1)
        self.sound_projection = nn.Conv2d(channels_of(self.audio_encoder), width, 1)
        self.slots = nn.Parameter(torch.randn(1, slots, width))
        self.image_slots, self.sound_slots = SlotAttention(width), SlotAttention(width)
        size = self.front_end.image.size
        self.image_decoder = SlotDecoder(width, grid_of(self.image_encoder, (3, size, size)))
        self.sound_decoder = SlotDecoder(width, (1, grid_of(self.audio_encoder, (1, *self.front_end.audio.shape))[1]))

    # Tokens and slots.

    def image_grid(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d h w"]:
        """Features of each place."""
        return self.image_projection(self.image_encoder(images))

    def sound_tokens(self, sounds: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b n d"]:
        """Features of each moment: the largest over frequency."""
        return self.sound_projection(self.audio_encoder(sounds)).amax(dim=2).transpose(1, 2)

    def see(self, tokens: Float[Tensor, "b n d"], hidden: Bool[Tensor, "b n"] | None = None) -> Slots:
        """Slots of a picture."""
        return self.image_slots(tokens, self.slots, self.iterations, hidden)

    def hear(self, tokens: Float[Tensor, "b n d"], hidden: Bool[Tensor, "b n"] | None = None) -> Slots:
        """Slots of a sound."""
        return self.sound_slots(tokens, self.slots, self.iterations, hidden)

    # What a localizer calls.

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b e h w"]:
        """Keys of each place and, as the last channel, the map of the picture's own target query."""
        grid = self.image_grid(images)
        seen = self.see(_tokens(grid))
        own = attend(seen.queries, seen.keys, self.factor)[:, 0]
        return torch.cat([seen.keys, own[..., None]], dim=-1).transpose(1, 2).unflatten(2, grid.shape[-2:])

    def encode_sounds(self, sounds: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b s d"]:
        """The queries of each sound."""
        return self.hear(self.sound_tokens(sounds)).queries

    def compare(
        self, image_codes: Float[Tensor, "b e h w"], sound_codes: Float[Tensor, "b s d"]
    ) -> Float[Tensor, "b h w"]:
        """How the target query of sound i attends to picture i."""
        maps = attend(sound_codes, _tokens(image_codes[:, :-1]), self.factor)[:, 0]
        return maps.unflatten(1, image_codes.shape[-2:])

    def saliency(self, image_codes: Float[Tensor, "b e h w"]) -> Float[Tensor, "b h w"]:
        """How the picture's own target query attends to it: no sound was asked, though some taught it what sounds."""
        return image_codes[:, -1]

    # What retrieval calls. The release has no script of it; the target slot is what the contrast compares.

    def image_embedding(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        return unit(self.see(_tokens(self.image_grid(images))).slots[:, 0])

    def sound_embedding(self, sounds: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        return unit(self.hear(self.sound_tokens(sounds)).slots[:, 0])

    # What the trainer calls.

    def hidden(self, tokens: Float[Tensor, "b n d"]) -> Bool[Tensor, "b n"] | None:
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
        pictures, moments = _tokens(self.image_grid(batch.images[0])), self.sound_tokens(batch.sounds[0])
        seen, heard = self.see(pictures, self.hidden(pictures)), self.hear(moments, self.hidden(moments))
        v, a = unit(seen.slots), unit(heard.slots)
        alike = reciprocal_neighbours(gathered(v[:, 0]), gathered(a[:, 0]), self.k)
        if batch.alike is not None:
            alike = alike | batch.alike
        terms = {"contrast": info_nce(vector_similarity(v[None, :, 0], a[None, :, 0]), self.tau, alike, symmetric=True)}
        if self.weights["reconstruction"]:
            terms["reconstruction"] = reconstruction(self.image_decoder(seen.slots), pictures)
            terms["reconstruction"] += reconstruction(self.sound_decoder(heard.slots), moments)
        if self.weights["divergence"]:
            terms["divergence"] = divergence(v) + divergence(a)
        if self.weights["matching"]:
            of_pictures, of_sounds = (
                matching(attend(other.queries, own.keys)[:, 0], attend(own.queries, own.keys)[:, 0])
                for own, other in ((seen, heard), (heard, seen))
            )
            terms["matching"] = of_pictures + of_sounds
        return {name: self.weights.get(name, 1.0) * value for name, value in terms.items()}


def _tokens(grid: Float[Tensor, "b d h w"]) -> Float[Tensor, "b n d"]:
    return grid.flatten(2).transpose(1, 2)


def _refuse(batch: Batch, k: int) -> None:
    views, sound_views, clips = len(batch.images), len(batch.sounds), world() * batch.images.shape[1]
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
