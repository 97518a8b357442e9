"""LCBM: a network that learns to name what sounds has learned where it is. Learns from class labels.

Senocak, Ryu, Kim and Kweon, "Less Can Be More: Sound Source Localization With a Classification Model", WACV 2022.

The idea: nothing is trained to localise. A picture and its sound are classified together, and the places of the picture
whose features are like the sound's are where it comes from: a class that both must tell draws both to one direction.

**It is label-supervised**: published, by VGGSound's 309 classes. Its numbers are not to
be read beside those of self-supervised methods without saying so.

**The paper's**, as far as the facts at hand go: one network for each modality, a joint classifier, cross-entropy, and
the likeness of the sound's vector with the picture's places as the map.

**Guessed**, for no code was released: ResNet-18 with stride 1 in the last stage; the joint vector, which is the mean of
both modalities' unit vectors (`joint`) before one linear layer; the temperature; front end (LVS's), batch, schedule and
length. `joint: each` classifies both by the same layer, each by itself, in place of their mean.

**Not here:** choosing the frame of a video that is most like its sound.
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
from soundspot.models.encoders import output_channels
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad

Joint = Literal["mean", "each"]


@register("lcbm")
class LCBM(Method):
    """LCBM: a classifier of pictures with their sounds, taught by class labels, that localises untaught.

    Args:
        classes: how many; a recipe leaves it out, since its labels tell.
        tau: temperature: the classifier sees the joint vector over tau.
        joint: what is classified: the `mean` of the picture's and the sound's vector, or `each` by itself.
        encoders: `image`, `audio` and `front_end`, as every method has them.
    """

    learns_from = "labels"

    def __init__(self, classes: int = 309, tau: float = 0.1, joint: Joint = "mean", **encoders: Any) -> None:
        check_positive(classes=classes, tau=tau)
        check_choice(get_args(Joint), joint=joint)
        super().__init__(**encoders)
        self.classes, self.tau, self.joint = classes, tau, joint
        self.classifier = nn.Linear(output_channels(self.image_encoder), classes)

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """`classes`, summed over the pairs of views; in `each`, the mean of both modalities'."""
        if batch.labels is None:
            raise RecipeError(
                "labels.source: method 'lcbm' learns from class labels, and this batch has none; give them"
            )
        grids, vectors = self.encode(batch)
        seen, heard = unit_norm(grids.mean(dim=(-2, -1))), vectors
        if self.joint == "each":
            terms = [
                self.classification_loss(seen, batch.labels[0]) * len(heard),
                self.classification_loss(heard, batch.labels[1]) * len(seen),
            ]
            return {"classes": torch.stack(terms).sum() / 2}
        # Where one modality's label is not known, the other's is the clip's.
        both = torch.where(batch.labels.isnan(), batch.labels.flip(0), batch.labels).mean(dim=0)
        return {"classes": self.classification_loss((seen[:, None] + heard).flatten(0, 1) / 2, both)}

    def classification_loss(
        self, embeddings: Float[Tensor, "v b c"], labels: Float[Tensor, "b k"]
    ) -> Float[Tensor, ""]:
        """Cross-entropy of what the vectors are classified as, summed over views."""
        logits, labels = all_gather_with_grad(self.classifier(embeddings / self.tau), 1), all_gather_with_grad(labels)
        return torch.stack([soft_cross_entropy(one, labels) for one in logits]).sum()
