"""Slot attention over two modalities that begin at the same learned slots, and the decoders of the slots.

I. Kim, Song, Park, W. H. Kim and Kwak, "Improving Sound Source Localization with Joint Slot Attention on Image and
Audio", CVPR 2025, after Locatello et al., "Object-Centric Learning with Slot Attention", NeurIPS 2020. b batch, n
tokens, s slots, d channels. Unlike Locatello's, the first slots are a learned parameter, the same for image and audio:
nothing is drawn.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

EPS = 1e-8  # added to each attention weight before a slot's weights are divided by their sum


def attend(
    queries: Float[Tensor, "b s d"], keys: Float[Tensor, "b n d"], logit_scale: float = 1.0
) -> Float[Tensor, "b s n"]:
    """Compute slot attention: a softmax over *slots*, then normalization of each slot over tokens.

    In full precision under autocast: at a scale of 0.1 an entire map varies by one part in a hundred.

    Args:
        queries: (b, s, d) queries of s slots.
        keys: (b, n, d) keys of n tokens.
        logit_scale: factor of the logits, queries . keys / sqrt(d). The released code calls it "sharpening"; at its 0.1
            the softmax is nearly linear and the maps are flatter.

    Returns:
        (b, s, n) positive weights with sum 1 over the n tokens.
    """
    with torch.autocast(queries.device.type, enabled=False):
        logits = logit_scale * queries @ keys.transpose(-1, -2) / queries.shape[-1] ** 0.5
        weights = torch.softmax(logits, dim=1) + EPS
        return weights / weights.sum(dim=-1, keepdim=True)


@dataclass(frozen=True)
class SlotState:
    """Slots of one modality after slot attention.

    Attributes:
        slots: (b, s, d) slots after the last iteration, not normalized; slot 0 is the target.
        queries: (b, s, d) queries of the last iteration, computed *before* its update; attention maps are computed from
            them.
        keys: (b, n, d) keys of the tokens.
    """

    slots: Float[Tensor, "b s d"]
    queries: Float[Tensor, "b s d"]
    keys: Float[Tensor, "b n d"]


class SlotAttention(nn.Module):
    """Slot attention over the tokens of one modality.

    Args:
        width: dimension d of tokens and slots.
        hidden: dimension of the hidden layer of the MLP; None: twice d.
    """

    def __init__(self, width: int, hidden: int | None = None) -> None:
        super().__init__()
        hidden = hidden or 2 * width
        self.mask_token = nn.Parameter(torch.randn(1, 1, width))
        self.norm_input, self.norm_slots, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.gru = nn.GRUCell(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(inplace=True), nn.Linear(hidden, width))

    def forward(
        self,
        tokens: Float[Tensor, "b n d"],
        initial_slots: Float[Tensor, "1 s d"],
        iterations: int,
        mask: Bool[Tensor, "b n"] | None = None,
    ) -> SlotState:
        """Run slot attention, in the parameters' precision even under autocast: five updates add their errors up.

        Args:
            tokens: (b, n, d) tokens.
            initial_slots: (1, s, d) initial slots, the same for all samples.
            iterations: number of updates, 1 or more.
            mask: (b, n) bool, True where a token is replaced by the learned mask token, which remains among keys and
                values; None: no token is.

        Returns:
            Slots (b, s, d), queries (b, s, d) and keys (b, n, d), in the dtype of `initial_slots`.
        """
        with torch.autocast(tokens.device.type, enabled=False):
            tokens = tokens.to(initial_slots.dtype)
            if mask is not None:
                tokens = torch.where(mask[..., None], self.mask_token, tokens)
            tokens = self.norm_input(tokens)
            keys, values = self.to_k(tokens), self.to_v(tokens)
            slots = initial_slots.expand(tokens.shape[0], -1, -1)  # exporters take len() for a constant
            for _ in range(iterations):
                queries = self.to_q(self.norm_slots(slots))
                update = attend(queries, keys) @ values
                slots = self.gru(update.flatten(0, 1), slots.flatten(0, 1)).view_as(slots)
                slots = slots + self.mlp(self.norm_mlp(slots))
            return SlotState(slots, queries, keys)


class SlotDecoder(nn.Module):
    """Decoder of features from slots: each slot is copied to all cells, and a softmax over slots mixes them.

    Args:
        width: dimension d of slots and features, an even number.
        grid_size: number of rows and columns of the feature map.
    """

    def __init__(self, width: int, grid_size: tuple[int, int]) -> None:
        super().__init__()
        self.rows, self.columns = (nn.Parameter(torch.rand(count, width // 2)) for count in grid_size)
        layers: list[nn.Module] = []
        for _ in range(3):
            layers += [nn.Linear(width, width), nn.ReLU(inplace=True)]
        self.mlp = nn.Sequential(*layers, nn.Linear(width, width + 1))

    def forward(self, slots: Float[Tensor, "b s d"]) -> Float[Tensor, "b n d"]:
        """Decode slots to the features of all cells.

        Args:
            slots: (b, s, d) slots.

        Returns:
            (b, n, d) features of the n = rows * columns cells, row by row.
        """
        h, w = len(self.rows), len(self.columns)
        columns, rows = self.columns[None].expand(h, -1, -1), self.rows[:, None].expand(-1, w, -1)
        position = torch.cat([columns, rows], dim=-1).flatten(0, 1)  # the column's half comes first, as released
        decoded = self.mlp(slots[:, :, None] + position)
        return (decoded[..., :-1] * torch.softmax(decoded[..., -1:], dim=1)).sum(dim=1)
