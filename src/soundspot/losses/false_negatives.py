"""FNAC's terms: similarities within one modality tell false negatives from true ones.

Sun et al., "Learning Audio-Visual Source Localization via False Negative Aware Contrastive Learning", CVPR 2023,
and its released code (OpenNLPLab/FNAC_AVL, commit 0a0ca78a), which it follows where the two differ.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from soundspot.losses.contrastive import all_pair_maps, full_precision
from soundspot.utils.distributed import all_gather_with_grad, local_diagonal


@full_precision
def false_negative_losses(
    image_features: Float[Tensor, "v b c h w"],
    audio_embeddings: Float[Tensor, "u b c"],
    tau: float = 0.03,
    foreground_threshold: float = 0.6,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """Compute three distances between b x b matrices, each row of which is a softmax of similarities / tau.

    With L the maximal cosines of images and audio, A of audio and audio, F of foregrounds and foregrounds, I of images
    and images, they are |A - L|, |A - F| and |I - L|, mean over the entries, summed over the pairs of views. As in the
    released code, foreground and image are means over *all* locations of unit-norm features (a foreground's with 0
    where the min-max normalized map is not above the threshold), not scaled to unit norm again, and nothing is
    detached.

    Args:
        image_features: (v, b, c, h, w) features of unit L2 norm over c, of this process.
        audio_embeddings: (u, b, c) embeddings of unit L2 norm, of this process.
        tau: temperature, by which similarities are divided before the softmax.
        foreground_threshold: value, in [0, 1], of a min-max normalized map above which a location is foreground.

    Returns:
        Three scalars, the terms FNS-1 (|A - L|), TNS (|A - F|) and FNS-2 (|I - L|) of the released code, unweighted.
    """
    maps = all_pair_maps(image_features, audio_embeddings)
    matched = local_diagonal(maps).transpose(-1, -2)  # (v, u, b, p)
    low, high = (extreme.detach() for extreme in torch.aminmax(matched, dim=-1, keepdim=True))
    mask = ((matched - low) / (high - low + 1e-5) > foreground_threshold).to(image_features.dtype)
    features = image_features.flatten(-2)
    foregrounds = all_gather_with_grad(torch.einsum("vicp,vuip->vuic", features, mask) / features.shape[-1], 2)
    images, audio = all_gather_with_grad(features.mean(dim=-1), 1), all_gather_with_grad(audio_embeddings, 1)

    def softmax(similarity: Tensor) -> Tensor:
        return torch.softmax(similarity / tau, dim=-1)

    pairs = softmax(all_gather_with_grad(maps.amax(dim=-1), 2))
    audio_pairs = softmax(torch.einsum("uic,ujc->uij", audio, audio))[None]
    foreground_pairs = softmax(torch.einsum("vuic,vujc->vuij", foregrounds, foregrounds))
    image_pairs = softmax(torch.einsum("vic,vjc->vij", images, images))[:, None]
    compared = (audio_pairs, pairs), (audio_pairs, foreground_pairs), (image_pairs, pairs)
    fns1, tns, fns2 = ((first - second).abs().mean(dim=(-2, -1)).sum() for first, second in compared)
    return fns1, tns, fns2
