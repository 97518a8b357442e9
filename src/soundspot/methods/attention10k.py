"""Attention10k: a sound attends to the picture, and what it attends to must mean the sound.

Senocak, Oh, Kim, Yang and Kweon, "Learning to Localize Sound Source in Visual Scenes", CVPR 2018.

The idea: a query made of the sound is compared with each place of the picture; a softmax over places of the positive
cosines is the map, and pools the places to one vector. Brought to the space of sounds, that vector must be nearer to
its own sound than to another's. Where pictures are annotated the map is taught besides (*semi-supervised*).

**The paper's and the released code's** (ardasnck/learning_to_localize_sound_source, commit 89205e9b): VGG-16 up to
conv5_3 before its relu, frozen, 320 pixels and 20 x 20 cells; a sound is SoundNet's vector of 1,000 numbers, made
beforehand; the places are pooled as they are, their cosines alone are of unit norm; distances from the sound's vector
itself, the query from its positive part; squared error of the softmax of two distances; cross-entropy with the map of
one annotator, drawn at each visit, not scaled; both terms with weight 1, means over the batch.

**Differs here.** The other sound is every other one of the batch in turn, in place of one drawn from the data set:
the same loss on average, with less chance in it, and no other sound is read for it.

**Ours:** a sound encoder that learns (`audio`), in place of the vectors, which `audio: {encoder: vectors}` still
takes; distances from what it hears have a gradient then. `sharpness`. Embeddings, where no sound may attend: of the
places pooled evenly. An annotator's map of another size than the grid is averaged to it.

**Released weights** (the file is the state dict) are read from the semi-supervised form and hear vectors alone.
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
from soundspot.models.encoders import freeze_by_default, output_channels
from soundspot.models.heads import max_pool, mean_pool
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad, world_size


@register("attention10k")
class Attention10k(Method):
    """Attention10k: what a sound attends to in its picture must be nearer to it than to other sounds.

    Maps are attention: positive, and each sums to 1.

    Args:
        sharpness: of the attention; 1 as published, where the most it can be is e times the least.
        supervised: weight of the term of annotated pictures (`Batch.truths`).
        signed: maps are the cosines, before they are cut at 0 and spread over the picture.
        encoders: `image`, `audio` and `front_end`, as every method has them; frozen VGG-16 of pictures of 320 pixels by
            default.
    """

    has_joint_space = True
    supports_ground_truth = True

    def __init__(
        self,
        sharpness: float = 1.0,
        supervised: float = 1.0,
        signed: bool = False,
        **encoders: Any,
    ) -> None:
        check_positive(sharpness=sharpness)
        super().__init__(**freeze_by_default(encoders, image="vgg16"))
        self.sharpness, self.supervised, self.signed = sharpness, supervised, signed
        seen, heard = output_channels(self.image_encoder), output_channels(self.audio_encoder)
        self.query = nn.Sequential(nn.ReLU(), nn.Linear(heard, heard), nn.ReLU(), nn.Linear(heard, seen))
        self.meaning = nn.Sequential(nn.ReLU(), nn.Linear(seen, seen), nn.ReLU(), nn.Linear(seen, heard))

    def audio_features(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """What a sound is, to be near to: SoundNet's vector, or the encoder's in its place."""
        return max_pool(self.audio_encoder(audio))

    def logits(self, cosines: Float[Tensor, "*b h w"]) -> Float[Tensor, "*b p"]:
        """Of the attention over places."""
        return self.sharpness * F.relu(cosines).flatten(-2)

    # What a localizer calls.

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        return unit_norm(self.query(self.audio_features(audio)))

    def similarity_map(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b h w"]:
        cosines = cosine_map(encoded_images, encoded_audio)
        return cosines if self.signed else self.logits(cosines).softmax(dim=-1).reshape(cosines.shape)

    def embed_images(self, images: Float[Tensor, "b i H W"]) -> Float[Tensor, "b d"]:
        return unit_norm(self.meaning(mean_pool(self.image_encoder(images))))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        return unit_norm(self.audio_features(audio))

    # What the trainer calls.

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`distance` and, where pictures are annotated, `supervised`, each summed over the pairs of views.

        Raises:
            RecipeError: a batch of one clip, which has no other sound.
        """
        check_has_negatives(world_size() * batch.images.shape[1])
        grids = self.image_encoder(batch.images.flatten(0, 1)).unflatten(0, batch.images.shape[:2])
        sounds = self.audio_features(batch.audio.flatten(0, 1))
        queries = unit_norm(self.query(sounds)).unflatten(0, batch.audio.shape[:2])
        sounds = sounds.unflatten(0, batch.audio.shape[:2])
        logits = self.logits(matched_pair_maps(unit_norm(grids, dim=2), queries)).transpose(1, 2)  # (v, u, b, p)
        found = self.meaning(attention_pool(grids, logits.softmax(dim=-1)))
        apart = pairwise_distances(found, all_gather_with_grad(sounds, 1).expand(len(grids), -1, -1, -1))
        terms = {"distance": distance_ratio_loss(all_gather_with_grad(apart, 2), batch.false_negatives)}
        if batch.ground_truth is not None and self.supervised:
            marked = F.adaptive_avg_pool2d(batch.ground_truth, grids.shape[-2:]).flatten(-2)[:, None]
            terms["supervised"] = self.supervised * attention_cross_entropy(logits, marked.expand_as(logits))
        return terms


@full_precision
def attention_pool(
    image_features: Float[Tensor, "v b c h w"], attention: Float[Tensor, "v u b p"]
) -> Float[Tensor, "v u b c"]:
    """Sum over places, weighted by what each sound attends to of its own picture."""
    return torch.einsum("vbcp,vubp->vubc", image_features.flatten(-2).to(attention.dtype), attention)
