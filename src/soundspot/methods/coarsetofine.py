"""CoarseToFine: first which classes are visible and audible, then each class's audio against each class's features.

Qian, Hu, Dinkel, Wu, Xu and Lin, "Multiple Sound Sources Localization from Coarse to Fine", ECCV 2020.

The idea: a mixture is decomposed by class. Stage 1 learns from pseudo-labels which classes an image shows and an audio
clip contains, and which image and audio belong together. Each class activation map then pools the features of its own
locations and times, so that a mixture becomes pairs of one source and one sound; stage 2 aligns those.

**The paper's and the released code's** (shvdiwnkozbw/Multi-Source-Sound-Localization, commit de67ce3, the simplified
version in its folder `new`): two ResNet-18 with stride 1 in the last stage, 256 pixels and 16 x 16 features; a 1 x 1
convolution to 7 classes of each modality; 1024 -> 128 -> 2 on every image with every audio, half the loss for matching
pairs; 512 -> 1024 -> 128 of each modality; activation maps without gradient; classes of a probability above 0.3; margin
1.4; all terms with weight 1. A map is the mean over audible classes, weighted by their probability, of the cosine's
positive part.

**Differs here.** The root of a distance is cut off at 1e-3, where the code's has an infinite slope (and none at all
below 0, where rounding takes it). Stage 2 begins in the run itself (`fine_stage_start`), where the code starts another
run at a tenth of the rate; its optimizer's momentum then starts afresh.

**Ours:** labels are the recipe's (`labels.source`), where the paper's come from a classifier of audio and one of
images, mapped to 7 groups; their number is an option. Samples without labels learn from the other terms. Spectrograms
have time on the last axis. With more than one view, every term is summed over them.

**Released weights:** none of this version.
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soundspot.errors import RecipeError
from soundspot.losses.classes import balanced_pair_bce, class_margin_loss, multilabel_bce
from soundspot.losses.contrastive import full_precision, unit_norm
from soundspot.methods.base import Method, register
from soundspot.methods.option_checks import check_fraction, check_positive
from soundspot.models.heads import ClassPooling, PairHead, mean_pool
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad


@register("coarsetofine")
class CoarseToFine(Method):
    """CoarseToFine: which classes are visible and audible, then each class's audio is aligned with its own features.

    Encoded images are unit-norm features at each location; encoded audio is a unit-norm embedding of each class and, as
    its last number, the probability of the class, (b, k, d + 1). Maps lie in [0, 1].

    Args:
        classes: number of classes of the labels, k; 7 as released.
        width: dimension d of the class embeddings, and of the hidden layer of the pair classifier.
        fine_stage_start: fraction of the training run, in [0, 1], at which stage 2 begins.
        class_threshold: probability above which a class is present; the most probable class of audio always is.
        margin: distance up to which embeddings of other samples and classes are pushed apart; unit vectors are at most
            2 apart.
        encoders: keyword arguments of `Method`: `image`, `audio` (options of the encoders) and `front_end`.
    """

    has_joint_space = True
    learns_from: ClassVar = "labels"
    matches_classes = True
    stage: Tensor

    def __init__(
        self,
        classes: int = 7,
        width: int = 128,
        fine_stage_start: float = 0.5,
        class_threshold: float = 0.3,
        margin: float = 1.4,
        **encoders: Any,
    ) -> None:
        check_positive(classes=classes, width=width, margin=margin)
        check_fraction(fine_stage_start=fine_stage_start, class_threshold=class_threshold)
        super().__init__(**encoders)
        self.classes, self.margin = classes, margin
        self.fine_stage_start, self.class_threshold = fine_stage_start, class_threshold
        c, d = self.image_encoder.channels, self.audio_encoder.channels
        self.image_classes, self.audio_classes = ClassPooling(c, classes), ClassPooling(d, classes)
        self.image_projection, self.audio_projection = _projection(c, width), _projection(d, width)
        self.pairs = PairHead(c, d, width)
        self.register_buffer("stage", torch.tensor(1))

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d h w"]:
        """Encode images as unit-norm features at each location.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d, h, w) features of unit L2 norm over d.
        """
        return unit_norm(self.image_projection(self.image_encoder(images).movedim(1, -1)), dim=-1).movedim(-1, 1)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b k e"]:
        """Encode audio as a unit-norm embedding and a probability of each class.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, k, d + 1): the class embedding of unit L2 norm, then the probability of the class in [0, 1].
        """
        logits, pooled = self.audio_classes(self.audio_encoder(audio))
        return torch.cat([unit_norm(self.audio_projection(pooled)), logits.float().sigmoid()[..., None]], dim=-1)

    def locate_sources(
        self, encoded_images: Float[Tensor, "b d h w"], encoded_audio: Float[Tensor, "b k e"]
    ) -> tuple[Float[Tensor, "b k h w"], Bool[Tensor, "b k"]]:
        """Return a map per class, and which classes are audible: those above the threshold, and the most probable.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio` for b audio clips; row i belongs to image i.

        Returns:
            (b, k, h, w) maps in [0, 1], and (b, k) bool, True where a class is audible.
        """
        embeddings, probabilities = encoded_audio[..., :-1], encoded_audio[..., -1]
        is_best = probabilities == probabilities.amax(dim=-1, keepdim=True)
        return class_maps(encoded_images, embeddings), (probabilities > self.class_threshold) | is_best

    def similarity_map(
        self, encoded_images: Float[Tensor, "b d h w"], encoded_audio: Float[Tensor, "b k e"]
    ) -> Float[Tensor, "b h w"]:
        """Return the mean of the maps of the audible classes, weighted by their probability.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio` for b audio clips; row i belongs to image i.

        Returns:
            (b, h, w) maps in [0, 1].
        """
        maps, is_audible = self.locate_sources(encoded_images, encoded_audio)
        weights = encoded_audio[..., -1] * is_audible
        return torch.einsum("bkhw,bk->bhw", maps, weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-10))

    def embed_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        """Embed images for retrieval by cosine with `embed_audio`.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d) embeddings of unit L2 norm: the projection of the features' mean over locations.
        """
        return unit_norm(self.image_projection(mean_pool(self.image_encoder(images))))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """Embed audio for retrieval by cosine with `embed_images`.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, d) embeddings of unit L2 norm: the projection of the audio features' mean over frequency and time.
        """
        return unit_norm(self.audio_projection(mean_pool(self.audio_encoder(audio))))

    def on_train_step_start(self, progress: float) -> None:
        """Set the stage: 2 from `fine_stage_start` on, else 1.

        Args:
            progress: completed fraction of the training run, in [0, 1].
        """
        self.stage.fill_(2 if progress >= self.fine_stage_start else 1)

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `image_classes`, `audio_classes`, `pairs` and, in stage 2, `fine`; each is summed over views.

        `image_classes` and `audio_classes` are means over classes and labeled samples, `pairs` and `fine` means over
        the pairs of samples.

        Args:
            batch: v image views and u audio views of b samples, (v, b, 3, H, W) and (u, b, 1, f, t). `labels` (2, b, k)
                are class probabilities; pairs in `false_negatives` are left out of the negatives.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.

        Raises:
            RecipeError: the batch has no labels in training mode, or labels of another number of classes.
        """
        image_labels, audio_labels = self._labels(batch)
        image_features = self.image_encoder(batch.images.flatten(0, 1))
        audio_features = self.audio_encoder(batch.audio.flatten(0, 1))
        image_views, audio_views = batch.images.shape[:2], batch.audio.shape[:2]
        images = mean_pool(image_features).unflatten(0, image_views)
        audio = mean_pool(audio_features).unflatten(0, audio_views)
        image_logits, image_pooled = (x.unflatten(0, image_views) for x in self.image_classes(image_features))
        audio_logits, audio_pooled = (x.unflatten(0, audio_views) for x in self.audio_classes(audio_features))
        terms = {
            "image_classes": multilabel_bce(all_gather_with_grad(image_logits, 1), all_gather_with_grad(image_labels)),
            "audio_classes": multilabel_bce(all_gather_with_grad(audio_logits, 1), all_gather_with_grad(audio_labels)),
            "pairs": balanced_pair_bce(
                all_gather_with_grad(self.pairs(images, all_gather_with_grad(audio, 1)), 2), batch.false_negatives
            ),
        }
        if int(self.stage) == 2:
            terms["fine"] = class_margin_loss(
                all_gather_with_grad(unit_norm(self.image_projection(image_pooled)), 1)[:, None],
                all_gather_with_grad(unit_norm(self.audio_projection(audio_pooled)), 1)[None],
                all_gather_with_grad(image_logits.sigmoid(), 1)[:, None] > self.class_threshold,
                all_gather_with_grad(audio_logits.sigmoid(), 1)[None] > self.class_threshold,
                self.margin,
                batch.false_negatives,
            )
        return terms

    def _labels(self, batch: Batch) -> Float[Tensor, "2 b k"]:
        if batch.labels is None and self.training:
            raise RecipeError(
                "labels.source: coarsetofine learns from class labels of images and audio, and the batch has none; "
                "give a source: `category`, `clusters`, or a table"
            )
        if batch.labels is None:  # a held-out set may have none
            return batch.images.new_full((2, batch.images.shape[1], self.classes), torch.nan)
        if batch.labels.shape[-1] != self.classes:
            raise RecipeError(
                f"method.classes: found {self.classes}, and the labels have {batch.labels.shape[-1]} classes; give that"
            )
        return batch.labels


@full_precision
def class_maps(
    image_features: Float[Tensor, "b d h w"], class_embeddings: Float[Tensor, "b k d"]
) -> Float[Tensor, "b k h w"]:
    """Return the positive part of the cosine of each location with the embedding of each class.

    Args:
        image_features: (b, d, h, w) features of unit L2 norm over d.
        class_embeddings: (b, k, d) embeddings of unit L2 norm.

    Returns:
        (b, k, h, w) maps in [0, 1].
    """
    return F.relu(torch.einsum("bdhw,bkd->bkhw", image_features, class_embeddings.to(image_features.dtype)))


def _projection(channels: int, width: int) -> nn.Sequential:
    layers = nn.Linear(channels, 8 * width, bias=False), nn.ReLU(inplace=True), nn.Linear(8 * width, width, bias=False)
    return nn.Sequential(*layers)
