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
from soundspot.losses.negatives import negative_audio_nce
from soundspot.models.encoders import build_encoder, with_stride32
from soundspot.models.heads import max_pool, mean_pool
from soundspot.models.precomputed import PrecomputedEmbeddings
from soundspot.types import Batch
from soundspot.utils.registry import Registry


class Method(nn.Module):
    """Image encoder, audio encoder and the similarity map of their features.

    By default an image is encoded as unit-norm features at each location, an audio clip as one unit-norm embedding, and
    the map is their cosine. Letters of shapes: b samples, v image views, u audio views, c channels, H x W pixels, h x w
    locations, f frequency bins, t frames. A method overrides what differs: its losses, and any of the functions below.

    Args:
        image: options of the image encoder: `encoder` (a name of `ENCODERS`, by default `resnet18`), `weights` (None:
            random) and keyword arguments of that encoder, such as `width`; None: the defaults.
        audio: options of the audio encoder, in the same form.
        front_end: preprocessing of images and audio; None: the preset of the method.

    Attributes:
        name: name under which the method is registered.
        front_end, upsampling: preprocessing of inputs and interpolation of maps to the size of the image; they belong
            to the weights and are saved with them.
        config: keyword arguments with which `soundspot.create` builds this method again, as plain values.
        front_end_preset: name in `PRESETS`; empty: the method's own name.
        release: name of the released weight layout (`soundspot.importers.releases`); empty: the method's own name.
        stride32: ResNet-18 has output stride 32 (7 x 7 features of 224 pixels, as the public classifier) and not 16.
        has_joint_space: both modalities are projected to one space, so encoders of any two widths fit together.
        supports_ground_truth: the loss uses annotated maps (`Batch.ground_truth`) where the batch has them.
        learns_from: supervision that training requires: `pairs` of image and audio only, class `labels`, or
            pseudo-labels from offline `clusters`. A method of the last two has the option `classes`, which training
            fills in if the recipe does not.
        matches_classes: the loss compares equal classes of both modalities, so labels must cover both.
        transforms_images: the losses make other images of a batch's, so that stored features cannot stand for them.
        resolves_time: encoded audio holds the moments of its window, of which `audio_at` selects one.
        last_clustering: fraction of the training run after which cluster centers are no longer accepted.

    Raises:
        RecipeError: the two encoders do not fit together, or an encoder does not accept the front end.
    """

    name: ClassVar[str] = ""
    front_end_preset: ClassVar[str] = ""
    release: ClassVar[str] = ""
    stride32: ClassVar[bool] = False
    has_joint_space: ClassVar[bool] = False
    learns_from: ClassVar[Literal["pairs", "labels", "clusters"]] = "pairs"
    matches_classes: ClassVar[bool] = False
    supports_ground_truth: bool = False
    transforms_images: bool = False
    resolves_time: ClassVar[bool] = False
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
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end; for methods
                with optical flow (b, 5, H, W), with horizontal and vertical flow in pixels per frame, divided by 255.

        Returns:
            (b, c, h, w) features of unit L2 norm over c; h and w are H and W divided by the encoder's stride. Some
            methods append channels or skip the norm, so pass the result only to functions of the same method.
        """
        return unit_norm(self.image_encoder(images), dim=1)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        """Return the unit-norm embedding of each spectrogram.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, c) embeddings of unit L2 norm, in the space of the image features: the maximum of each channel over f
            and t.
        """
        return unit_norm(max_pool(self.audio_encoder(audio)))

    def similarity_map(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b h w"]:
        """Return the localization map of each image with its own audio.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio` for b audio clips; row i belongs to image i.

        Returns:
            (b, h, w) raw similarities at the resolution of the features: by default cosines, in [-1, 1].
        """
        return cosine_map(encoded_images, encoded_audio)

    def locate_sources(
        self, encoded_images: Float[Tensor, "b ..."], encoded_audio: Float[Tensor, "b ..."]
    ) -> tuple[Float[Tensor, "b k h w"], Bool[Tensor, "b k"]]:
        """Return one localization map per source of a mixture; k = 1 for methods that do not separate sources.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio` for b audio clips; row i belongs to image i.

        Returns:
            (b, k, h, w) raw maps of k sources in no particular order, and (b, k) bool, True where a source is audible.
            By default the map of `similarity_map` as the only source, audible everywhere.
        """
        maps = self.similarity_map(encoded_images, encoded_audio)[:, None]
        return maps, torch.ones_like(maps[:, :, 0, 0], dtype=torch.bool)

    def audio_at(self, encoded_audio: Float[Tensor, "b ..."], position: Float[Tensor, " b"]) -> Float[Tensor, "b ..."]:
        """Return the encoded audio of a moment in each window, for the frames of a video.

        Args:
            encoded_audio: output of `encode_audio` for b audio clips.
            position: (b,) fraction of each clip, from 0 to 1.

        Returns:
            Encoded audio, (b, ...): by default that of the entire window, whatever the position.
        """
        return encoded_audio

    def pool_audio(self, encoded_audio: Float[Tensor, "b ..."]) -> Float[Tensor, "b d"]:
        """Return one vector for each encoded audio clip, whose cosines tell whether clips sound alike.

        Args:
            encoded_audio: output of `encode_audio` for b audio clips.

        Returns:
            (b, d) vectors, not of unit norm: by default the encoded audio itself.
        """
        return encoded_audio.flatten(1)

    def saliency(self, encoded_images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """Return a map that uses no audio: 1 minus the cosine of each location with the mean of the image.

        Args:
            encoded_images: output of `encode_images` for b images.

        Returns:
            (b, h, w) sound-blind saliency in [0, 2]; the baseline that a localization map has to beat.
        """
        return 1 - torch.einsum("bchw,bc->bhw", encoded_images, unit_norm(mean_pool(encoded_images)))

    # From images and spectrograms.

    def maps(self, images: Float[Tensor, "b i H W"], audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b h w"]:
        """Return the raw localization map of each image with its own audio.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames; row i belongs to image i.

        Returns:
            (b, h, w) raw maps at the resolution of the image features.
        """
        return self.similarity_map(self.encode_images(images), self.encode_audio(audio))

    def all_maps(self, images: Float[Tensor, "b i H W"], audio: Float[Tensor, "m 1 f t"]) -> Float[Tensor, "b m h w"]:
        """Return the raw localization map of every image with every audio; each is encoded once.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.
            audio: (m, 1, f, t) scaled spectrograms.

        Returns:
            (b, m, h, w) raw maps; entry [i, j] is the map of audio j in image i.
        """
        encoded, queries = self.encode_images(images), self.encode_audio(audio)
        return torch.stack([self.similarity_map(encoded, x.expand(len(encoded), *x.shape)) for x in queries], dim=1)

    def embed_images(self, images: Float[Tensor, "b i H W"]) -> Float[Tensor, "b d"]:
        """Return one unit-norm embedding per image, for retrieval by cosine with `embed_audio`.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, d) embeddings of unit L2 norm: by default the mean of the encoded image over locations.
        """
        return unit_norm(mean_pool(self.encode_images(images)))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """Return one unit-norm embedding per spectrogram, for retrieval by cosine with `embed_images`.

        Args:
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames.

        Returns:
            (b, d) embeddings of unit L2 norm: by default the encoded audio.
        """
        return self.encode_audio(audio)

    def object_embedding(
        self, images: Float[Tensor, "b 3 H W"], audio: Float[Tensor, "b 1 f t"]
    ) -> Float[Tensor, "b d"]:
        """Return the embedding of the sounding object of each image, from which pseudo-label clusters are made.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.
            audio: (b, 1, f, t) scaled spectrograms of f frequency bins and t frames; row i belongs to image i.

        Returns:
            (b, d) embeddings: by default `embed_images`, of the entire image and without use of the audio.
        """
        return self.embed_images(images)

    # Training.

    def set_cluster_centers(self, centers: Float[Tensor, "k d"]) -> None:
        """Store new cluster centers; called after each clustering of the training set. Does nothing by default.

        Args:
            centers: (k, d) centers of k clusters, each the mean of `object_embedding` over its members.
        """

    def on_train_step_start(self, progress: float) -> None:
        """Update momentum encoders and schedules before an optimizer step. Does nothing by default.

        Args:
            progress: completed fraction of the training run, in [0, 1].
        """

    def encode(self, batch: Batch) -> tuple[Float[Tensor, "v b c h w"], Float[Tensor, "u b c"]]:
        """Encode all views of a batch, each modality in one call of its encoder.

        Args:
            batch: v image views (v, b, 3, H, W) and u audio views (u, b, 1, f, t) of b samples.

        Returns:
            (v, b, c, h, w) image features and (u, b, c) audio embeddings, as `encode_images` and `encode_audio` return
            them: by default of unit norm over c.
        """
        features = self.encode_images(batch.images.flatten(0, 1))
        embeddings = self.encode_audio(batch.audio.flatten(0, 1))
        return features.unflatten(0, batch.images.shape[:2]), embeddings.unflatten(0, batch.audio.shape[:2])

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Compute the loss terms of a batch; the trainer sums and logs them.

        Args:
            batch: v image views (v, b, 3, H, W) and u audio views (u, b, 1, f, t) of b samples; labels, annotated maps
                and likely false negatives are None where the recipe gives none.

        Returns:
            Dict of term name -> scalar tensor, already weighted; the training loss is their sum.

        Raises:
            RecipeError: the method defines no losses, so it cannot be trained.
        """
        raise RecipeError(
            f"{type(self).__name__} has no losses, so it cannot be trained. Define `losses(self, batch)`."
        )

    def losses_with_negatives(
        self, batch: Batch, tau: float
    ) -> tuple[dict[str, Float[Tensor, ""]], dict[str, Float[Tensor, ""]]]:
        """Compute `losses` and `negative_losses` of a batch; overridden where both can share the encoded images.

        Args:
            batch: b samples with negatives.
            tau: temperature of the negatives, in units of the maps.

        Returns:
            The terms of each, name -> scalar tensor.
        """
        return self.losses(batch), self.negative_losses(batch, tau)

    def negative_losses(
        self, batch: Batch, tau: float, encoded_images: Float[Tensor, "b ..."] | None = None
    ) -> dict[str, Float[Tensor, ""]]:
        """Compute the loss terms of negative sounds (`Batch.negatives`); the trainer weighs and adds them.

        Args:
            batch: b samples with negatives.
            tau: temperature, in units of the maps.
            encoded_images: the first view's images, where they are encoded already.

        Returns:
            Dict of term name -> scalar tensor: by default `negatives`, which orders the peaks of maps.
        """
        own, negatives, is_negative = self.negative_maps(batch, encoded_images)
        return {"negatives": negative_audio_nce(own, negatives, is_negative, tau)}

    def negative_maps(
        self, batch: Batch, encoded_images: Float[Tensor, "b ..."] | None = None
    ) -> tuple[Float[Tensor, "b h w"], Float[Tensor, "k b h w"], Bool[Tensor, "k b"]]:
        """Compute the maps of the first view's images with their own and with negative sounds.

        Args:
            batch: b samples with `negatives`. Own sounds and spectrograms of negatives are encoded in one call, so that
                batch norm has the same statistics for both.
            encoded_images: the first view's images, where they are encoded already.

        Returns:
            (b, h, w) maps with the own sounds, (k, b, h, w) with the negatives, and (k, b) bool, False where an image
            has no such negative.
        """
        assert batch.negatives is not None
        images = self.encode_images(batch.images[0]) if encoded_images is None else encoded_images
        audio, extra = batch.audio[0], batch.negative_audio
        if extra is not None:
            with torch.autocast(audio.device.type, enabled=False):  # which joins no stored features: they are float16
                audio = torch.cat([audio, extra])
        encoded = self.encode_audio(audio)
        own = torch.arange(len(images), device=batch.negatives.device)
        rows = torch.cat([own[None], batch.negatives.clamp(min=0)])
        maps = self.differentiable_maps(images, encoded[rows])
        return maps[0], maps[1:], batch.negatives >= 0

    def differentiable_maps(
        self, encoded_images: Float[Tensor, "b ..."], encoded_audio: Float[Tensor, "k b ..."]
    ) -> Float[Tensor, "k b h w"]:
        """Compute the maps of each image with k sounds through which both encoders learn, for `negative_maps`.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: k times the output of `encode_audio` for b audio clips; column i belongs to image i.

        Returns:
            (k, b, h, w) maps, higher where the sound fits: by default those of `similarity_map`, and cosines of all
            sounds in one product.
        """
        if type(self).similarity_map is Method.similarity_map:
            return cosine_map(encoded_images, encoded_audio)
        return torch.stack([self.similarity_map(encoded_images, audio) for audio in encoded_audio])


