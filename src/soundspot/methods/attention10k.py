"""Attention10k: audio attends to the image, and the attended features must mean the audio.

Senocak, Oh, Kim, Yang and Kweon, "Learning to Localize Sound Source in Visual Scenes", CVPR 2018.

The idea: a query made from the audio is compared with each location of the image; a softmax over locations of the
positive cosines is the map, and pools the features to one vector. Projected to the audio space, that vector must be
nearer to its own audio than to another's. Where images are annotated, the map is supervised too (*semi-supervised*).

**The paper's and the released code's** (ardasnck/learning_to_localize_sound_source, commit 89205e9b): VGG-16 up to
conv5_3 before its relu, frozen, 320 pixels and 20 x 20 features; audio is SoundNet's embedding of 1,000 numbers,
computed beforehand; features are pooled without normalization, only their cosines are of unit norm; distances from the
audio embedding itself, the query from its positive part; squared error of the softmax of two distances; cross-entropy
with the map of one annotator, drawn at each visit, not scaled; both terms with weight 1, means over the batch.

**Differs here.** The negative is every other audio of the batch in turn, and not one drawn from the data set: the same
loss on average, with less variance, and no other audio has to be read.

**Ours:** an audio encoder that learns (`audio`), in place of the embeddings, which `audio: {encoder: vectors}` still
takes; distances from its output then have a gradient. `sharpness`. Retrieval embeddings, which have no audio to attend
with, pool all locations evenly. An annotator's map of another size than the features is averaged to it.

**Released weights** (the file is the state dict) are of the semi-supervised form and take SoundNet embeddings only.
`soundspot.import_checkpoint(..., method="attention10k")`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.losses.contrastive import full_precision, matched_pair_maps, unit_norm
from soundspot.losses.distances import attention_cross_entropy, distance_ratio_loss, pairwise_distances
from soundspot.methods.base import Method, cosine_map, register
from soundspot.methods.option_checks import check_has_negatives, check_positive
from soundspot.models.encoders import freeze_by_default
from soundspot.models.heads import max_pool, mean_pool
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad, world_size


@register("attention10k")
class Attention10k(Method):
    """Attention10k: image features that audio attends to must be nearer to it than to other audio.

    Maps are attention: positive, and each sums to 1.

    Args:
        sharpness: factor of the attention logits; 1 as published, where the maximum is at most e times the minimum.
        supervised: weight of the cross-entropy with annotated maps (`Batch.ground_truth`); 0 leaves it out.
        signed: return the raw cosines in [-1, 1] as maps, without the relu and the softmax over locations.
        encoders: `image`, `audio` and `front_end` of `Method`; by default frozen VGG-16 of images of 320 pixels.
    """

    has_joint_space = True
    supports_ground_truth = True

    def __init__(self, sharpness: float = 1.0, supervised: float = 1.0, signed: bool = False, **encoders: Any) -> None:
        check_positive(sharpness=sharpness)
        super().__init__(**freeze_by_default(encoders, image="vgg16"))
        self.sharpness, self.supervised, self.signed = sharpness, supervised, signed
        c, d = self.image_encoder.channels, self.audio_encoder.channels
        self.query = nn.Sequential(nn.ReLU(), nn.Linear(d, d), nn.ReLU(), nn.Linear(d, c))
        self.meaning = nn.Sequential(nn.ReLU(), nn.Linear(c, c), nn.ReLU(), nn.Linear(c, d))

    def audio_features(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """Return the audio embeddings from which distances are measured: SoundNet's, or the encoder's maxima.

        Args:
            audio: (b, 1, f, t) spectrograms, or precomputed embeddings (b, 1, d, 1).

        Returns:
            (b, d) embeddings, not normalized: the maximum of each channel over frequency and time.
        """
        return max_pool(self.audio_encoder(audio))

    def logits(self, cosines: Float[Tensor, "*b h w"]) -> Float[Tensor, "*b p"]:
        """Return attention logits, the positive part of the cosines times `sharpness`, with locations flattened.

        Args:
            cosines: (..., h, w) cosines of audio queries with image features.

        Returns:
            (..., p) logits with p = h w.
        """
        return self.sharpness * F.relu(cosines).flatten(-2)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        """Encode audio as unit-norm queries.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, c) queries of unit L2 norm, in the space of the image features.
        """
        return unit_norm(self.query(self.audio_features(audio)))

    def similarity_map(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b h w"]:
        """Compute the map of each image with its own audio.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio` for b audio clips; row i belongs to image i.

        Returns:
            (b, h, w) attention, positive and with sum 1 over each map; cosines in [-1, 1] with `signed`.
        """
        cosines = cosine_map(encoded_images, encoded_audio)
        return cosines if self.signed else self.logits(cosines).softmax(dim=-1).reshape(cosines.shape)

    def embed_images(self, images: Float[Tensor, "b i H W"]) -> Float[Tensor, "b d"]:
        """Embed images for retrieval by cosine with `embed_audio`.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d) embeddings of unit L2 norm: the mean features over locations, projected to the audio space.
        """
        return unit_norm(self.meaning(mean_pool(self.image_encoder(images))))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """Embed audio for retrieval by cosine with `embed_images`.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, d) embeddings of unit L2 norm: the audio features.
        """
        return unit_norm(self.audio_features(audio))

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `distance` and, where images are annotated, `supervised`, each summed over the pairs of views.

        Both are means over samples; `supervised` counts samples without annotation as 0.

        Args:
            batch: v image views and u audio views of b samples, (v, b, 3, H, W) and (u, b, 1, f, t). Pairs in
                `false_negatives` are left out of the negatives. `ground_truth` (v, b, y, x) supervises the maps.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.

        Raises:
            RecipeError: the batch of all processes is a single sample, which has no negative.
        """
        check_has_negatives(world_size() * batch.images.shape[1])
        features = self.image_encoder(batch.images.flatten(0, 1)).unflatten(0, batch.images.shape[:2])
        audio = self.audio_features(batch.audio.flatten(0, 1))
        queries = unit_norm(self.query(audio)).unflatten(0, batch.audio.shape[:2])
        audio = audio.unflatten(0, batch.audio.shape[:2])
        logits = self.logits(matched_pair_maps(unit_norm(features, dim=2), queries)).transpose(1, 2)  # (v, u, b, p)
        attended = self.meaning(attention_pool(features, logits.softmax(dim=-1)))
        distances = pairwise_distances(attended, all_gather_with_grad(audio, 1).expand(len(features), -1, -1, -1))
        terms = {"distance": distance_ratio_loss(all_gather_with_grad(distances, 2), batch.false_negatives)}
        if batch.ground_truth is not None and self.supervised:
            target = F.adaptive_avg_pool2d(batch.ground_truth, features.shape[-2:]).flatten(-2)[:, None]
            terms["supervised"] = self.supervised * attention_cross_entropy(logits, target.expand_as(logits))
        return terms


@full_precision
def attention_pool(
    image_features: Float[Tensor, "v b c h w"], attention: Float[Tensor, "v u b p"]
) -> Float[Tensor, "v u b c"]:
    """Sum the image features over locations, weighted by the attention of each audio view on its own image.

    Args:
        image_features: (v, b, c, h, w) features.
        attention: (v, u, b, p) weights with sum 1 over p = h w.

    Returns:
        (v, u, b, c) pooled features.
    """
    return torch.einsum("vbcp,vubp->vubc", image_features.flatten(-2).to(attention.dtype), attention)
