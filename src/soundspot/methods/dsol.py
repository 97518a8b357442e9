"""DSOL: objects that sound alone are clustered into a dictionary, by which sounds of a mixture find their objects.

Hu, Qian, Jiang, Tan, Wen, Ding, Lin and Dou, "Discriminative Sounding Objects Localization via Self-supervised
Audiovisual Matching", NeurIPS 2020.

The idea, in two stages. First, on samples with one source: the cosine of each location with the audio, scaled and
squashed, is the map; its maximum says whether image and audio belong together. The features under the map are averaged
to one vector, k-means of these makes classes, and both encoders learn to classify them. Then the mean vector of each
class is a *dictionary*: its product with each location, times the map, is a map per class, and the distribution of the
visible classes must be that of the audible ones, as the first stage's audio classifier, now frozen, predicts it.

**The paper's and the released code's** (DTaoo/Discriminative-Sounding-Objects-Localization, commit 7f402070, its MUSIC
experiments): two ResNet-18 with stride 1 in the last stage; projections to 128 by two layers with relu between; maximum
of the audio features over locations; the scale begins at 5; binary cross-entropy, positives and negatives with equal
weight; the object is where the map exceeds 0.05, dilated by one cell to four sides, summed and divided by the number of
*all* locations; 11 clusters; the dictionary from those vectors without normalization; in the second stage negatives are
scored on 2 x 2 regions, the divergence is a mean over classes, and location weighs a half; softmax over classes of 3
times their maps.

**Differs here.** The negative is every other image of the batch in turn, and not one drawn: the same on average.
Location and classes are learned in every step together (`classification`), not by turns of one and three epochs with a
separate optimizer of the heads; heads begin at 0 when clusters are made, not at small random numbers. A mask's cells at
the border are dilated too. The affine scalar of the class maps begins at 1 over the largest squared norm in the
dictionary and 0, not at two random numbers from -1 to 1. Both stages are one run over one data set: the second is not
fed mixtures unless the data set has them. The number of clusters, fixed in the code, is an option (`classes`).

**Ours:** which classes of a mixture are audible: the most probable one, and those above `audible_threshold`.

**Released weights:** none.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soundspot.errors import RecipeError
from soundspot.losses.classes import distillation_divergence, matching_loss, soft_cross_entropy
from soundspot.losses.contrastive import all_pair_maps, full_precision, matched_pair_maps, unit_norm
from soundspot.methods.base import Method, cosine_map, register
from soundspot.methods.option_checks import check_fraction, check_positive
from soundspot.models.heads import max_pool, mean_pool
from soundspot.models.momentum import MomentumEncoder
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad


@register("dsol")
class DSOL(Method):
    """DSOL: single sources are localized and clustered; audible clusters then filter the visible ones.

    Maps are probabilities in both stages. Encoded images hold the projected features and, behind them, the encoder's;
    encoded audio holds the projected embedding and, behind it, the class logits.

    Args:
        classes: number of clusters; a recipe leaves it out and sets `labels.num_clusters`.
        width: dimension of the space in which locations and audio are compared.
        sharpness: initial factor of the cosines; learned.
        object_threshold: probability, in [0, 1], above which a location belongs to the object.
        classification: weight of the classification terms in the first stage.
        second_stage_start: fraction of the training run, in [0, 1], at which the second stage begins, if there are
            clusters by then.
        location: weight of the location term in the second stage.
        contrast: factor of the class maps before their softmax over classes (`locate_sources`).
        audible_threshold: probability from which on a class is audible in a mixture; the most probable class always is.
        encoders: keyword arguments of `Method`: `image`, `audio` (options of the encoders) and `front_end`.

    Attributes:
        stage: 0 before there are clusters, 1 with them, 2 supervised by the frozen first stage; saved with the weights,
            as are the dictionary (k, c) and the teacher.
    """

    has_joint_space = True
    learns_from = "clusters"
    stage: Tensor
    dictionary: Tensor

    def __init__(
        self,
        classes: int = 11,
        width: int = 128,
        sharpness: float = 5.0,
        object_threshold: float = 0.05,
        classification: float = 1.0,
        second_stage_start: float = 0.75,
        location: float = 0.5,
        contrast: float = 3.0,
        audible_threshold: float = 0.2,
        **encoders: Any,
    ) -> None:
        check_positive(classes=classes, width=width, contrast=contrast)
        check_fraction(object_threshold=object_threshold, second_stage_start=second_stage_start)
        check_fraction(audible_threshold=audible_threshold)
        super().__init__(**encoders)
        self.classes, self.width, self.object_threshold = classes, width, object_threshold
        self.second_stage_start = self.last_clustering = second_stage_start
        self.classification, self.location, self.contrast = classification, location, contrast
        self.audible_threshold = audible_threshold
        c, d = self.image_encoder.channels, self.audio_encoder.channels
        self.image_projection = nn.Sequential(nn.Conv2d(c, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1))
        self.audio_projection = nn.Sequential(nn.Linear(d, width), nn.ReLU(), nn.Linear(width, width))
        self.sharpness = nn.Parameter(torch.tensor(float(sharpness)))
        self.image_classifier, self.audio_classifier = nn.Linear(c, classes), nn.Linear(d, classes)
        self.affine = nn.Parameter(torch.tensor([1.0, 0.0]))
        self.register_buffer("dictionary", torch.zeros(classes, c))
        self.register_buffer("stage", torch.tensor(0))
        self.teacher = MomentumEncoder(self, "audio_encoder", "audio_classifier").eval()

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Encode images as projected features, followed by those of the encoder.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, width + c, h, w): `width` projected channels of unit L2 norm, then the c channels of the encoder.
        """
        features = self.image_encoder(images)
        return torch.cat([unit_norm(self.image_projection(features), dim=1), features], dim=1)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        """Encode audio as a projected embedding, followed by class logits.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, width + k): the projected embedding of unit L2 norm, then the logits of k classes, which are the
            teacher's in the second stage.
        """
        pooled = max_pool(self.audio_encoder(audio))
        logits = self.teacher_logits(audio) if self.stage == 2 else self.audio_classifier(pooled)
        return torch.cat([unit_norm(self.audio_projection(pooled)), logits], dim=1)

    def teacher_logits(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b k"]:
        """Return the class logits of the frozen audio classifier of the first stage.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, k) logits of k classes, without gradient.
        """
        modules = dict(self.teacher.named_children())
        with torch.no_grad():
            return modules["audio_classifier"](max_pool(modules["audio_encoder"](audio)))

    def similarity_map(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b h w"]:
        """Return the probability of each location of image i to sound in audio i.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio` for b audio clips; row i belongs to image i.

        Returns:
            (b, h, w) probabilities in [0, 1].
        """
        cosines = cosine_map(encoded_images[:, : self.width], encoded_audio[:, : self.width])
        return (self.sharpness * cosines).sigmoid()

    def locate_sources(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b d"]
    ) -> tuple[Float[Tensor, "b k h w"], Bool[Tensor, "b k"]]:
        """Return a map per class, softmax over classes, and which are audible; one source before there are classes.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio` for b audio clips; row i belongs to image i.

        Returns:
            (b, k, h, w) maps in [0, 1] with sum 1 over the k classes, and (b, k) bool, True where a class is audible.
            In stage 0 k is 1: the map of `similarity_map`, audible.
        """
        if self.stage == 0:
            return super().locate_sources(encoded_images, encoded_audio)
        maps = self.class_maps(encoded_images[:, self.width :], self.similarity_map(encoded_images, encoded_audio))
        probabilities = encoded_audio[:, self.width :].float().softmax(dim=-1)
        threshold = probabilities.amax(1, keepdim=True).clamp(max=self.audible_threshold)
        return (self.contrast * maps).softmax(dim=1), probabilities >= threshold

    @full_precision
    def class_maps(self, features: Float[Tensor, "b c h w"], maps: Float[Tensor, "b h w"]) -> Float[Tensor, "b k h w"]:
        """Return the product of each location with the dictionary, after an affine scalar function, times the map.

        Args:
            features: (b, c, h, w) features of the image encoder.
            maps: (b, h, w) probabilities from `similarity_map`.

        Returns:
            (b, k, h, w) class maps, of any sign.
        """
        products = torch.einsum("bchw,kc->bkhw", features.float(), self.dictionary)
        return (self.affine[0] * products + self.affine[1]) * maps[:, None]

    def saliency(self, encoded_images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """Compute a map without audio: 1 minus the cosine of each location with the mean of the image.

        Args:
            encoded_images: output of `encode_images` for b images.

        Returns:
            (b, h, w) maps in [0, 2].
        """
        return super().saliency(encoded_images[:, : self.width])

    def embed_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Embed images for retrieval by cosine with `embed_audio`.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d) embeddings of unit L2 norm: the mean of the projected features over locations.
        """
        return unit_norm(mean_pool(self.encode_images(images)[:, : self.width]))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """Embed audio for retrieval by cosine with `embed_images`.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, d) embeddings of unit L2 norm: the projected embedding.
        """
        return self.encode_audio(audio)[:, : self.width]

    # Clusters and stages.

    def object_embedding(
        self, images: Float[Tensor, "b 3 H W"], audio: Float[Tensor, "b 1 f t"]
    ) -> Float[Tensor, "b d"]:
        """Return the encoder's features under the object mask of the map, summed and divided by all locations.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, d) embeddings, not normalized. The mask is the map above `object_threshold`, dilated by one cell.
        """
        encoded = self.encode_images(images)
        mask = dilate(self.similarity_map(encoded, self.encode_audio(audio)) > self.object_threshold)
        return mean_pool(encoded[:, self.width :].float() * mask[:, None])

    @torch.no_grad()
    def set_cluster_centers(self, centers: Float[Tensor, "k d"]) -> None:
        """Set the dictionary, set both classifiers to zero, and begin stage 1.

        Cluster numbers have no meaning across clusterings, so nothing learned of them is kept.

        Args:
            centers: (k, d) mean object embedding of each of the k = `classes` clusters.

        Raises:
            RecipeError: the second stage has begun, which keeps its dictionary.
        """
        if self.stage == 2:
            raise RecipeError(
                "labels.cluster_schedule: clusters are made after the second stage begins (method.second_stage_start: "
                f"{self.second_stage_start}), which keeps its dictionary; make the last of them before"
            )
        self.dictionary.copy_(centers)
        self.stage.fill_(1)
        for classifier in (self.image_classifier, self.audio_classifier):
            for weights in classifier.parameters():
                weights.zero_()

    @torch.no_grad()
    def on_train_step_start(self, progress: float) -> None:
        """Begin the second stage at `second_stage_start`, if there are clusters, with a frozen audio classifier.

        Args:
            progress: completed fraction of the training run, in [0, 1].
        """
        if self.stage == 1 and progress >= self.second_stage_start:
            self.stage.fill_(2)
            for name, module in self.teacher.named_children():
                module.load_state_dict(self.get_submodule(name).state_dict())
            scale = 1 / self.dictionary.square().sum(1).max().clamp(min=1e-6)
            self.affine.copy_(torch.stack([scale, torch.zeros_like(self.affine[0])]))

    def train(self, mode: bool = True) -> "DSOL":
        """Set training or evaluation mode; the teacher stays in evaluation mode.

        Args:
            mode: True for training, False for evaluation.

        Returns:
            The method itself.
        """
        super().train(mode)
        self.teacher.eval()
        return self

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `location`; with clusters also `image_classes` and `audio_classes`, in the second stage `classes`.

        Each is the mean over samples, summed over views or pairs of views. The class terms of the first stage are left
        out where the batch has no labels.

        Args:
            batch: v image views and u audio views of b samples, (v, b, 3, H, W) and (u, b, 1, f, t). `labels` (2, b, k)
                are cluster labels; pairs in `false_negatives` are left out of the negatives.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.
        """
        views, b = batch.images.shape[:2]
        features = self.image_encoder(batch.images.flatten(0, 1))
        pooled = max_pool(self.audio_encoder(batch.audio.flatten(0, 1)))
        image_features = unit_norm(self.image_projection(features), dim=1).unflatten(0, (views, b))
        audio_embeddings = unit_norm(self.audio_projection(pooled)).unflatten(0, (-1, b))
        maps = all_pair_maps(image_features, audio_embeddings).unflatten(-1, features.shape[-2:])
        pairs = self.sharpness * maps
        if self.stage == 2:
            location = self.location * matching_loss(pairs, batch.false_negatives, grid_size=2)
            maps = self.sharpness * matched_pair_maps(image_features, audio_embeddings)
            return {"location": location, "classes": self.class_loss(features, maps.sigmoid(), batch.audio)}
        terms = {"location": matching_loss(pairs, batch.false_negatives)}
        if batch.labels is None or not self.stage:
            return terms
        for name, logits, labels in (
            ("image_classes", self.image_classifier(mean_pool(features)), batch.labels[0]),
            ("audio_classes", self.audio_classifier(pooled), batch.labels[1]),
        ):
            view_logits, labels = all_gather_with_grad(logits.unflatten(0, (-1, b)), 1), all_gather_with_grad(labels)
            losses = [soft_cross_entropy(logits, labels) for logits in view_logits]
            terms[name] = self.classification * torch.stack(losses).sum()
        return terms

    def class_loss(
        self, features: Float[Tensor, "n c h w"], maps: Float[Tensor, "v b u h w"], audio: Float[Tensor, "u b 1 f t"]
    ) -> Float[Tensor, ""]:
        """Compare the classes visible under the map with those the teacher predicts, summed over pairs of views.

        Args:
            features: (v * b, c, h, w) features of the image encoder, view by view.
            maps: (v, b, u, h, w) probabilities of each image view with each view of its own audio.
            audio: (u, b, 1, f, t) spectrograms, for the teacher.

        Returns:
            Scalar: the KL divergence, mean over the b samples and the k classes, summed over the pairs of views.
        """
        maps_per_audio = maps.movedim(2, 0).flatten(1, 2)  # (u, v b, h, w)
        scores = torch.stack([mean_pool(self.class_maps(features, m)) for m in maps_per_audio])
        scores = scores.unflatten(1, maps.shape[:2])  # (u, v, b, k)
        teacher = self.teacher_logits(audio.flatten(0, 1)).float().unflatten(0, audio.shape[:2])
        return distillation_divergence(scores, teacher[:, None].expand_as(scores)).mean(dim=-1).sum()


def dilate(mask: Bool[Tensor, "b h w"]) -> Bool[Tensor, "b h w"]:
    """Dilate a mask by one cell up, down, left and right.

    Args:
        mask: (b, h, w) bool masks.

    Returns:
        (b, h, w) bool masks of the same size; cells beyond the border count as False.
    """
    cells = mask.float()[:, None]
    vertical, horizontal = F.max_pool2d(cells, (3, 1), 1, (1, 0)), F.max_pool2d(cells, (1, 3), 1, (0, 1))
    return torch.maximum(vertical, horizontal)[:, 0] > 0
