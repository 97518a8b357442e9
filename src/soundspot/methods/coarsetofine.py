"""CoarseToFine: first which classes are seen and heard, then each class' sound against each class' picture.

Qian, Hu, Dinkel, Wu, Xu and Lin, "Multiple Sound Sources Localization from Coarse to Fine", ECCV 2020.

The idea: a mixture is taken apart by class. Stage 1 learns from pseudo labels which classes a picture shows and a sound
has, and which picture and sound belong together. Each class' activation map then pools the features of its own places
and moments, so that a mixture becomes pairs of one source and one sound; stage 2 brings those together.

**The paper's and the released code's** (shvdiwnkozbw/Multi-Source-Sound-Localization, commit de67ce3, the simplified
version in its folder `new`): two ResNet-18 with stride 1 in the last stage, 256 pixels and 16 x 16 cells; a 1 x 1
convolution to 7 classes of each modality; 1024 -> 128 -> 2 on every picture with every sound, half the loss for those
of one clip; 512 -> 1024 -> 128 of each modality; activation maps without gradient; classes of a probability above 0.3;
margin 1.4; all terms with weight 1. A map is the mean over heard classes, weighted by their probability, of the
cosine's positive part.

**Differs here.** The root of a distance is cut off at 1e-3, where the code's has an infinite slope (and none at all
below 0, where rounding takes it). Stage 2 begins in the run itself (`fine`), where the code starts another run at a
tenth of the rate; its optimizer's momentum then starts afresh.

**Ours:** labels are the recipe's (`labels.source`), where the paper's come from a classifier of recordings and one of
pictures, mapped to 7 groups; their number is an option. Clips that are not labelled learn from the other terms.
Spectrograms lie with time to the right. More than one view: every term is summed over them.

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
from soundspot.models.encoders import output_channels
from soundspot.models.heads import ClassPooling, PairHead, mean_pool
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad


@register("coarsetofine")
class CoarseToFine(Method):
    """CoarseToFine: which classes are seen and heard, then each class' sound is brought to its own places.

    Codes: of a picture unit-norm features of each place; of a sound a unit vector of each class and, as its last
    number, the class' probability, (b, k, d + 1). Maps lie in [0, 1].

    Args:
        classes: k, of the labels; 7 as released.
        width: d, of the vectors that are compared, and of the hidden layer that judges pairs.
        fine: share of the run from which classes are brought together.
        there: probability above which a class is there; of a sound that has none, the most probable one is.
        margin: distance that the vectors of other clips and classes are pushed to; 2 is as far as they can be.
        encoders: `image`, `audio` and `front_end`, as every method has them.
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
        check_fraction(fine=fine_stage_start, there=class_threshold)
        super().__init__(**encoders)
        self.classes, self.fine_stage_start, self.class_threshold, self.margin = (
            classes,
            fine_stage_start,
            class_threshold,
            margin,
        )
        seen, heard = output_channels(self.image_encoder), output_channels(self.audio_encoder)
        self.image_classes, self.audio_classes = ClassPooling(seen, classes), ClassPooling(heard, classes)
        self.image_projection, self.audio_projection = _projection(seen, width), _projection(heard, width)
        self.pairs = PairHead(seen, heard, width)
        self.register_buffer("stage", torch.tensor(1))

    # What a localizer calls.

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d h w"]:
        return unit_norm(self.image_projection(self.image_encoder(images).movedim(1, -1)), dim=-1).movedim(-1, 1)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b k e"]:
        grids = self.audio_encoder(audio)
        logits, pooled = self.audio_classes(grids)
        return torch.cat([unit_norm(self.audio_projection(pooled)), logits.float().sigmoid()[..., None]], dim=-1)

    def locate_sources(
        self, encoded_images: Float[Tensor, "b d h w"], encoded_audio: Float[Tensor, "b k e"]
    ) -> tuple[Float[Tensor, "b k h w"], Bool[Tensor, "b k"]]:
        """A map of every class, and which classes the sound has: those above `there`, and the most probable one."""
        vectors, shares = encoded_audio[..., :-1], encoded_audio[..., -1]
        best = shares == shares.amax(dim=-1, keepdim=True)
        return class_maps(encoded_images, vectors), (shares > self.class_threshold) | best

    def similarity_map(
        self, encoded_images: Float[Tensor, "b d h w"], encoded_audio: Float[Tensor, "b k e"]
    ) -> Float[Tensor, "b h w"]:
        """Mean of the maps of the classes that are heard, weighted by their probability."""
        maps, heard = self.locate_sources(encoded_images, encoded_audio)
        weights = encoded_audio[..., -1] * heard
        return torch.einsum("bkhw,bk->bhw", maps, weights / weights.sum(dim=-1, keepdim=True).clamp(min=1e-10))

    # What retrieval calls.

    def embed_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b d"]:
        return unit_norm(self.image_projection(mean_pool(self.image_encoder(images))))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        return unit_norm(self.audio_projection(mean_pool(self.audio_encoder(audio))))

    # What the trainer calls.

    def on_train_step_start(self, progress: float) -> None:
        self.stage.fill_(2 if progress >= self.fine_stage_start else 1)

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`shown`, `heard` (classes of each modality), `pairs` and, in stage 2, `fine`; each summed over views.

        Raises:
            RecipeError: no labels in training, or of another number of classes.
        """
        of_pictures, of_sounds = self._labels(batch)
        grids = self.image_encoder(batch.images.flatten(0, 1)), self.audio_encoder(batch.audio.flatten(0, 1))
        views = batch.images.shape[:2], batch.audio.shape[:2]
        pictures, sounds = (mean_pool(grid).unflatten(0, shape) for grid, shape in zip(grids, views, strict=True))
        shown, seen = (x.unflatten(0, views[0]) for x in self.image_classes(grids[0]))
        heard, said = (x.unflatten(0, views[1]) for x in self.audio_classes(grids[1]))
        terms = {
            "shown": multilabel_bce(all_gather_with_grad(shown, 1), all_gather_with_grad(of_pictures)),
            "heard": multilabel_bce(all_gather_with_grad(heard, 1), all_gather_with_grad(of_sounds)),
            "pairs": balanced_pair_bce(
                all_gather_with_grad(self.pairs(pictures, all_gather_with_grad(sounds, 1)), 2), batch.false_negatives
            ),
        }
        if int(self.stage) == 2:
            seen, said = unit_norm(self.image_projection(seen)), unit_norm(self.audio_projection(said))
            of_all = [all_gather_with_grad(one, 1) for one in (seen, said, shown.sigmoid(), heard.sigmoid())]
            seen, said, shown, heard = (one[:, None] if n % 2 == 0 else one[None] for n, one in enumerate(of_all))
            there = shown > self.class_threshold, heard > self.class_threshold
            terms["fine"] = class_margin_loss(
                seen, said, *there, margin=self.margin, false_negatives=batch.false_negatives
            )
        return terms

    def _labels(self, batch: Batch) -> Float[Tensor, "2 b k"]:
        clips = batch.images.shape[1]
        if batch.labels is None and self.training:
            raise RecipeError(
                "labels.source: coarsetofine learns from class labels of pictures and sounds, and the batch has none; "
                "give a source: `category`, `clusters`, or a table"
            )
        if batch.labels is None:  # of held-out clips nobody may know them
            return batch.images.new_full((2, clips, self.classes), torch.nan)
        if batch.labels.shape[-1] != self.classes:
            raise RecipeError(
                f"method.classes: found {self.classes}, and the labels have {batch.labels.shape[-1]} classes; give that"
            )
        return batch.labels


@full_precision
def class_maps(
    image_features: Float[Tensor, "b d h w"], audio_embeddings: Float[Tensor, "b k d"]
) -> Float[Tensor, "b k h w"]:
    """Positive part of the cosine of each place with the vector of each class."""
    return F.relu(torch.einsum("bdhw,bkd->bkhw", image_features, audio_embeddings.to(image_features.dtype)))


def _projection(channels: int, width: int) -> nn.Sequential:
    layers = nn.Linear(channels, 8 * width, bias=False), nn.ReLU(inplace=True), nn.Linear(8 * width, width, bias=False)
    return nn.Sequential(*layers)
