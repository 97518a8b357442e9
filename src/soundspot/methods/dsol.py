"""DSOL: objects that sound alone are clustered to a dictionary, by which sounds of a mixture find theirs.

Hu, Qian, Jiang, Tan, Wen, Ding, Lin and Dou, "Discriminative Sounding Objects Localization via Self-supervised
Audiovisual Matching", NeurIPS 2020.

The idea, in two stages. First, of clips with one source: each place's cosine with the sound, scaled and squashed, is
the map; its maximum says whether picture and sound belong together. What the map shows is averaged to one vector,
k-means of these makes classes, and both encoders learn to tell them. Then the mean vector of each class is a
*dictionary*: its product with each place, times the map, is a map for each class, and the classes that are seen must be
distributed like those that the first stage's sound classifier, now frozen, hears.

**The paper's and the released code's** (DTaoo/Discriminative-Sounding-Objects-Localization, commit 7f402070, its MUSIC
experiments): two ResNet-18 with stride 1 in the last stage; projections to 128 by two layers with relu between; largest
value of the sound's features over places; the scale begins at 5; binary cross-entropy, positives and negatives alike;
the object is where the map exceeds 0.05, grown by one cell to four sides, summed and divided by *all* places; 11
clusters; the dictionary from those vectors as they are; in the second stage negatives are asked in 2 x 2 parts, the
divergence is a mean over classes, and location weighs a half; softmax over classes of 3 times their maps.

**Differs here.** The negative is every other picture of the batch in turn, in place of one drawn: the same on average.
Location and classes are learned in every step together (`classification`), not by turns of one and three epochs with an
optimizer of the heads' own; heads begin at 0 where clusters are made, not at small random numbers. A mask's cells at
the border grow too. The affine scalar of the class maps begins at 1 over the largest squared norm in the dictionary and
0, not at two random numbers from -1 to 1. Both stages are one run over one data set: the second is not fed mixtures
unless the data set has them. The constructor's clusters, which the code's do not accept, are an option (`classes`).

**Ours:** which classes of a mixture are heard: the likeliest, and those above `heard`.

**Released weights:** none.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soundspot.errors import RecipeError
from soundspot.losses.classes import distillation_divergence, soft_cross_entropy
from soundspot.losses.contrastive import all_pair_maps, full_precision, matched_pair_maps, unit_norm
from soundspot.losses.matching import matching_loss
from soundspot.methods.base import Method, cosine_map, register
from soundspot.methods.option_checks import check_fraction, check_positive
from soundspot.models.encoders import output_channels
from soundspot.models.heads import max_pool, mean_pool
from soundspot.models.momentum import MomentumEncoder
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad


@register("dsol")
class DSOL(Method):
    """DSOL: single sources are localised and clustered; what is heard of the clusters filters what is seen of them.

    Maps are probabilities in both stages. A code of a picture holds its projected and its plain features, a code of a
    sound its projected vector and the logits of its classes.

    Args:
        classes: how many clusters; a recipe leaves it out, since its `labels.clusters` tell.
        width: of the space of the map. sharpness: what cosines are multiplied with at first; learned.
        above: probability above which a place shows the object.
        classification: weight of the classes in the first stage.
        second: share of the run at which the second stage begins, if there are clusters by then.
        location: weight of the location in the second stage.
        contrast: of the class maps, before their softmax over classes (`sources`).
        heard: probability above which a class is heard in a mixture.
        encoders: `image`, `audio` and `front_end`, as every method has them.

    Attributes:
        stage: 0 before there are clusters, 1 with them, 2 taught by the frozen first stage; travels with the weights,
            as do the dictionary (k, c) and the teacher.
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
        check_fraction(above=object_threshold, second=second_stage_start, heard=audible_threshold)
        super().__init__(**encoders)
        self.classes, self.width, self.object_threshold, self.second_stage_start = (
            classes,
            width,
            object_threshold,
            second_stage_start,
        )
        self.last_clustering = second_stage_start
        self.classification, self.location, self.contrast, self.audible_threshold = (
            classification,
            location,
            contrast,
            audible_threshold,
        )
        seen, heard_channels = output_channels(self.image_encoder), output_channels(self.audio_encoder)
        self.image_projection = nn.Sequential(nn.Conv2d(seen, width, 1), nn.ReLU(), nn.Conv2d(width, width, 1))
        self.audio_projection = nn.Sequential(nn.Linear(heard_channels, width), nn.ReLU(), nn.Linear(width, width))
        self.sharpness = nn.Parameter(torch.tensor(float(sharpness)))
        self.image_classifier, self.audio_classifier = nn.Linear(seen, classes), nn.Linear(heard_channels, classes)
        self.affine = nn.Parameter(torch.tensor([1.0, 0.0]))
        self.register_buffer("dictionary", torch.zeros(classes, seen))
        self.register_buffer("stage", torch.tensor(0))
        self.teacher = MomentumEncoder(self, "audio_encoder", "heard_class").eval()

    # Codes.

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        grid = self.image_encoder(images)
        return torch.cat([unit_norm(self.image_projection(grid), dim=1), grid], dim=1)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        heard = max_pool(self.audio_encoder(audio))
        logits = self.teacher_logits(audio) if self.stage == 2 else self.audio_classifier(heard)
        return torch.cat([unit_norm(self.audio_projection(heard)), logits], dim=1)

    def teacher_logits(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b k"]:
        """Logits of the frozen first stage's classes of sounds."""
        parts = dict(self.teacher.named_children())
        with torch.no_grad():
            return parts["heard_class"](max_pool(parts["audio_encoder"](audio)))

    def logits(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b h w"]:
        """Of each place of picture i with sound i."""
        return self.sharpness * cosine_map(encoded_images[:, : self.width], encoded_audio[:, : self.width])

    def similarity_map(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b d"]
    ) -> Float[Tensor, "b h w"]:
        return self.logits(encoded_images, encoded_audio).sigmoid()

    def locate_sources(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b d"]
    ) -> tuple[Float[Tensor, "b k h w"], Bool[Tensor, "b k"]]:
        """A map of each class, softmax over classes, and which of them are heard; one source before there are any."""
        if self.stage == 0:
            return super().locate_sources(encoded_images, encoded_audio)
        maps = self.class_maps(encoded_images[:, self.width :], self.similarity_map(encoded_images, encoded_audio))
        probable = encoded_audio[:, self.width :].float().softmax(dim=-1)
        return (self.contrast * maps).softmax(dim=1), probable >= probable.amax(1, keepdim=True).clamp(
            max=self.audible_threshold
        )

    @full_precision
    def class_maps(
        self, image_features: Float[Tensor, "b c h w"], maps: Float[Tensor, "b h w"]
    ) -> Float[Tensor, "b k h w"]:
        """Each place's product with the dictionary, scaled and shifted by one number each, times the map."""
        products = torch.einsum("bchw,kc->bkhw", image_features.float(), self.dictionary)
        return (self.affine[0] * products + self.affine[1]) * maps[:, None]

    def saliency(self, encoded_images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        return super().saliency(encoded_images[:, : self.width])

    def embed_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        return unit_norm(mean_pool(self.encode_images(images)[:, : self.width]))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        return self.encode_audio(audio)[:, : self.width]

    # Clusters and stages.

    def object_embedding(
        self, images: Float[Tensor, "b 3 H W"], audio: Float[Tensor, "b 1 f t"]
    ) -> Float[Tensor, "b d"]:
        """Plain features where the map shows the object, summed over its cells and divided by all."""
        codes = self.encode_images(images)
        shown = dilate(self.similarity_map(codes, self.encode_audio(audio)) > self.object_threshold)
        return mean_pool(codes[:, self.width :].float() * shown[:, None])

    @torch.no_grad()
    def set_cluster_centers(self, centers: Float[Tensor, "k d"]) -> None:
        """The dictionary; class heads begin anew, as numbers of clusters mean nothing."""
        if self.stage == 2:
            raise RecipeError(
                f"labels.at: clusters are made after the second stage begins (method.second: {self.second_stage_start}), which "
                "keeps its dictionary; make the last of them before"
            )
        self.dictionary.copy_(centers)
        self.stage.fill_(1)
        for head in (self.image_classifier, self.audio_classifier):
            for weights in head.parameters():
                weights.zero_()

    @torch.no_grad()
    def on_train_step_start(self, progress: float) -> None:
        if self.stage == 1 and progress >= self.second_stage_start:
            self.stage.fill_(2)
            for name, part in self.teacher.named_children():
                part.load_state_dict(self.get_submodule(name).state_dict())
            self.affine.copy_(
                torch.stack(
                    [1 / self.dictionary.square().sum(1).max().clamp(min=1e-6), torch.zeros_like(self.affine[0])]
                )
            )

    def train(self, mode: bool = True) -> "DSOL":
        """The teacher stays in evaluation mode."""
        super().train(mode)
        self.teacher.eval()
        return self

    # Losses.

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`location`; beside it `seen_classes` and `heard_classes` of clusters, then `classes` in the second stage."""
        views, b = len(batch.images), batch.images.shape[1]
        plain = self.image_encoder(batch.images.flatten(0, 1))
        heard = max_pool(self.audio_encoder(batch.audio.flatten(0, 1)))
        grids = unit_norm(self.image_projection(plain), dim=1).unflatten(0, (views, b))
        vectors = unit_norm(self.audio_projection(heard)).unflatten(0, (-1, b))
        pairs = self.sharpness * all_pair_maps(grids, vectors).unflatten(-1, plain.shape[-2:])
        if self.stage == 2:
            location = self.location * matching_loss(pairs, batch.false_negatives, grid_size=2)
            maps = self.sharpness * matched_pair_maps(grids, vectors)
            return {"location": location, "classes": self.filtered_class_loss(plain, maps.sigmoid(), batch.audio)}
        terms = {"location": matching_loss(pairs, batch.false_negatives)}
        if batch.labels is None or not self.stage:
            return terms
        for name, logits, labels in (
            ("seen_classes", self.image_classifier(mean_pool(plain)), batch.labels[0]),
            ("heard_classes", self.audio_classifier(heard), batch.labels[1]),
        ):
            named = all_gather_with_grad(logits.unflatten(0, (-1, b)), 1)
            each = [soft_cross_entropy(one, all_gather_with_grad(labels)) for one in named]
            terms[name] = self.classification * torch.stack(each).sum()
        return terms

    def filtered_class_loss(
        self, plain: Float[Tensor, "n c h w"], maps: Float[Tensor, "v b u h w"], audio: Float[Tensor, "u b 1 f t"]
    ) -> Float[Tensor, ""]:
        """Classes that are seen where it sounds against those that the teacher hears, summed over pairs of views."""
        per_sound = maps.movedim(2, 0).flatten(1, 2)  # (u, v b, h, w)
        scores = torch.stack([mean_pool(self.class_maps(plain, one)) for one in per_sound])
        teacher = self.teacher_logits(audio.flatten(0, 1)).float().unflatten(0, audio.shape[:2])
        parted = scores.unflatten(1, maps.shape[:2])  # (u, v, b, k)
        return distillation_divergence(parted, teacher[:, None].expand_as(parted)).mean(dim=-1).sum()


def dilate(mask: Bool[Tensor, "b h w"]) -> Bool[Tensor, "b h w"]:
    """A mask with the four neighbours of each of its cells."""
    cells = mask.float()[:, None]
    up, across = F.max_pool2d(cells, (3, 1), 1, (1, 0)), F.max_pool2d(cells, (1, 3), 1, (0, 1))
    return torch.maximum(up, across)[:, 0] > 0
