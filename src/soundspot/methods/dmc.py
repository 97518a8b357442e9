"""DMC: what is seen and what is heard are clustered, each by itself, and the clusters of one clip must meet.

Hu, Nie and Li, "Deep Multimodal Clustering for Unsupervised Audiovisual Learning", CVPR 2019.

The idea: a picture holds several things and a recording several sounds, so one vector of either is a muddle. The places
of a picture are gathered to a few clusters (a thing, the background), those of a spectrogram likewise, and each of the
sound's centres is compared with the nearest of the picture's. Where its own picture has one close by and others have
none, the cluster that is met is the source.

**The paper's and the released code's** (DTaoo/Simplified_DMC, commit 312b2521, the authors' PyTorch version): two
ResNet-18 with a last stride of 1, one linear layer of each modality to 512; soft k-means of four rounds, shares a
softmax of -30 times the Euclidean distance, first centres evenly spaced in reading order; two clusters of a picture and
one of a sound; own clips drawn together, others pushed to a distance of 5, as many of either; the map is what each
place shares in the cluster nearest to the sound.

**Differs here.** The other picture is every other one of the batch in turn, in place of one drawn from the data set:
the same loss on average, with less chance in it, and no other picture is read for it. Distances are computed from
differences, where the code expands the square and loses what is small beside the vectors. Places of a spectrogram are
read by frequency and then time, there by time first, which moves the first centres of two clusters or more.

**Ours:** one clip is refused in training, as nothing would push it away. Of several clusters of a sound, the map is the
largest of theirs; `sources` gives each one's. Embeddings: the mean of the centres, so that a small thing weighs as much
as the background. The code finds the matched cluster, throws it away and stores the shares of all.

**The older form** (DTaoo/DMC, Keras, VGG and VGGish, one layer shared by both modalities and a sum of cosines) is not
built. No weights were released of either.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from soundspot.losses.clusters import SoftClusters, cluster_distances, soft_kmeans
from soundspot.losses.contrastive import full_precision, unit_norm
from soundspot.losses.distances import margin_pair_loss, pairwise_distances
from soundspot.methods.base import Method, register
from soundspot.methods.option_checks import check_has_negatives, check_positive
from soundspot.models.encoders import output_channels
from soundspot.models.heads import JointProjection
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad, world_size


@register("dmc")
class DMC(Method):
    """DMC: clusters of places in the picture and in the spectrogram, brought together where they are of one clip.

    Maps are shares of places in a cluster: from 0 to 1, and near either. Clusters have no weights, so their numbers may
    be others when a trained model is asked: as many of a sound as a mixture has sources, and of a picture one more.

    Args:
        seen, heard: clusters of a picture and of a sound.
        rounds: of the k-means. sharpness: of its shares, times a distance.
        margin: how far others are pushed apart.
        width: of the space that local features are brought to.
        encoders: `image`, `audio` and `front_end`, as every method has them.
    """

    has_joint_space = True

    def __init__(
        self,
        image_clusters: int = 2,
        audio_clusters: int = 1,
        rounds: int = 4,
        sharpness: float = 30.0,
        margin: float = 5.0,
        width: int = 512,
        **encoders: Any,
    ) -> None:
        check_positive(
            seen=image_clusters, heard=audio_clusters, rounds=rounds, sharpness=sharpness, margin=margin, width=width
        )
        super().__init__(**encoders)
        self.image_clusters, self.audio_clusters, self.rounds = image_clusters, audio_clusters, rounds
        self.sharpness, self.margin = sharpness, margin
        self.space = JointProjection(output_channels(self.image_encoder), output_channels(self.audio_encoder), width)

    def cluster_features(self, tokens: Float[Tensor, "b n c"], k: int) -> SoftClusters:
        """k clusters of local features."""
        return soft_kmeans(tokens, k, self.rounds, self.sharpness)

    def cluster_image(self, encoded_images: Float[Tensor, "b c h w"]) -> SoftClusters:
        """Of the places of each picture."""
        return self.cluster_features(encoded_images.flatten(2).mT, self.image_clusters)

    # What a localizer calls.

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Features of each place, of any norm."""
        return self.space.image(self.image_encoder(images))

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b a c"]:
        """The centres of each sound, of any norm."""
        tokens = self.space.audio(self.audio_encoder(audio).flatten(2).mT)
        return self.cluster_features(tokens, self.audio_clusters).centers

    def locate_sources(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b a c"]
    ) -> tuple[Float[Tensor, "b a h w"], Bool[Tensor, "b a"]]:
        """For each cluster of the sound, what places share in the nearest of the picture's; all are heard."""
        found = self.cluster_image(encoded_images)
        nearest = nearest_center(found.centers, encoded_audio)
        maps = found.assignments.gather(1, nearest[..., None].expand(-1, -1, found.assignments.shape[2]))
        return maps.unflatten(2, encoded_images.shape[2:]), torch.ones_like(nearest, dtype=torch.bool)

    def similarity_map(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b a c"]
    ) -> Float[Tensor, "b h w"]:
        return self.locate_sources(encoded_images, encoded_audio)[0].amax(dim=1)

    def saliency(self, encoded_images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        return super().saliency(unit_norm(encoded_images, dim=1))

    def embed_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        return unit_norm(self.cluster_image(self.encode_images(images)).centers.mean(dim=1))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        return unit_norm(self.encode_audio(audio).mean(dim=1))

    # What the trainer calls.

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`margin`, summed over the pairs of views.

        Raises:
            RecipeError: a batch of one clip, which has no other picture.
        """
        check_has_negatives(world_size() * batch.images.shape[1])
        seen = self.cluster_image(self.encode_images(batch.images.flatten(0, 1))).centers
        heard = self.encode_audio(batch.audio.flatten(0, 1))
        seen, heard = (one.unflatten(0, (-1, len(batch.index))) for one in (seen, heard))
        apart = all_gather_with_grad(cluster_distances(seen, all_gather_with_grad(heard, 1)), 2)
        return {"margin": margin_pair_loss(apart, self.margin, batch.false_negatives)}


@full_precision
def nearest_center(image_centers: Float[Tensor, "b k c"], audio_centers: Float[Tensor, "b a c"]) -> Tensor:
    """(b, a) which of the picture's centres is the nearest to each of the sound's."""
    return pairwise_distances(image_centers, audio_centers).argmin(dim=1)
