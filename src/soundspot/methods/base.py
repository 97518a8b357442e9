"""The skeleton of a method: two encoders, a similarity map, losses; and the registry of method names."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soundspot.config.frontend import PRESETS, InputSpec
from soundspot.config.upsampling import Upsampling
from soundspot.errors import RecipeError
from soundspot.losses.contrastive import full_precision, unit_norm
from soundspot.models.encoders import build_encoder, with_stride32
from soundspot.models.heads import max_pool, mean_pool
from soundspot.models.precomputed import PrecomputedEmbeddings
from soundspot.types import Batch
from soundspot.utils.registry import Registry


class Method(nn.Module):
    """Image encoder, audio encoder and the similarity map of their features.

    By default an image is encoded as unit-norm features at each location, an audio clip as one unit-norm embedding, and
    the map is their cosine. A method overrides what differs: its losses, and any of the functions below.

    Args:
        image: options of the image encoder: `encoder` (a name of `ENCODERS`), `weights`, and its sizes.
        audio: options of the audio encoder, likewise.
        front_end: preprocessing of images and audio; None: the preset of the method.

    Attributes:
        front_end, upsampling: preprocessing and map upsampling; they belong to the weights and are saved with them.
        config: keyword arguments with which `soundspot.create` builds this method again, as plain values.
        front_end_preset: name in `PRESETS`; empty: the method's own name.
        release: name of the released weight layout (`soundspot.importers.releases`); empty: the method's own name.
        stride32: ResNet-18 has output stride 32 (7 x 7 features of 224 pixels, as the public classifier) and not 16.
        has_joint_space: both modalities are projected to one space, so encoders of any two widths fit together.
        supports_ground_truth: the loss uses `Batch.ground_truth` where it is given.
        learns_from: what training requires besides `pairs`: class `labels`, or pseudo-labels from offline `clusters`.
            Such a method has the option `classes`, which training fills in if the recipe does not.
        matches_classes: the loss compares equal classes of both modalities, so labels must cover both.
        last_clustering: fraction of the training run after which cluster centers are no longer accepted.

    Raises:
        RecipeError: the two encoders do not fit together, or an encoder does not accept the front end.
    """

    name: ClassVar[str] = ""
    front_end_preset: ClassVar[str] = ""
    release: ClassVar[str] = ""
    stride32: ClassVar[bool] = False
    has_joint_space: ClassVar[bool] = False
    supports_ground_truth: ClassVar[bool] = False
    learns_from: ClassVar[Literal["pairs", "labels", "clusters"]] = "pairs"
    matches_classes: ClassVar[bool] = False
    last_clustering: float = 1.0
    config: dict[str, Any]
    upsampling = Upsampling()

    def __init__(
        self,
        image: Mapping[str, Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        front_end: InputSpec | None = None,
    ) -> None:
        super().__init__()
        front_end = front_end or PRESETS.get(self.front_end_preset or self.name, InputSpec())
        if self.stride32:
            image, audio = with_stride32(image), with_stride32(audio)
        self.image_encoder = build_encoder(image or {}, in_channels=3)
        self.audio_encoder = build_encoder(audio or {}, in_channels=1)
        is_precomputed = isinstance(self.audio_encoder, PrecomputedEmbeddings)
        embedding_dim = self.audio_encoder.channels if is_precomputed else 0
        self.front_end = replace(front_end, audio=replace(front_end.audio, embedding_dim=embedding_dim))
        self.image_encoder.check_front_end(self.front_end.image)
        self.audio_encoder.check_front_end(self.front_end.audio)
        widths = self.image_encoder.channels, self.audio_encoder.channels
        if not self.has_joint_space and widths[0] != widths[1]:
            raise RecipeError(
                f"method {self.name!r} compares features without projecting them; found {widths[0]} image channels and "
                f"{widths[1]} audio channels, expected equal numbers. Give both encoders the same `width`"
            )

    # The batch interface of a localizer: encode once, compare often.

    def encode_images(self, images: Float[Tensor, "b i H W"]) -> Float[Tensor, "b c h w"]:
        """Return the unit-norm features of each image at each location.

        Args:
            images: (b, 3, H, W) normalized; (b, 5, H, W) with optical flow for methods that use it.

        Returns:
            (b, c, h, w) features. Some methods append further channels, so only this method's functions take them.
        """
        return unit_norm(self.image_encoder(images), dim=1)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        """Return the unit-norm embedding of each spectrogram.

        Args:
            audio: (b, 1, f, t) scaled spectrograms.

        Returns:
            (b, c) embeddings, in the space of the image features.
        """
        return unit_norm(max_pool(self.audio_encoder(audio)))

    def similarity_map(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b h w"]:
        """Return the localization map of each image with its own audio.

        Args:
            encoded_images: from `encode_images`.
            encoded_audio: from `encode_audio`; row i belongs to image i.

        Returns:
            (b, h, w) raw signed similarities at the resolution of the features.
        """
        return cosine_map(encoded_images, encoded_audio)

    def locate_sources(
        self, encoded_images: Float[Tensor, "b ..."], encoded_audio: Float[Tensor, "b ..."]
    ) -> tuple[Float[Tensor, "b k h w"], Bool[Tensor, "b k"]]:
        """Return one localization map per source of a mixture; one source unless the method separates them.

        Args:
            encoded_images: from `encode_images`.
            encoded_audio: from `encode_audio`.

        Returns:
            (b, k, h, w) raw maps of k sources in no particular order, and (b, k) True where a source is audible.
        """
        maps = self.similarity_map(encoded_images, encoded_audio)[:, None]
        return maps, torch.ones_like(maps[:, :, 0, 0], dtype=torch.bool)

    def saliency(self, encoded_images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """Return a map that uses no audio: 1 minus the cosine of each location with the mean of the image.

        Args:
            encoded_images: from `encode_images`.

        Returns:
            (b, h, w) sound-blind saliency; the baseline that a localization map has to beat.
        """
        return 1 - torch.einsum("bchw,bc->bhw", encoded_images, unit_norm(mean_pool(encoded_images)))

    # From images and spectrograms.

    def maps(self, images: Float[Tensor, "b i H W"], audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b h w"]:
        """Return the raw localization map of each image with its own audio.

        Args:
            images: (b, 3, H, W) normalized.
            audio: (b, 1, f, t) scaled spectrograms; row i belongs to image i.

        Returns:
            (b, h, w) raw maps.
        """
        return self.similarity_map(self.encode_images(images), self.encode_audio(audio))

    def all_maps(self, images: Float[Tensor, "b i H W"], audio: Float[Tensor, "m 1 f t"]) -> Float[Tensor, "b m h w"]:
        """Return the raw localization map of every image with every audio; each is encoded once.

        Args:
            images: (b, 3, H, W) normalized.
            audio: (m, 1, f, t) scaled spectrograms.

        Returns:
            (b, m, h, w) raw maps.
        """
        encoded, queries = self.encode_images(images), self.encode_audio(audio)
        return torch.stack([self.similarity_map(encoded, x.expand(len(encoded), *x.shape)) for x in queries], dim=1)

    def embed_images(self, images: Float[Tensor, "b i H W"]) -> Float[Tensor, "b d"]:
        """Return one unit-norm embedding per image, for retrieval by cosine with `embed_audio`.

        Args:
            images: (b, 3, H, W) normalized.

        Returns:
            (b, d) unit-norm embeddings.
        """
        return unit_norm(mean_pool(self.encode_images(images)))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """Return one unit-norm embedding per spectrogram, for retrieval by cosine with `embed_images`.

        Args:
            audio: (b, 1, f, t) scaled spectrograms.

        Returns:
            (b, d) unit-norm embeddings.
        """
        return self.encode_audio(audio)

    def object_embedding(
        self, images: Float[Tensor, "b 3 H W"], audio: Float[Tensor, "b 1 f t"]
    ) -> Float[Tensor, "b d"]:
        """Return the embedding of the sounding object of each image, from which pseudo-label clusters are made.

        Args:
            images: (b, 3, H, W) normalized.
            audio: (b, 1, f, t) scaled spectrograms; row i belongs to image i.

        Returns:
            (b, d) embeddings; of the entire image unless the method segments its objects.
        """
        return self.embed_images(images)

    # Training.

    def set_cluster_centers(self, centers: Float[Tensor, "k d"]) -> None:
        """Accept new cluster centers; called whenever clusters are made. Nothing by default.

        Args:
            centers: (k, d) mean of `object_embedding` over the members of each cluster.
        """

    def on_train_step_start(self, progress: float) -> None:
        """Update momentum encoders and schedules before an optimizer step. Nothing by default.

        Args:
            progress: completed fraction of the training run, in [0, 1].
        """

    def encode(self, batch: Batch) -> tuple[Float[Tensor, "v b c h w"], Float[Tensor, "u b c"]]:
        """Encode all views of a batch, each modality in one call of its encoder.

        Args:
            batch: v image views and u audio views of b samples.

        Returns:
            (v, b, c, h, w) image features and (u, b, c) audio embeddings, of unit norm.
        """
        features = self.encode_images(batch.images.flatten(0, 1))
        embeddings = self.encode_audio(batch.audio.flatten(0, 1))
        return features.unflatten(0, batch.images.shape[:2]), embeddings.unflatten(0, batch.audio.shape[:2])

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute the loss terms of a batch; the trainer sums and logs them.

        Args:
            batch: views of images and audio, with whatever labels there are.

        Returns:
            Term name -> scalar, already weighted.

        Raises:
            NotImplementedError: the method cannot be trained.
        """
        raise NotImplementedError(f"{type(self).__name__} has no losses")


@full_precision
def cosine_map(
    image_features: Float[Tensor, "b c h w"], audio_embeddings: Float[Tensor, "b c"]
) -> Float[Tensor, "b h w"]:
    """Return the cosine of each location of image i with audio embedding i.

    Args:
        image_features: (b, c, h, w) of unit norm over c.
        audio_embeddings: (b, c) of unit norm.

    Returns:
        (b, h, w) in [-1, 1].
    """
    return torch.einsum("bchw,bc->bhw", image_features, audio_embeddings)


METHODS: Registry[type[Method]] = Registry("method")


def register(name: str) -> Callable[[type[Method]], type[Method]]:
    """Make a class decorator that registers a `Method`, so that `soundspot.create(name)` builds it.

    Args:
        name: of the method, in lower case.

    Returns:
        The decorator; it returns the class unchanged but for its `name`.
    """

    def add(method: type[Method]) -> type[Method]:
        method.name = name
        return METHODS.register(name)(method)

    return add
