"""DenseAV: each moment of the audio is compared with each location of the image, by one or two heads.

Hamilton, Zisserman, Hershey and Freeman, "Separating the Chirp from the Chat: Self-supervised Visual Grounding of Sound
and Language", CVPR 2024. Inference with the released weights (mhamilton723/DenseAV at 2221b8c, MIT), by its arithmetic:

    s_k(t, x) = < a_k(t), v_k(x) >  [ + < a_k(cls), v_k(cls) > ],  map(x) = mean_t max_k s_k(t, x)

v are the features of DINO's ViT-S/8 and a those of HuBERT, each behind an aligner (`soundspot.models.aligners`); the
channels of a head are consecutive, and nothing is normalized. In a video the map of a frame is that of its own moment,
max_k of s_k smoothed over three audio tokens, as in the released demo. It is not trained here.

**Differs here.** Where similarities are clamped at 0 (`non_negative`), so are the smoothed ones of a moment, and not
those that are smoothed. Heat is drawn as for every method, not by the minimum and maximum of the entire video.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from soundspot.config.frontend import InputSpec
from soundspot.config.upsampling import Upsampling
from soundspot.errors import RecipeError
from soundspot.losses.contrastive import full_precision, unit_norm
from soundspot.methods.base import Method, register
from soundspot.methods.option_checks import check_positive
from soundspot.models.aligners import TIME_STRIDE, AudioAligner, ImageAligner
from soundspot.models.dino import DINO
from soundspot.models.hubert import HuBERT

_SIDE = math.exp(-2) / (1 + 2 * math.exp(-2))
BLUR = (_SIDE, 1 - 2 * _SIDE, _SIDE)  # exp(-x^2 / 2) at -2, 0 and 2, with sum 1


@register("denseav", is_trainable=False)
class DenseAV(Method):
    """DenseAV: each moment of the audio is compared with each location of the image.

    Encoded images are (b, e, h, w), encoded audio (b, n, e + 1): n tokens, each followed by its weight in the mean over
    time. e is `width`, or twice that with `class_token`, whose features stand behind those of each head.

    Args:
        width: dimension of the joint space.
        heads: number of heads that the joint space is divided into; maps take the maximum over them.
        class_token: add the similarity of the class tokens of image and audio to every location.
        non_negative: clamp similarities at 0.
        normalize: bring features to unit L2 norm, class tokens excepted.
        image: options of the image encoder, which is `dino`; None: the defaults.
        audio: options of the audio encoder, which is `hubert`; None: the defaults.
        front_end: preprocessing of images and audio; None: the preset `denseav`.

    Raises:
        RecipeError: another encoder, `width` is no multiple of `heads`, or a window too short for one audio token.
    """

    image_encoder: DINO
    audio_encoder: HuBERT
    upsampling = Upsampling("bicubic")
    has_joint_space = True
    resolves_time = True

    def __init__(
        self,
        width: int = 384,
        heads: int = 1,
        class_token: bool = False,
        non_negative: bool = False,
        normalize: bool = False,
        image: Mapping[str, Any] | None = None,
        audio: Mapping[str, Any] | None = None,
        front_end: InputSpec | None = None,
    ) -> None:
        check_positive(width=width, heads=heads)
        if width % heads:
            raise RecipeError(f"method.width: found {width} with {heads} heads, expected a multiple of the heads")
        super().__init__({"encoder": "dino", **(image or {})}, {"encoder": "hubert", **(audio or {})}, front_end)
        if not (isinstance(self.image_encoder, DINO) and isinstance(self.audio_encoder, HuBERT)):
            raise RecipeError("method 'denseav' has the encoders `dino` and `hubert`; leave other names out")
        self.heads, self.class_token = heads, class_token
        self.non_negative, self.normalize = non_negative, normalize
        self.image_aligner = ImageAligner(self.image_encoder.channels, width)
        self.audio_aligner = AudioAligner(self.audio_encoder.channels, width)
        self.audio_cls = nn.Parameter(torch.randn(self.audio_encoder.channels))
        if self._count_tokens(self.front_end.audio.shape[1]) < 1:
            raise RecipeError(f"method 'denseav': windows of {self.front_end.audio.seconds:g} s have no audio token")

    def encode_images(self, images: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b e h w"]:
        """Encode images as features of each location in the joint space.

        Args:
            images: (b, 3, H, W) images, normalized with the mean and standard deviation of the front end.

        Returns:
            (b, e, h, w) features, not of unit norm, with h = H // 8 for ViT-S/8.
        """
        features, cls = self.image_aligner(*self.image_encoder.encode(images))
        features = unit_norm(features, dim=1) if self.normalize else features
        return self._join(features.movedim(1, -1), cls[:, None, None]).movedim(-1, 1)

    def encode_audio(self, audio: Float[Tensor, "b 1 2 s"]) -> Float[Tensor, "b n e1"]:
        """Encode audio as tokens of 0.18 s in the joint space.

        Args:
            audio: (b, 1, 2, s) samples, and 1 for each that is no padding.

        Returns:
            (b, n, e + 1) tokens, and weights with sum 1, which are 0 for tokens of padding; n depends on s alone.
        """
        num_tokens = self._count_tokens(audio.shape[-1])
        if self.front_end.audio.fill != "none":
            return self._encode_window(audio, num_tokens)
        shortest = next(n for n in range(audio.shape[-1] + 1) if self._count_tokens(n) > 0)
        lengths = audio[:, 0, 1].sum(-1).long().clamp(min=shortest)
        clips = zip(audio.split(1), lengths, strict=True)
        return torch.cat([self._encode_window(clip[..., :length], num_tokens) for clip, length in clips])

    def similarity_map(
        self, encoded_images: Float[Tensor, "b e h w"], encoded_audio: Float[Tensor, "b n e1"]
    ) -> Float[Tensor, "b h w"]:
        """Compute the map of each image with its own audio: the mean over tokens of the maximum over heads.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio`, or of `audio_at`; row i belongs to image i.

        Returns:
            (b, h, w) inner products, not bounded.
        """
        return (self._token_maps(encoded_images, encoded_audio).amax(2) * _weights(encoded_audio)).sum(1)

    def locate_sources(
        self, encoded_images: Float[Tensor, "b e h w"], encoded_audio: Float[Tensor, "b n e1"]
    ) -> tuple[Float[Tensor, "b k h w"], Bool[Tensor, "b k"]]:
        """Compute the map of each head.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio`, or of `audio_at`; row i belongs to image i.

        Returns:
            (b, k, h, w) mean maps of the heads, in their order, and (b, k) bool, True throughout.
        """
        maps = (self._token_maps(encoded_images, encoded_audio) * _weights(encoded_audio)[..., None]).sum(1)
        return maps, torch.ones_like(maps[:, :, 0, 0], dtype=torch.bool)

    def scores(
        self, encoded_images: Float[Tensor, "b e h w"], encoded_audio: Float[Tensor, "b n e1"]
    ) -> Float[Tensor, " b"]:
        """Compute the similarity of each image with its own audio that the release ranks pairs by.

        Args:
            encoded_images: output of `encode_images` for b images.
            encoded_audio: output of `encode_audio` for b audio clips; row i belongs to image i.

        Returns:
            (b,) means over tokens of the maximum over heads and locations.
        """
        maxima = self._token_maps(encoded_images, encoded_audio).amax((2, 3, 4))
        return (maxima * encoded_audio[..., -1].float()).sum(1)

    def audio_at(
        self, encoded_audio: Float[Tensor, "b n e1"], position: Float[Tensor, " b"]
    ) -> Float[Tensor, "b 1 e1"]:
        """Return the audio token at a position, smoothed with its two neighbors.

        Args:
            encoded_audio: output of `encode_audio` for b audio clips.
            position: (b,) fraction of each clip without its padding, from 0 to 1.

        Returns:
            (b, 1, e + 1) token of weight 1.
        """
        count = (encoded_audio[..., -1] > 0).sum(1, keepdim=True)  # (b, 1)
        index = (position.to(count.device)[:, None] * count).long().minimum(count - 1)
        neighbors = (index + torch.arange(-1, 2, device=index.device)).clamp(min=0).minimum(count - 1)
        tokens = encoded_audio.take_along_dim(neighbors[..., None], dim=1)
        token = (tokens * torch.tensor(BLUR, device=index.device)[:, None]).sum(1, keepdim=True)
        return torch.cat([token[..., :-1], torch.ones_like(token[..., -1:])], dim=-1)

    def saliency(self, encoded_images: Float[Tensor, "b e h w"]) -> Float[Tensor, "b h w"]:
        """Return 1 minus the cosine of each location with the mean of the image; no audio is used.

        Args:
            encoded_images: output of `encode_images` for b images.

        Returns:
            (b, h, w) saliency in [0, 2].
        """
        return super().saliency(unit_norm(encoded_images, dim=1))

    def embed_audio(self, audio: Float[Tensor, "b 1 2 s"]) -> Float[Tensor, "b e"]:
        """Embed audio for retrieval by cosine with `embed_images`, which pool evenly where `scores` takes maxima.

        Args:
            audio: (b, 1, 2, s) samples, and 1 for each that is no padding.

        Returns:
            (b, e) mean tokens, brought to unit L2 norm.
        """
        return unit_norm(self.pool_audio(self.encode_audio(audio)))

    def pool_audio(self, encoded_audio: Float[Tensor, "b n e1"]) -> Float[Tensor, "b e"]:
        """Return the mean token of each clip, so that clips of different durations can be compared.

        Args:
            encoded_audio: output of `encode_audio` for b audio clips.

        Returns:
            (b, e) mean tokens, not of unit norm.
        """
        return (encoded_audio[..., :-1] * encoded_audio[..., -1:]).sum(1)

    def _count_tokens(self, samples: int) -> int:
        return self.audio_encoder.count_frames(samples) // TIME_STRIDE // TIME_STRIDE

    def _encode_window(self, audio: Float[Tensor, "b 1 2 s"], num_tokens: int) -> Float[Tensor, "b n e1"]:
        """Encode audio of one length; further tokens, up to `num_tokens`, are zero."""
        cls = self.audio_cls.expand(audio.shape[0], -1)
        tokens, cls = self.audio_aligner(self.audio_encoder(audio), cls)
        tokens = self._join(unit_norm(tokens) if self.normalize else tokens, cls[:, None])
        is_sound = F.interpolate(audio[:, 0, 1:], tokens.shape[1], mode="linear")[:, 0] > 0.01
        is_sound[:, 0] |= ~is_sound.any(1)
        weights = is_sound / is_sound.sum(1, keepdim=True)
        encoded = torch.cat([tokens, weights[..., None].to(tokens.dtype)], dim=-1)
        return F.pad(encoded, (0, 0, 0, num_tokens - encoded.shape[1]))

    def _join(self, features: Float[Tensor, "*b c"], cls: Float[Tensor, "... c"]) -> Float[Tensor, "*b e"]:
        """Append the class token's channels of each head to those of the features, so that products add up."""
        if not self.class_token:
            return features
        pair = [x.unflatten(-1, (self.heads, -1)) for x in (features, cls.expand_as(features))]
        return torch.cat(pair, dim=-1).flatten(-2)

    @full_precision
    def _token_maps(
        self, encoded_images: Float[Tensor, "b e h w"], encoded_audio: Float[Tensor, "b n e1"]
    ) -> Float[Tensor, "b n k h w"]:
        """Compute the similarity of each audio token with each location, for each head."""
        images = encoded_images.float().unflatten(1, (self.heads, -1))
        audio = encoded_audio[..., :-1].float().unflatten(2, (self.heads, -1))
        maps = torch.einsum("bkchw,bnkc->bnkhw", images, audio)
        return maps.clamp(min=0) if self.non_negative else maps


def _weights(encoded_audio: Float[Tensor, "b n e1"]) -> Float[Tensor, "b n 1 1"]:
    return encoded_audio[..., -1].float()[..., None, None]
