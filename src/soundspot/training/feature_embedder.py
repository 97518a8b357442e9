"""Embeddings of a training set from its stored features, of which neighbors are mined and clusters made."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Float16
from torch import Tensor

from soundspot.inference.mining.embed import compute_weights_digest
from soundspot.methods.base import Method
from soundspot.training.feature_plan import Modality
from soundspot.training.feature_reader import FeatureReader, FeatureStore
from soundspot.training.schedule import make_localizer
from soundspot.types import AudioVisualDataset

PackedFeatures = Float16[Tensor, "_ 1 _"]


class FeatureEmbedder:
    """Embedder of samples whose images and sounds are both stored as features: nothing is decoded or encoded.

    A sample is embedded as the first epoch's base view of it, which is the entire image and the center of the sound
    where these are stored (`views.base_view: unaugmented`, `views.base_audio_window: center`), else a drawn view.

    Args:
        method: method in training.
        reader: reader of the stored features.
    """

    def __init__(self, method: Method, reader: FeatureReader) -> None:
        self._localizer, self._reader = make_localizer(method), reader
        self.name, self.device = self._localizer.name, str(self._localizer.device)

    @property
    def weights_digest(self) -> str:
        """Hexadecimal digits of all that embeddings depend on."""
        return compute_weights_digest(self._localizer)

    def read_image(self, data: AudioVisualDataset, index: int) -> PackedFeatures:
        """Read the features of a sample's image.

        Args:
            data: training set, unused.
            index: position of the sample, from 0.

        Returns:
            (i, 1, k) packed features.
        """
        return self._read(self._reader.image, "image", index)

    def read_audio(self, data: AudioVisualDataset, index: int) -> PackedFeatures:
        """Read the features of a sample's sound.

        Args:
            data: training set, unused.
            index: position of the sample, from 0.

        Returns:
            (1, 1, l) packed features.
        """
        return self._read(self._reader.audio, "audio", index)

    def embed_images(self, images: Sequence[PackedFeatures]) -> Float[Tensor, "b d"]:
        """Embed images.

        Args:
            images: features of b images.

        Returns:
            (b, d) unit-norm embeddings, float32, on the CPU.
        """
        return self._embed(self._localizer.method.embed_images, images)

    def embed_audio(self, audio: Sequence[PackedFeatures]) -> Float[Tensor, "b d"]:
        """Embed sounds.

        Args:
            audio: features of b sounds.

        Returns:
            (b, d) unit-norm embeddings, float32, on the CPU.
        """
        return self._embed(self._localizer.method.embed_audio, audio)

    def embed_objects(self, images: Sequence[PackedFeatures], audio: Sequence[PackedFeatures]) -> Float[Tensor, "b d"]:
        """Embed the sounding object of image i, located with sound i (`Method.object_embedding`).

        Args:
            images: features of b images.
            audio: features of b sounds.

        Returns:
            (b, d) float32, on the CPU.
        """
        return self._embed(self._localizer.method.object_embedding, images, audio)

    def _embed(self, embed: Callable[..., Tensor], *features: Sequence[PackedFeatures]) -> Float[Tensor, "b d"]:
        inputs = (torch.stack([*rows]).float().to(self.device) for rows in features)
        with self._localizer.inference_mode():
            return embed(*inputs).float().cpu()

    def _read(self, store: FeatureStore | None, modality: Modality, index: int) -> PackedFeatures:
        assert store is not None, "both modalities are stored (`FeatureReader.reads_media`)"
        base_view = self._reader.views.view_names(modality)[0]
        return store.read(store.rows(base_view, self._reader.seed, 0, [index], [index]))[0]
