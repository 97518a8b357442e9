"""SLAVC: which audio, and where, are two questions.

Mo and Morgado, "A Closer Look at Weakly-Supervised Audio-Visual Source Localization", NeurIPS 2022.

The idea: EZ-VSL overfits, and scores best long before its training ends. Two remedies: strong regularization (dropout
of 0.9, targets from a momentum encoder), and two projections in place of one, whose predictions must agree. At each
location, S1 *identifies* the audio that belongs there (a softmax over the batch's audio); for each pair, S2 *localizes*
it (a softmax over locations). The probability of a pair is the sum over locations of the product of both.

**The paper's and the released code's** (stoneMo/SLAVC, commit 05b429c6): EZ-VSL's encoders, tau 0.03; images against
the momentum encoder's audio plus the momentum encoder's images against audio; the copy's parameters move by 0.001 of
the way *before* each step's losses, its batch-norm statistics are its own, it has no gradient, and dropout applies to
its image features too, by draws of its own; Adam, 1e-4, batch 128, 20 epochs; 0.9 is the code's default momentum and
0.999 its recipe's. In both terms the softmaxes and the cross-entropy run over the *audio*: the second, too, contrasts
the audio of each image. We follow the code.

**Differs here.** The code's maps are logits, the mean of two cosines / 0.03; ours are the mean of the cosines, which
is the cosine of both features concatenated; the protocols `slavc` and `slavc-absolute` divide by 0.03 themselves.

**Released weights** (key `model`) hold networks and copy; the published test scripts take maps from the networks, its
evaluation while training from the copy (`momentum_maps`). `soundspot.import_checkpoint(..., method="slavc")`.
"""

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from soundspot.config.upsampling import Upsampling
from soundspot.losses.contrastive import all_pair_maps, info_nce, unit_norm
from soundspot.losses.maps import joint_log_probability
from soundspot.methods.base import Method, register
from soundspot.methods.option_checks import check_fraction, check_positive
from soundspot.models.heads import JointProjection, max_pool
from soundspot.models.momentum import MomentumEncoder
from soundspot.types import Batch
from soundspot.utils.distributed import all_gather_with_grad, local_pair_mask


@register("slavc")
class SLAVC(Method):
    """SLAVC: identification of the audio and its localization are separate projections, against a momentum encoder.

    Args:
        tau: temperature of both softmaxes.
        width: dimension of each of the two joint spaces.
        dropout: fraction of the image features, in [0, 1], that is dropped before the projections in training.
        momentum: fraction of each parameter, in [0, 1], that the momentum encoder retains at each step.
        momentum_maps: compute maps and embeddings with the momentum encoder.
        encoders: keyword arguments of `Method`: `image`, `audio` (options of the encoders) and `front_end`.
    """

    upsampling = Upsampling("bicubic-aligned")
    stride32 = True
    has_joint_space = True

    def __init__(
        self,
        tau: float = 0.03,
        width: int = 512,
        dropout: float = 0.9,
        momentum: float = 0.999,
        momentum_maps: bool = False,
        **encoders: Any,
    ) -> None:
        check_positive(tau=tau, width=width)
        check_fraction(dropout=dropout, momentum=momentum)
        super().__init__(**encoders)
        self.tau, self.dropout, self.momentum, self.momentum_maps = tau, dropout, momentum, momentum_maps
        widths = self.image_encoder.channels, self.audio_encoder.channels, width
        self.identification, self.localization = JointProjection(*widths), JointProjection(*widths)
        names = "image_encoder", "audio_encoder", "identification", "localization"
        self.momentum_encoder = MomentumEncoder(self, *names)

    def image_features(self, networks: Any, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Return both projections of the images, concatenated to unit norm.

        Args:
            networks: this method or its momentum encoder.
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, 2 width, h, w) features of unit L2 norm over channels: identification first, then localization.
        """
        features = F.dropout(networks.image_encoder(images), self.dropout, self.training)
        spaces = networks.identification, networks.localization
        return torch.cat([unit_norm(space.image(features), dim=1) for space in spaces], 1) / 2**0.5

    def audio_features(self, networks: Any, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        """Return both projections of the audio, concatenated to unit norm.

        Args:
            networks: this method or its momentum encoder.
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, 2 width) embeddings of unit L2 norm: identification first, then localization.
        """
        pooled = max_pool(networks.audio_encoder(audio))
        spaces = networks.identification, networks.localization
        return torch.cat([unit_norm(space.audio(pooled)) for space in spaces], 1) / 2**0.5

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Encode images with the method's networks, or the momentum encoder with `momentum_maps`.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, 2 width, h, w) features of unit L2 norm over channels.
        """
        return self.image_features(self.momentum_encoder if self.momentum_maps else self, images)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        """Encode audio with the method's networks, or the momentum encoder with `momentum_maps`.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, 2 width) embeddings of unit L2 norm.
        """
        return self.audio_features(self.momentum_encoder if self.momentum_maps else self, audio)

    def on_train_step_start(self, progress: float) -> None:
        """Update the momentum encoder by one step of the exponential moving average.

        Args:
            progress: completed fraction of the training run, in [0, 1]; not used.
        """
        self.momentum_encoder.update(self, self.momentum)

    def contrast(
        self, image_features: Float[Tensor, "v b c h w"], audio_embeddings: Float[Tensor, "u b c"], batch: Batch
    ) -> Float[Tensor, ""]:
        """Compute the cross-entropy of the audio of each image, by the product of identification and localization.

        Args:
            image_features: (v, b, 2 width, h, w) features of unit L2 norm over channels.
            audio_embeddings: (u, b, 2 width) embeddings of unit L2 norm.
            batch: batch of which only `false_negatives`, (m, m) bool or None, is read: these pairs are left out of the
                softmax over audio and of the denominator.

        Returns:
            Scalar, mean over samples, summed over the pairs of views.
        """
        identification, localization = (
            all_pair_maps(2**0.5 * images, 2**0.5 * audio)
            for images, audio in zip(image_features.chunk(2, 2), audio_embeddings.chunk(2, 2), strict=True)
        )
        candidates = None
        if batch.false_negatives is not None:
            matched = local_pair_mask(identification.shape[2], identification.device)
            candidates = matched | ~batch.false_negatives[matched.any(dim=0)]
        logits = joint_log_probability(identification / self.tau, localization / self.tau, candidates)
        return info_nce(all_gather_with_grad(logits, 2), 1.0, batch.false_negatives)

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute `images` (against the copy's audio) and `audio` (with the copy's images), summed over pairs of views.

        Both are means over samples with equal weight 1.

        Args:
            batch: v image views and u audio views of b samples, (v, b, 3, H, W) and (u, b, 1, f, t). Pairs in
                `false_negatives` are left out of the denominator.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.
        """
        images, audio = batch.images.flatten(0, 1), batch.audio.flatten(0, 1)
        image_views, audio_views = batch.images.shape[:2], batch.audio.shape[:2]
        with torch.no_grad():
            slow_features = self.image_features(self.momentum_encoder, images).unflatten(0, image_views)
            slow_embeddings = self.audio_features(self.momentum_encoder, audio).unflatten(0, audio_views)
        features = self.image_features(self, images).unflatten(0, image_views)
        embeddings = self.audio_features(self, audio).unflatten(0, audio_views)
        return {
            "images": self.contrast(features, slow_embeddings, batch),
            "audio": self.contrast(slow_features, embeddings, batch),
        }
