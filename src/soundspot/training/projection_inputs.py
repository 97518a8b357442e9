"""Outputs of a method's frozen encoders for a catalog of images and recordings, which its projections learn from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.config.augmentation import Augmentation
from soundspot.data.datasets.catalog import Catalog
from soundspot.data.media.audio import crop_or_tile, read_audio, resample
from soundspot.data.media.image import fast_squash, normalize
from soundspot.data.transforms.augment import NUM_DRAWS, iter_augmented
from soundspot.data.transforms.spectrogram import spectrogram
from soundspot.methods.ezvsl_base import EZVSLBase
from soundspot.models.heads import max_pool
from soundspot.models.reuse import reuse_outputs
from soundspot.utils.hash_rng import Key, uniform

MIN_SLACK = 0.5  # seconds by which a recording must be longer than one window to give several
AUGMENTATION = Augmentation(scale=(0.5, 1.0), color=0.3, gray_p=0.1, blur_p=0.1)


@dataclass(frozen=True, eq=False)
class ProjectionInputs:
    """Outputs of the frozen encoders for the images and recordings of one category and split.

    Attributes:
        images: (v, n, c, h, w) features of n images in v views, the first unaugmented.
        audio: (m, e) features of m windows of recordings.
        hidden_images: (v, n, d) inputs of the last layer that images are embedded by for retrieval; None where the
            method retrieves by what it localizes by.
        hidden_audio: (m, d) likewise for audio.
    """

    images: Float[Tensor, "v n c h w"]
    audio: Float[Tensor, "m e"]
    hidden_images: Float[Tensor, "v n d"] | None = None
    hidden_audio: Float[Tensor, "m d"] | None = None


def read_inputs(
    method: EZVSLBase,
    catalog: Catalog,
    names: Sequence[str],
    num_views: int = 1,
    num_windows: int = 1,
    seed: int = 0,
    on_encoded: Callable[[int], None] = lambda count: None,
) -> tuple[ProjectionInputs, ...]:
    """Encode the images and recordings of a catalog by the encoders of a method.

    Args:
        method: method whose encoders stay as they are.
        catalog: catalog of one split.
        names: names of the categories.
        num_views: number of views of each image; those after the first are augmented.
        num_windows: number of windows of a recording that is longer than one.
        seed: seed of the augmented views.
        on_encoded: function that is called with the number of images that were encoded, or of recordings that were
            read, since the last call; each image counts once for each of its views.

    Returns:
        Inputs of the method's projections for each category.
    """
    spec, audio_spec = method.front_end.image, method.front_end.audio
    result = []
    for name in names:
        rows = [row for row, image in enumerate(catalog.images) if image.category == name]
        squashed = [torch.from_numpy(fast_squash(catalog.read_image(row), round(spec.size * 1.125))) for row in rows]
        pixels = torch.stack(squashed).permute(0, 3, 1, 2)
        windows = []
        for entry in catalog.audio_of(name):
            on_encoded(1)
            audio = resample(read_audio(catalog.root / entry.file), audio_spec.rate)
            slack = max(0.0, audio.seconds - audio_spec.seconds)
            count = num_windows if slack > MIN_SLACK else 1
            starts = [slack * (n + 0.5) / count for n in range(count)]
            windows += [crop_or_tile(audio, audio_spec.seconds, start) for start in starts]
        with torch.inference_mode(), reuse_outputs(method):
            views, hidden_views = [], []
            for view in range(num_views):
                draws = torch.from_numpy(uniform((seed, Key.AUGMENTATION, view), rows, NUM_DRAWS))
                features, hidden = [], []
                for _, planes in iter_augmented(pixels, spec.size, AUGMENTATION if view else None, draws):
                    images = normalize(planes, spec)
                    features.append(method.image_encoder(images))
                    hidden.append(method.hidden_images(images))
                    on_encoded(len(planes))
                views.append(torch.cat(features))
                hidden_views += _join(hidden)
            spectrograms = spectrogram(torch.stack(windows), audio_spec, audio_spec.rate or 16000).split(8)
            audio_features = torch.cat([max_pool(method.audio_encoder(x)) for x in spectrograms])
            hidden_audio = _join([method.hidden_audio(x) for x in spectrograms])
        result.append(
            ProjectionInputs(
                torch.stack(views),
                audio_features.clone(),
                torch.stack(hidden_views) if hidden_views else None,
                hidden_audio[0].clone() if hidden_audio else None,
            )
        )
    return tuple(result)


def _join(chunks: Sequence[Float[Tensor, "_n d"] | None]) -> list[Float[Tensor, "n d"]]:
    """Return chunks as one tensor in a list, which is empty where there are none."""
    present = [chunk for chunk in chunks if chunk is not None]
    return [torch.cat(present)] if present else []
