"""LCBM: a network that learns to classify sounds has learned where they are. Learns from class labels.

Senocak, Ryu, Kim and Kweon, "Less Can Be More: Sound Source Localization With a Classification Model", WACV 2022.

The idea: nothing is trained to localize. An image and its audio are classified together, and the locations of the image
whose features resemble the audio embedding are where it comes from: a shared class draws both to one direction.

**It is label-supervised**: published with VGGSound's 309 classes. Its numbers are not comparable with those of
self-supervised methods without saying so.

**The paper's**, as far as the facts at hand go: one network for each modality, a joint classifier, cross-entropy, and
the similarity of the audio embedding with the image features as the map.

**Guessed**, for no code was released: ResNet-18 with stride 1 in the last stage; the joint embedding, which is the mean
of both modalities' unit-norm embeddings (`joint`) before one linear layer; the temperature; front end (LVS's), batch,
schedule and length. `joint: each` classifies both by the same layer, each by itself, in place of their mean.

**Not here:** choosing the frame of a video that is most similar to its audio.
"""

from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.errors import RecipeError
from soundspot.losses.classes import soft_cross_entropy
from soundspot.losses.contrastive import unit_norm
from soundspot.methods.base import Method, register
from soundspot.methods.option_checks import check_choice, check_positive
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad

Joint = Literal["mean", "each"]


@register("lcbm")
class LCBM(Method):
    """LCBM: a classifier of images with their audio, trained on class labels, that localizes without further training.

    Args:
        classes: number of classes; a recipe leaves it out, since its labels say it.
        tau: temperature, by which embeddings are divided before the classifier.
        joint: input of the classifier: the `mean` of the image and the audio embedding, or `each` by itself.
        encoders: keyword arguments of `Method`: `image`, `audio` (options of the encoders) and `front_end`.
    """

    front_end_preset = "lvs"
    learns_from = "labels"

    def __init__(self, classes: int = 309, tau: float = 0.1, joint: Joint = "mean", **encoders: Any) -> None:
        check_positive(classes=classes, tau=tau)
        check_choice(get_args(Joint), joint=joint)
        super().__init__(**encoders)
        self.classes, self.tau, self.joint = classes, tau, joint
        self.classifier = nn.Linear(self.image_encoder.channels, classes)

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `classes`, the mean cross-entropy of labeled samples, summed over the pairs of views.

        With `joint: each` it is the mean of the losses of both modalities. With `joint: mean` labels are the mean of
        both modalities' labels, or those of a single modality where the other has none.

        Args:
            batch: v image views and u audio views of b samples, (v, b, 3, H, W) and (u, b, 1, f, t). `labels` (2, b, k)
                are class probabilities of images and audio, in [0, 1].

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.

        Raises:
            RecipeError: the batch has no labels.
        """
        if batch.labels is None:
            raise RecipeError(
                "labels.source: method 'lcbm' learns from class labels, and this batch has none; give them"
            )
        features, audio = self.encode(batch)
        images = unit_norm(features.mean(dim=(-2, -1)))
        if self.joint == "each":
            image_loss, audio_loss = map(self.classification_loss, (images, audio), batch.labels)
            return {"classes": torch.stack([image_loss * len(audio), audio_loss * len(images)]).sum() / 2}
        # Where the label of one modality is unknown, that of the other is the sample's.
        labels = torch.where(batch.labels.isnan(), batch.labels.flip(0), batch.labels).mean(dim=0)
        return {"classes": self.classification_loss((images[:, None] + audio).flatten(0, 1) / 2, labels)}

    def classification_loss(
        self, embeddings: Float[Tensor, "v b c"], labels: Float[Tensor, "b k"]
    ) -> Float[Tensor, ""]:
        """Classify embeddings and compute the cross-entropy, mean over labeled samples and summed over views.

        Args:
            embeddings: (v, b, c) embeddings of unit L2 norm or below.
            labels: (b, k) class probabilities in [0, 1], normalized to sum 1 here; rows of nan or zeros have no label
                and are left out.

        Returns:
            Scalar; 0 where no sample of any process has a label.
        """
        logits = all_gather_with_grad(self.classifier(embeddings / self.tau), 1)
        labels = all_gather_with_grad(labels)
        return torch.stack([soft_cross_entropy(view, labels) for view in logits]).sum()
