"""DMC: visible and audible features are clustered, each by itself, and the clusters of a matching pair must meet.

Hu, Nie and Li, "Deep Multimodal Clustering for Unsupervised Audiovisual Learning", CVPR 2019.

The idea: an image holds several objects and a recording several sounds, so one embedding of either blurs them. The
locations of an image are gathered into a few clusters (an object, the background), those of a spectrogram likewise, and
each audio center is compared with the nearest image center. Where its own image has one close by and others have none,
the cluster that is met is the source.

**The paper's and the released code's** (DTaoo/Simplified_DMC, commit 312b2521, the authors' PyTorch version): two
ResNet-18 with a last stride of 1, one linear layer of each modality to 512; soft k-means of four iterations,
assignments a softmax of -30 times the Euclidean distance, first centers evenly spaced in reading order; two clusters
of an image and one of audio; matching pairs drawn together, others pushed to a distance of 5, as many of either; the
map is the assignment of each location to the cluster nearest to the audio.

**Differs here.** The negative is every other image of the batch in turn, and not one drawn from the data set: the same
loss on average, with less variance, and no other image has to be read. Distances are computed from differences, where
the code expands the square and loses what is small beside the embeddings. Locations of a spectrogram are read by
frequency and then time, there by time first, which moves the first centers of two clusters or more.

**Ours:** a single sample is refused in training, as nothing would push it away. With several audio clusters the map is
their maximum; `locate_sources` gives one map each. Embeddings: the mean of the centers, so that a small object weighs
as much as the background. The code computes the matched cluster, discards it and stores the assignments of all.

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
from soundspot.models.heads import JointProjection
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad, world_size


@register("dmc")
class DMC(Method):
    """DMC: clusters of locations of the image and of the spectrogram, brought together where they match.

    Maps are soft assignments of locations to a cluster: from 0 to 1, and near either. Clusters have no weights, so
    their numbers may be changed after training: as many of audio as a mixture has sources, and of the image one more.

    Args:
        image_clusters, audio_clusters: number of clusters of an image and of a spectrogram.
        rounds: number of iterations of the soft k-means.
        sharpness: factor of the distances in the soft assignments.
        margin: distance up to which pairs that do not match are pushed apart.
        width: dimension of the space to which local features are projected.
        encoders: keyword arguments of `Method`: `image`, `audio` (options of the encoders) and `front_end`.
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
        check_positive(image_clusters=image_clusters, audio_clusters=audio_clusters, rounds=rounds)
        check_positive(sharpness=sharpness, margin=margin, width=width)
        super().__init__(**encoders)
        self.image_clusters, self.audio_clusters, self.rounds = image_clusters, audio_clusters, rounds
        self.sharpness, self.margin = sharpness, margin
        self.space = JointProjection(self.image_encoder.channels, self.audio_encoder.channels, width)

    def cluster_image(self, encoded_images: Float[Tensor, "b c h w"]) -> SoftClusters:
        """Cluster the locations of each image.

        Args:
            encoded_images: (b, c, h, w) output of `encode_images`.

        Returns:
            Centers (b, k, c) and assignments (b, k, h w), which sum to 1 over the k clusters.

        Raises:
            RecipeError: there are more clusters than locations.
        """
        return soft_kmeans(encoded_images.flatten(2).mT, self.image_clusters, self.rounds, self.sharpness)

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Return the projected features of each location, not normalized.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, c, h, w) features.
        """
        return self.space.image(self.image_encoder(images))

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b a c"]:
        """Return the cluster centers of each spectrogram, not normalized.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, a, c) centers of a clusters.

        Raises:
            RecipeError: there are more clusters than locations of the audio features.
        """
        tokens = self.space.audio(self.audio_encoder(audio).flatten(2).mT)
        return soft_kmeans(tokens, self.audio_clusters, self.rounds, self.sharpness).centers

    def locate_sources(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b a c"]
    ) -> tuple[Float[Tensor, "b a h w"], Bool[Tensor, "b a"]]:
        """Return, for each audio cluster, the assignments to its nearest image cluster; all count as audible.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio` for b audio clips; row i belongs to image i.

        Returns:
            (b, a, h, w) assignments in [0, 1], and (b, a) bool, True everywhere.
        """
        clusters = self.cluster_image(encoded_images)
        nearest = nearest_center(clusters.centers, encoded_audio)
        maps = clusters.assignments.gather(1, nearest[..., None].expand(-1, -1, clusters.assignments.shape[2]))
        return maps.unflatten(2, encoded_images.shape[2:]), torch.ones_like(nearest, dtype=torch.bool)

    def similarity_map(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b a c"]
    ) -> Float[Tensor, "b h w"]:
        """Compute the map of each image with its own audio: the maximum over the maps of its audio clusters.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio` for b audio clips; row i belongs to image i.

        Returns:
            (b, h, w) maps in [0, 1].
        """
        return self.locate_sources(encoded_images, encoded_audio)[0].amax(dim=1)

    def differentiable_maps(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "k b a c"]
    ) -> Float[Tensor, "k b h w"]:
        """Compute minus the distance of each location to the nearest audio cluster: assignments do not tell how near.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: k times the output of `encode_audio` for b audio clips; column i belongs to image i.

        Returns:
            (k, b, h, w) maps, at most 0.
        """
        distances = torch.cdist(encoded_images.flatten(2).mT.float(), encoded_audio.float())
        return -distances.amin(dim=-1).unflatten(-1, encoded_images.shape[2:])

    def saliency(self, encoded_images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """Compute a map without audio: 1 minus the cosine of each location with the mean of the image.

        Args:
            encoded_images: output of `encode_images` for b images.

        Returns:
            (b, h, w) maps in [0, 2].
        """
        return super().saliency(unit_norm(encoded_images, dim=1))

    def embed_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Embed images for retrieval by cosine with `embed_audio`.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d) embeddings of unit L2 norm: the mean of the cluster centers, so that each cluster weighs the same.
        """
        return unit_norm(self.cluster_image(self.encode_images(images)).centers.mean(dim=1))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """Embed audio for retrieval by cosine with `embed_images`.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, d) embeddings of unit L2 norm: the mean of the cluster centers.
        """
        return unit_norm(self.encode_audio(audio).mean(dim=1))

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `margin`, mean over samples and summed over the pairs of views.

        Args:
            batch: v image views and u audio views of b samples, (v, b, 3, H, W) and (u, b, 1, f, t). Pairs in
                `false_negatives` are left out of the negatives.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.

        Raises:
            RecipeError: the batch of all processes is a single sample, which has no negative.
        """
        check_has_negatives(world_size() * batch.images.shape[1])
        image_centers = self.cluster_image(self.encode_images(batch.images.flatten(0, 1))).centers
        audio_centers = self.encode_audio(batch.audio.flatten(0, 1)).unflatten(0, batch.audio.shape[:2])
        image_centers = image_centers.unflatten(0, batch.images.shape[:2])
        distances = cluster_distances(image_centers, all_gather_with_grad(audio_centers, 1))
        return {"margin": margin_pair_loss(all_gather_with_grad(distances, 2), self.margin, batch.false_negatives)}


@full_precision
def nearest_center(image_centers: Float[Tensor, "b k c"], audio_centers: Float[Tensor, "b a c"]) -> Tensor:
    """Return the index of the image center nearest to each audio center, by Euclidean distance.

    Args:
        image_centers: (b, k, c) cluster centers of each image.
        audio_centers: (b, a, c) cluster centers of each spectrogram.

    Returns:
        (b, a) int64 indices of image centers, from 0 to k - 1.
    """
    return pairwise_distances(image_centers, audio_centers).argmin(dim=1)
