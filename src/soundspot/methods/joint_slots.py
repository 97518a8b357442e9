"""Joint slot attention: what image and audio share is drawn into one slot, the rest into another.

I. Kim, Song, Park, W. H. Kim and Kwak, "Improving Sound Source Localization with Joint Slot Attention on Image and
Audio", CVPR 2025. The released code, InhoKim429/JSA at 359aa337, does not run as it is; ours follows its arithmetic.

The idea: a mean or a maximum over locations mixes the source with all else. So slots compete for the tokens of each
modality: slot 0, the target, must hold what both share, slot 1 takes the rest. Both modalities start at the *same*
learned slots; only target slots are contrasted; the map of an audio clip is the attention of its target query on the
image.

**The paper's and the code's**: two ResNet-18 with stride 2 in the last stage, a 1 x 1 convolution to 512 channels,
audio pooled over frequency by the maximum; two slots, five iterations; maps of the last iteration; one token in ten
masked; k-reciprocal neighbors (k 20) are no negatives; tau 0.03, both directions summed.

**Where they differ** we follow the code: means over elements where the paper has squared norms, hence the weights
reconstruction 0.1, divergence 0.1, matching 100; logits of the maps times 0.1 (`logit_scale`; 1.0 while it trains on
144k). Refining maps with the image's own query (0.4 in the code, 0.6 in the paper) is no part of the method but an
option of inference: `soundspot.inference.refinement`. Epochs of contrast only (`warmup`), which its scripts turn off,
we do not have.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soundspot.config.upsampling import Upsampling
from soundspot.errors import RecipeError
from soundspot.losses.contrastive import embedding_similarity, info_nce, unit_norm
from soundspot.losses.slots import (
    attention_matching_loss,
    divergence_loss,
    reciprocal_neighbors,
    reconstruction_loss,
)
from soundspot.methods.base import Method, register
from soundspot.methods.option_checks import check_fraction, check_positive
from soundspot.models.encoders import output_grid
from soundspot.models.slots import SlotAttention, SlotDecoder, SlotState, attend
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad, world_size


@register("joint_slots")
class JointSlots(Method):
    """Joint slot attention: what image and audio share is drawn into one slot, the rest into another.

    Encoded images are the keys of each location and, as one more channel, the map of the image's own target query,
    (b, d + 1, h, w); encoded audio is its queries, (b, s, d). Maps are attention: positive, and each sums to 1.

    Args:
        slots: number of slots, 2 or more; 2 in the released scripts.
        iterations: number of iterations of slot attention.
        width: dimension of tokens and slots, an even number.
        mask_ratio: probability, in [0, 1], that a token is masked in training.
        tau: temperature of InfoNCE.
        k: number of nearest samples that may be reciprocal neighbors, the sample itself included; 1: all others are
            negatives.
        reconstruction, divergence, matching: weights of these terms; 0 leaves one out.
        logit_scale: factor of the logits of maps in inference, not of those in the loss.
        encoders: keyword arguments of `Method`: `image`, `audio` (options of the encoders) and `front_end`.
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
        minima = {"slots": (slots, 2), "iterations": (iterations, 1), "width": (width, 2), "k": (k, 1)}
        for name, (value, minimum) in minima.items():
            if value < minimum or (name == "width" and width % 2):
                even = "an even number, " if name == "width" else ""  # halves encode the positions of rows and columns
                raise RecipeError(f"method.{name}: found {value}, expected {even}{minimum} or more")
        check_positive(tau=tau)
        check_fraction(mask_ratio=mask_ratio)
        super().__init__(**encoders)
        self.iterations, self.mask_ratio, self.tau, self.k = iterations, mask_ratio, tau, k
        self.logit_scale = logit_scale
        self.weights = {"reconstruction": reconstruction, "divergence": divergence, "matching": matching}
        self.image_projection = nn.Conv2d(self.image_encoder.channels, width, 1)
        self.audio_projection = nn.Conv2d(self.audio_encoder.channels, width, 1)
        self.slots = nn.Parameter(torch.randn(1, slots, width))
        self.image_slots, self.audio_slots = SlotAttention(width), SlotAttention(width)
        size, spectrogram = self.front_end.image.size, (1, *self.front_end.audio.shape)
        self.image_decoder = SlotDecoder(width, output_grid(self.image_encoder, (3, size, size)))
        self.audio_decoder = SlotDecoder(width, (1, output_grid(self.audio_encoder, spectrogram)[1]))

    def image_features(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d h w"]:
        """Return the image features of each location, projected to `width` channels.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d, h, w) features, not normalized.
        """
        return self.image_projection(self.image_encoder(images))

    def audio_tokens(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b n d"]:
        """Return one token per time step: the maximum of the projected features over frequency.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, n, d) tokens of n time steps, not normalized.
        """
        return self.audio_projection(self.audio_encoder(audio)).amax(dim=2).transpose(1, 2)

    def attend_image(self, tokens: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None) -> SlotState:
        """Run slot attention on image tokens; masked tokens are replaced by the mask token.

        Args:
            tokens: (b, n, d) tokens.
            mask: (b, n) bool, True where a token is masked; None: no token is.

        Returns:
            Slots (b, s, d), queries (b, s, d) and keys (b, n, d).
        """
        return self.image_slots(tokens, self.slots, self.iterations, mask)

    def attend_audio(self, tokens: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"] | None = None) -> SlotState:
        """Run slot attention on audio tokens; masked tokens are replaced by the mask token.

        Args:
            tokens: (b, n, d) tokens.
            mask: (b, n) bool, True where a token is masked; None: no token is.

        Returns:
            Slots (b, s, d), queries (b, s, d) and keys (b, n, d).
        """
        return self.audio_slots(tokens, self.slots, self.iterations, mask)

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b e h w"]:
        """Return the keys of each location and, as the last channel, the map of the image's own target query.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d + 1, h, w): d = `width` channels of keys, then the attention map, with sum 1.
        """
        features = self.image_features(images)
        state = self.attend_image(_tokens(features))
        self_map = attend(state.queries, state.keys, self.logit_scale)[:, 0, :, None]
        return torch.cat([state.keys, self_map], dim=-1).transpose(1, 2).unflatten(2, features.shape[-2:])

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b s d"]:
        """Return the queries of the last iteration of slot attention for each audio clip.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, s, d) queries of s slots, not normalized; slot 0 is the target.
        """
        return self.attend_audio(self.audio_tokens(audio)).queries

    def similarity_map(
        self, encoded_images: Float[Tensor, "b e h w"], encoded_audio: Float[Tensor, "b s d"]
    ) -> Float[Tensor, "b h w"]:
        """Return the attention of the target query of audio i on image i.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio` for b audio clips; row i belongs to image i.

        Returns:
            (b, h, w) attention, positive and with sum 1 over each map.
        """
        maps = attend(encoded_audio, _tokens(encoded_images[:, :-1]), self.logit_scale)[:, 0]
        return maps.unflatten(1, encoded_images.shape[-2:])

    def saliency(self, encoded_images: Float[Tensor, "b e h w"]) -> Float[Tensor, "b h w"]:
        """Return the attention of the image's own target query: it uses no audio, but was trained with some.

        Args:
            encoded_images: output of `encode_images` for b images.

        Returns:
            (b, h, w) attention, positive and with sum 1 over each map.
        """
        return encoded_images[:, -1]

    # Retrieval. The release has no script of it; the target slot is what the contrast compares.

    def embed_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Embed images for retrieval by cosine with `embed_audio`.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d) embeddings of unit L2 norm: the target slot of the image.
        """
        return unit_norm(self.attend_image(_tokens(self.image_features(images))).slots[:, 0])

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """Embed audio for retrieval by cosine with `embed_images`.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, d) embeddings of unit L2 norm: the target slot of the audio.
        """
        return unit_norm(self.attend_audio(self.audio_tokens(audio)).slots[:, 0])

    def draw_mask(self, tokens: Float[Tensor, "b n d"]) -> Bool[Tensor, "b n"] | None:
        """Draw which tokens are masked, each with probability `mask_ratio`.

        Args:
            tokens: (b, n, d) tokens, of which only shape and device are used.

        Returns:
            (b, n) bool, True where a token is masked; None in evaluation mode or with `mask_ratio` 0.
        """
        if not (self.training and self.mask_ratio):
            return None
        return torch.rand(tokens.shape[:2], device=tokens.device) < self.mask_ratio

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `contrast` of target slots, and `reconstruction`, `divergence`, `matching` of both modalities.

        `contrast` is symmetric InfoNCE, both directions summed; the other terms are means, summed over modalities.

        Args:
            batch: v image views and u audio views of b samples, (v, b, 3, H, W) and (u, b, 1, f, t). v and u must be 1.
                Pairs in `false_negatives` and reciprocal neighbors are left out of the negatives.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.

        Raises:
            RecipeError: the batch has more than one view of a modality, or at most k samples over all processes, so
                that a sample may have no negative left.
        """
        _check_batch(batch, self.k)
        image_tokens, audio_tokens = _tokens(self.image_features(batch.images[0])), self.audio_tokens(batch.audio[0])
        image = self.attend_image(image_tokens, self.draw_mask(image_tokens))
        audio = self.attend_audio(audio_tokens, self.draw_mask(audio_tokens))
        v, a = unit_norm(image.slots), unit_norm(audio.slots)
        false_negatives = reciprocal_neighbors(all_gather_with_grad(v[:, 0]), all_gather_with_grad(a[:, 0]), self.k)
        if batch.false_negatives is not None:
            false_negatives = false_negatives | batch.false_negatives
        similarity = embedding_similarity(v[None, :, 0], a[None, :, 0])
        terms = {"contrast": info_nce(similarity, self.tau, false_negatives, symmetric=True)}
        if self.weights["reconstruction"]:
            terms["reconstruction"] = reconstruction_loss(self.image_decoder(image.slots), image_tokens)
            terms["reconstruction"] += reconstruction_loss(self.audio_decoder(audio.slots), audio_tokens)
        if self.weights["divergence"]:
            terms["divergence"] = divergence_loss(v) + divergence_loss(a)
        if self.weights["matching"]:
            image_matching, audio_matching = (
                attention_matching_loss(attend(other.queries, own.keys)[:, 0], attend(own.queries, own.keys)[:, 0])
                for own, other in ((image, audio), (audio, image))
            )
            terms["matching"] = image_matching + audio_matching
        return {name: self.weights.get(name, 1.0) * value for name, value in terms.items()}


def _tokens(features: Float[Tensor, "b d h w"]) -> Float[Tensor, "b n d"]:
    return features.flatten(2).transpose(1, 2)


def _check_batch(batch: Batch, k: int) -> None:
    image_views, audio_views = len(batch.images), len(batch.audio)
    num_samples = world_size() * batch.images.shape[1]
    if image_views != 1 or audio_views != 1:
        raise RecipeError(
            f"joint_slots learns from one view of each sample, and the recipe makes {image_views} of images and "
            f"{audio_views} of audio; set `views: {{multi_view: false, semantic: false}}`"
        )
    if num_samples <= k:
        raise RecipeError(
            f"method.k: with {k} reciprocal neighbors (itself among them) a sample of a batch of {num_samples} may "
            f"have no negative left; raise train.batch_size above {k} (a held-out set is a batch too), or lower it"
        )
