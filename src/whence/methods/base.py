"""What every method is: two encoders, a comparison, losses; and the registry of their names."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from whence.errors import RecipeError
from whence.frontend import PRESETS, InputSpec
from whence.losses.contrastive import full_precision, unit
from whence.models.adapter import Tower
from whence.models.encoders import build_encoder, channels_of, coarse
from whence.models.heads import max_pool, mean_pool
from whence.models.vectors import Vectors
from whence.models.vgg import VGGish
from whence.readout import ReadOut
from whence.registry import Registry
from whence.types import Batch


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
        config: everything `whence.create` needs to build this method again, as plain values.
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
    coarse: ClassVar[bool] = False
    projects: ClassVar[bool] = False
    taught: ClassVar[bool] = False
    learns_from: ClassVar[Literal["pairs", "labels", "clusters"]] = "pairs"
    matches_classes: ClassVar[bool] = False
    last_clusters: float = 1.0
    config: dict[str, Any]
    readout = ReadOut()

    def __init__(
        self,
        image: Mapping[str, Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        front_end: InputSpec | None = None,
    ) -> None:
        super().__init__()
        front_end = front_end or PRESETS.get(getattr(self, "name", ""), InputSpec())
        seeing, hearing = (coarse(one) if self.coarse else one or {} for one in (image, audio))
        self.image_encoder = build_encoder(seeing, in_channels=3)
        self.audio_encoder = build_encoder(hearing, in_channels=1)
        vector = self.audio_encoder.channels if isinstance(self.audio_encoder, Vectors) else 0
        self.front_end = replace(front_end, audio=replace(front_end.audio, vector=vector))
        for encoder, spec in (
            (self.image_encoder, self.front_end.image),
            (self.audio_encoder, self.front_end.audio),
        ):
            if isinstance(encoder, Tower | VGGish):
                encoder.refuse_front_end(spec)
        seen, heard = channels_of(self.image_encoder), channels_of(self.audio_encoder)
        if not self.projects and seen != heard:
            raise RecipeError(
                f"method {self.name!r} compares features as they are; found {seen} channels of pictures and {heard} of "
                "sounds, expected as many of both. Give both encoders the same `width`"
            )

    # What a localizer calls: encode once, compare often.

    def encode_images(self, images: Float[Tensor, "b i H W"]) -> Float[Tensor, "b c h w"]:
        """Unit-norm features of each place."""
        return unit(self.image_encoder(images), dim=1)

    def encode_sounds(self, sounds: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b c"]:
        """One unit-norm vector of each sound."""
        return unit(max_pool(self.audio_encoder(sounds)))

    def compare(
        self, image_codes: Float[Tensor, "b c h w"], sound_codes: Float[Tensor, "b c"]
    ) -> Float[Tensor, "b h w"]:
        """The map of each picture with its own sound: signed, raw, at the encoder's resolution."""
        return place_cosine(image_codes, sound_codes)

    def sources(
        self, image_codes: Float[Tensor, "b ..."], sound_codes: Float[Tensor, "b ..."]
    ) -> tuple[Float[Tensor, "b k h w"], Bool[Tensor, "b k"]]:
        """Where each of the sources of a mixture is, in no order: raw maps of k sources, and which of them it hears.

        Methods that tell sources apart override this; for the others a mixture is one source.
        """
        maps = self.compare(image_codes, sound_codes)[:, None]
        return maps, torch.ones_like(maps[:, :, 0, 0], dtype=torch.bool)

    def saliency(self, image_codes: Float[Tensor, "b c h w"]) -> Float[Tensor, "b h w"]:
        """A map that never heard a sound, from the same features: what of the picture stands out from its mean."""
        return 1 - torch.einsum("bchw,bc->bhw", image_codes, unit(mean_pool(image_codes)))

    # What people call.

    def maps(self, images: Float[Tensor, "b i H W"], sounds: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b h w"]:
        """Raw maps, picture i with sound i."""
        return self.compare(self.encode_images(images), self.encode_sounds(sounds))

    def all_maps(self, images: Float[Tensor, "b i H W"], sounds: Float[Tensor, "m 1 f t"]) -> Float[Tensor, "b m h w"]:
        """Raw maps of every picture with every sound; each is encoded once."""
        pictures, heard = self.encode_images(images), self.encode_sounds(sounds)
        return torch.stack([self.compare(pictures, one.expand(len(pictures), *one.shape)) for one in heard], dim=1)

    def image_embedding(self, images: Float[Tensor, "b i H W"]) -> Float[Tensor, "b d"]:
        """One unit-norm vector of each picture, to be compared with `sound_embedding`'s."""
        return unit(mean_pool(self.encode_images(images)))

    def sound_embedding(self, sounds: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """One unit-norm vector of each sound."""
        return self.encode_sounds(sounds)

    def objects(self, images: Float[Tensor, "b 3 H W"], sounds: Float[Tensor, "b 1 f t"]) -> Float[Tensor, "b d"]:
        """One vector of what sounds in each picture, which offline clusters are made of (`labels.source: clusters`).

        Of the whole picture, where a method does not tell its objects apart.
        """
        return self.image_embedding(images)

    # What the trainer calls.

    def take_clusters(self, centres: Float[Tensor, "k d"]) -> None:
        """Called when clusters are made, with the mean of `objects` over the members of each."""

    def before_step(self, progress: float) -> None:
        """Called before each optimizer step with the share of the run that is done: copies follow, terms set in."""

    def encode(self, batch: Batch) -> tuple[Float[Tensor, "v b c h w"], Float[Tensor, "u b c"]]:
        """Unit-norm features of all views of a batch, each modality encoded in one call."""
        grids = self.encode_images(batch.images.flatten(0, 1))
        vectors = self.encode_sounds(batch.sounds.flatten(0, 1))
        return grids.unflatten(0, batch.images.shape[:2]), vectors.unflatten(0, batch.sounds.shape[:2])

    def losses(self, batch: Batch) -> dict[str, Float[Tensor, ""]]:
        """Named scalars, already weighted; the trainer sums and logs them."""
        raise NotImplementedError(f"{type(self).__name__} has no losses")


@full_precision
def place_cosine(grids: Float[Tensor, "b c h w"], vectors: Float[Tensor, "b c"]) -> Float[Tensor, "b h w"]:
    """Cosine of each place of grid i with vector i, both of unit norm."""
    return torch.einsum("bchw,bc->bhw", grids, vectors)


METHODS: Registry[type[Method]] = Registry("method")


def register(name: str) -> Any:
    """Class decorator: makes a `Method` known to `whence.create` under `name`."""

    def add(method: type[Method]) -> type[Method]:
        method.name = name
        return METHODS.register(name)(method)

    return add