@full_precision
def cosine_map(
    image_features: Float[Tensor, "b c h w"], audio_embeddings: Float[Tensor, "*k b c"]
) -> Float[Tensor, "*k b h w"]:
    """Return the cosine of each location of image i with audio embedding i.

    Args:
        image_features: (b, c, h, w) features of unit L2 norm over c.
        audio_embeddings: (..., b, c) embeddings of unit L2 norm; leading axes are several sounds of each image.

    Returns:
        (..., b, h, w) cosines in [-1, 1], computed without autocast.
    """
    return torch.einsum("bchw,...bc->...bhw", image_features, audio_embeddings)


METHODS: Registry[type[Method]] = Registry("method")
"""Methods that can be trained."""

INFERENCE_METHODS: Registry[type[Method]] = Registry("method")
"""Methods whose released weights are used, and which are not trained here."""


def register(name: str, is_trainable: bool = True) -> Callable[[type[Method]], type[Method]]:
    """Make a class decorator that registers a `Method`, so that `soundspot.create(name)` builds it.

    Args:
        name: name of the method, in lower case.
        is_trainable: whether the method has losses.

    Returns:
        Decorator that sets `name` of the class, adds the class to `METHODS`, or to `INFERENCE_METHODS` where it cannot
        be trained, and returns it.
    """

    def add(method: type[Method]) -> type[Method]:
        method.name = name
        return (METHODS if is_trainable else INFERENCE_METHODS).register(name)(method)

    return add
