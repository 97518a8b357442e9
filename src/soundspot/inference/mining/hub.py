"""Downloads from the Hugging Face hub (extra `hub`): checkpoints, and public encoders to mine neighbors with.

CLIP embeds images and CLAP audio. The alignment paper's self-supervised variant uses CLIP's image encoder and
Wav2CLIP; CLAP stands in for the latter, which has no maintained release.
"""

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from soundspot.config.frontend import CLIP_MEAN, CLIP_STD, ImageSpec
from soundspot.data.media.audio import resample
from soundspot.data.media.image import preprocess_images
from soundspot.errors import CheckpointError, RecipeError
from soundspot.models.weights import weights_digest
from soundspot.types import Audio

MAX_REST = 0.01  # of a window, for which there is no further one


class HubEmbedder:
    """Unit-norm embeddings of images by CLIP and of audio by CLAP, from the Hugging Face hub.

    The two do not share a space: images are compared with images, and audio with audio.

    Args:
        clip_name: name of the CLIP model on the hub, or path of a folder.
        clap_name: name of the CLAP model on the hub, or path of a folder.
        device: device that they run on, such as `cpu` or `cuda`.

    Raises:
        RecipeError: transformers is not installed, or a model can be loaded neither from this machine nor from the hub.
    """

    def __init__(
        self,
        clip_name: str = "openai/clip-vit-base-patch32",
        clap_name: str = "laion/clap-htsat-unfused",
        device: str = "cpu",
    ) -> None:
        try:
            from transformers import ClapModel, ClapProcessor, CLIPVisionModelWithProjection
        except ImportError as error:
            raise RecipeError(
                "encoder `hub` needs transformers; install it with `pip install soundspot[hub]`"
            ) from error
        try:
            self.clip = CLIPVisionModelWithProjection.from_pretrained(clip_name).to(device).eval()
            self.clap = ClapModel.from_pretrained(clap_name).to(device).eval()
            self.clap_input = ClapProcessor.from_pretrained(clap_name)
        except (OSError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise RecipeError(
                f"{clip_name} or {clap_name} cannot be loaded ({reason}); name one on the hub or a folder"
            ) from error
        self.clip_input = ImageSpec(self.clip.config.image_size, "crop", CLIP_MEAN, CLIP_STD)
        self.device, self.name = device, f"{clip_name}, {clap_name}"

    @property
    def weights_digest(self) -> str:
        """Hash of the weights of both models, 16 hexadecimal digits."""
        return weights_digest(torch.nn.ModuleList([self.clip, self.clap]))

    @torch.inference_mode()
    def embed_images(self, images: list[Image.Image]) -> Float[Tensor, "b d"]:
        """Embed images by CLIP.

        Args:
            images: b RGB images; the shorter side is resized to CLIP's input and the center cropped.

        Returns:
            (b, d) unit-norm embeddings, float32, on the CPU.
        """
        pixels = preprocess_images(images, self.clip_input).to(self.device)
        return F.normalize(self.clip(pixel_values=pixels).image_embeds, dim=1).cpu()

    @torch.inference_mode()
    def embed_audio(self, audio: list[Audio]) -> Float[Tensor, "b d"]:
        """Embed audio by CLAP; a long one by the mean of its windows.

        CLAP's feature extractor would cut audio of more than 10 s at random, and mark one of a batch of short ones as
        long at random. Here each window is as long as CLAP takes, so that nothing is cut and nothing is long: the same
        audio has the same embedding, whatever else is in its batch.

        Args:
            audio: b audio signals of any rates; resampled, divided into as few windows as cover it, evenly spaced from
                the beginning to the end, and padded by CLAP's feature extractor.

        Returns:
            (b, d) unit-norm embeddings, float32, on the CPU.
        """
        extractor = self.clap_input.feature_extractor
        windows = [divide(resample(clip, extractor.sampling_rate).waveform, extractor.nb_max_samples) for clip in audio]
        vectors = [self._embed_window(window) for clip in windows for window in clip]
        means = [rows.mean(dim=0) for rows in torch.cat(vectors).split([len(clip) for clip in windows])]
        return F.normalize(torch.stack(means), dim=1).cpu()

    def _embed_window(self, window: Float[Tensor, " t"]) -> Float[Tensor, "1 d"]:
        rate = self.clap_input.feature_extractor.sampling_rate
        inputs: Any = self.clap_input(audio=[window.numpy()], sampling_rate=rate, return_tensors="pt")
        if "is_longer" in inputs:
            inputs["is_longer"] = torch.zeros_like(inputs["is_longer"])
        features = self.clap.get_audio_features(**inputs.to(self.device))
        return F.normalize(features if isinstance(features, Tensor) else features.pooler_output, dim=1)


def divide(waveform: Float[Tensor, " t"], length: int) -> list[Float[Tensor, " w"]]:
    """Divide a waveform into as few windows of one length as cover it, evenly spaced.

    Args:
        waveform: (t,) samples.
        length: number of samples of a window.

    Returns:
        The windows from the beginning to the end, which may overlap; the waveform itself where it is not longer. A rest
        of up to 1 % of a window, which codecs add, makes no further window.
    """
    count = math.ceil(len(waveform) / length - MAX_REST)
    if count < 2:
        return [waveform[:length]]
    starts = (round(number * (len(waveform) - length) / (count - 1)) for number in range(count))
    return [waveform[start : start + length] for start in starts]


def fetch_checkpoint(name: str) -> Path:
    """Download a checkpoint from the Hugging Face hub, or find it in the hub's cache.

    Args:
        name: `OWNER/NAME` (its model.safetensors) or `OWNER/NAME/FILE`.

    Returns:
        Path of the file on this machine.

    Raises:
        CheckpointError: huggingface_hub is not installed, the name is not of that form, or the file cannot be fetched.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise CheckpointError(
            f"hub:{name} needs huggingface_hub; install it with `pip install soundspot[hub]`"
        ) from error
    owner, _, rest = name.partition("/")
    repository, _, file = rest.partition("/")
    if not (owner and repository):
        raise CheckpointError(f"hub:{name}: found no owner and name; expected hub:OWNER/NAME or hub:OWNER/NAME/FILE")
    try:
        return Path(hf_hub_download(f"{owner}/{repository}", file or "model.safetensors"))
    except Exception as error:  # the hub's client raises a dozen kinds, of three libraries
        reason = str(error).splitlines()[0]
        raise CheckpointError(f"hub:{name} cannot be fetched ({reason}); check the name and the network") from error
