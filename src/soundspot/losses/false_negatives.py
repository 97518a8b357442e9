"""What FNAC adds to a contrastive loss: likenesses inside one modality tell false negatives from true ones.

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
    """Three distances between b x b matrices, each row of which is a softmax of likenesses / tau.

    With L the best places' cosines of pictures and sounds, A of sounds and sounds, F of foregrounds and foregrounds, I
    of pictures and pictures, they are |A - L|, |A - F| and |I - L|, mean over the entries, summed over the pairs of
    views. As in the released code, foreground and picture are means over *all* places of unit features (a foreground's
    with 0 where the min-max map is not above `above`), not scaled to unit norm again, and nothing is detached.

    Args:
        grids, vectors: unit-norm features of places and sounds.

    Returns:
        The terms FNS-1, TNS and FNS-2 of the released code, unweighted.
    """
    maps = all_pair_maps(image_features, audio_embeddings)
    own = local_diagonal(maps).transpose(-1, -2)  # (v, u, b, p)
    low, high = (end.detach() for end in torch.aminmax(own, dim=-1, keepdim=True))
    front = ((own - low) / (high - low + 1e-5) > foreground_threshold).to(image_features.dtype)
    places = image_features.flatten(-2)
    foregrounds = all_gather_with_grad(torch.einsum("vicp,vuip->vuic", places, front) / places.shape[-1], 2)
    pictures, audio_embeddings = all_gather_with_grad(places.mean(dim=-1), 1), all_gather_with_grad(audio_embeddings, 1)

    def rows(likeness: Tensor) -> Tensor:
        return torch.softmax(likeness / tau, dim=-1)

    pairs = rows(all_gather_with_grad(maps.amax(dim=-1), 2))
    sounds = rows(torch.einsum("uic,ujc->uij", audio_embeddings, audio_embeddings))[None]
    fronts = rows(torch.einsum("vuic,vujc->vuij", foregrounds, foregrounds))
    inside = rows(torch.einsum("vic,vjc->vij", pictures, pictures))[:, None]
    return _distance(sounds, pairs), _distance(sounds, fronts), _distance(inside, pairs)


def _distance(one: Float[Tensor, "*#views b b"], two: Float[Tensor, "*#views b b"]) -> Float[Tensor, ""]:
    return (one - two).abs().mean(dim=(-2, -1)).sum()
