"""What every method is: two encoders, a comparison, losses; and the registry of their names."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soundspot.config.frontend import PRESETS, InputSpec
from soundspot.config.upsampling import Upsampling
from soundspot.errors import RecipeError
from soundspot.losses.contrastive import full_precision, unit_norm
from soundspot.models.encoders import build_encoder, output_channels, with_stride32
from soundspot.models.heads import max_pool, mean_pool
from soundspot.models.precomputed import PrecomputedEmbeddings
from soundspot.models.pretrained import PretrainedEncoder
from soundspot.models.vgg import VGGish
from soundspot.types import Batch
from soundspot.utils.registry import Registry


class Method(nn.Module):
    """A picture encoder, a sound encoder, and what makes a map of the two.

    This is the skeleton: unit-norm features of each place of the picture, one unit-norm vector of the sound, and their
    cosine as the map. A method says what alone differs: its losses, and any of the pieces below that it overrides.

    Args:
        image: options of the picture encoder: `encoder` (a name), `weights`, and its measures.
        audio: the same for the sound encoder.
        front_end: what pictures and sounds are turned into first; None: the preset of the method's name.

    Attributes:
        front_end, readout: belong to the weights and travel in the checkpoint.
        config: everything `soundspot.create` needs to build this method again, as plain values.
        coarse: ResNet-18, where it is not told, has 7 x 7 cells of 224 pixels in place of 14 x 14.
        projects: both modalities are projected to one space, so encoders of any widths go together.
        taught: learns from truths too (`Batch.truths`), where there are any.
        learns_from: what it cannot do without besides `pairs`: `labels` of any source, or offline `clusters`. Such a
            method has the option `classes`, which a recipe may leave out: training fills it in.
        matches_classes: compares a class of pictures with the same class of sounds, so labels need classes of both.
        last_clusters: share of the run after which it takes no new clusters.

    Raises:
        RecipeError: the encoders do not go together, or the front end is not one of theirs.
    """

    name: ClassVar[str]
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
        front_end = front_end or PRESETS.get(getattr(self, "name", ""), InputSpec())
        seeing, hearing = (with_stride32(one) if self.stride32 else one or {} for one in (image, audio))
        self.image_encoder = build_encoder(seeing, in_channels=3)
        self.audio_encoder = build_encoder(hearing, in_channels=1)
        vector = self.audio_encoder.channels if isinstance(self.audio_encoder, PrecomputedEmbeddings) else 0
        self.front_end = replace(front_end, audio=replace(front_end.audio, embedding_dim=vector))
        for encoder, spec in (
            (self.image_encoder, self.front_end.image),
            (self.audio_encoder, self.front_end.audio),
        ):
            if isinstance(encoder, PretrainedEncoder | VGGish):
                encoder.check_front_end(spec)
        seen, heard = output_channels(self.image_encoder), output_channels(self.audio_encoder)
        if not self.has_joint_space and seen != heard:
            raise RecipeError(
                f"method {self.name!r} compares features as they are; found {seen} channels of pictures and {heard} of "
                "sounds, expected as many of both. Give both encoders the same `width`"
            )

    # What a localizer calls: encode once, compare often.

    def encode_images(self, images: Float[Tensor, "b i H W"]) -> Float[Tensor, "b c h w"]:
        """Unit-norm features of each place."""
        return unit_norm(self.image_encoder(images), dim=1)

    def encode_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        """One unit-norm vector of each sound."""
        return unit_norm(max_pool(self.audio_encoder(audio)))

    def similarity_map(
        self, encoded_images: Float[Tensor, "b c h w"], encoded_audio: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b h w"]:
        """The map of each picture with its own sound: signed, raw, at the encoder's resolution."""
        return cosine_map(encoded_images, encoded_audio)

    def locate_sources(
        self, encoded_images: Float[Tensor, "b ..."], encoded_audio: Float[Tensor, "b ..."]
    ) -> tuple[Float[Tensor, "b k h w"], Bool[Tensor, "b k"]]:
        """Where each of the sources of a mixture is, in no order: raw maps of k sources, and which of them it hears.

        Methods that tell sources apart override this; for the others a mixture is one source.
        """
        maps = self.similarity_map(encoded_images, encoded_audio)[:, None]
        return maps, torch.ones_like(maps[:, :, 0, 0], dtype=torch.bool)

    def saliency(self, encoded_images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """A map that never heard a sound, from the same features: what of the picture stands out from its mean."""
        return 1 - torch.einsum("bchw,bc->bhw", encoded_images, unit_norm(mean_pool(encoded_images)))

    # What people call.

    def maps(self, images: Float[Tensor, "b i H W"], audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b h w"]:
        """Raw maps, picture i with sound i."""
        return self.similarity_map(self.encode_images(images), self.encode_audio(audio))

    def all_maps(self, images: Float[Tensor, "b i H W"], audio: Float[Tensor, "m 1 f t"]) -> Float[Tensor, "b m h w"]:
        """Raw maps of every picture with every sound; each is encoded once."""
        pictures, heard = self.encode_images(images), self.encode_audio(audio)
        return torch.stack(
            [self.similarity_map(pictures, one.expand(len(pictures), *one.shape)) for one in heard], dim=1
        )

    def embed_images(self, images: Float[Tensor, "b i H W"]) -> Float[Tensor, "b d"]:
        """One unit-norm vector of each picture, to be compared with `sound_embedding`'s."""
        return unit_norm(mean_pool(self.encode_images(images)))

    def embed_audio(self, audio: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """One unit-norm vector of each sound."""
        return self.encode_audio(audio)

    def object_embedding(
        self, images: Float[Tensor, "b 3 H W"], audio: Float[Tensor, "b 1 f t"]
    ) -> Float[Tensor, "b d"]:
        """One vector of what sounds in each picture, which offline clusters are made of (`labels.source: clusters`).

        Of the whole picture, where a method does not tell its objects apart.
        """
        return self.embed_images(images)

    # What the trainer calls.

    def set_cluster_centers(self, centers: Float[Tensor, "k d"]) -> None:
        """Called when clusters are made, with the mean of `objects` over the members of each."""

    def on_train_step_start(self, progress: float) -> None:
        """Called before each optimizer step with the share of the run that is done: copies follow, terms set in."""

    def encode(self, batch: Batch) -> tuple[Float[Tensor, "v b c h w"], Float[Tensor, "u b c"]]:
        """Unit-norm features of all views of a batch, each modality encoded in one call."""
        grids = self.encode_images(batch.images.flatten(0, 1))
        vectors = self.encode_audio(batch.audio.flatten(0, 1))
        return grids.unflatten(0, batch.images.shape[:2]), vectors.unflatten(0, batch.audio.shape[:2])

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Named scalars, already weighted; the trainer sums and logs them."""
        raise NotImplementedError(f"{type(self).__name__} has no losses")


@full_precision
def cosine_map(
    image_features: Float[Tensor, "b c h w"], audio_embeddings: Float[Tensor, "b c"]
) -> Float[Tensor, "b h w"]:
    """Cosine of each place of grid i with vector i, both of unit norm."""
    return torch.einsum("bchw,bc->bhw", image_features, audio_embeddings)


METHODS: Registry[type[Method]] = Registry("method")


def register(name: str) -> Any:
    """Class decorator: makes a `Method` known to `soundspot.create` under `name`."""

    def add(method: type[Method]) -> type[Method]:
        method.name = name
        return METHODS.register(name)(method)

    return add
