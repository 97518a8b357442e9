"""DINO's vision transformer: the tokens of image patches and of the class, all after the last norm.

Caron et al., "Emerging Properties in Self-Supervised Vision Transformers", ICCV 2021. Sizes, names of weights and
LayerNorm's epsilon are those of DenseAV's ViT-S/8 (mhamilton723/DenseAV at 2221b8c), where it is 1e-4; DINO's is 1e-6.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from soundspot.config.frontend import AudioSpec, ImageSpec
from soundspot.errors import RecipeError
from soundspot.models.base import Encoder

NORM_EPS = 1e-4  # in DenseAV of every LayerNorm


class Attention(nn.Module):
    """Multi-head self-attention.

    Args:
        width: number of channels, a multiple of `heads`.
        heads: number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Attend from each token to all.

        Args:
            x: (b, n, c) tokens.

        Returns:
            (b, n, c) tokens.
        """
        query, key, value = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2))


class MLP(nn.Module):
    """Two linear layers with a GELU between, four times as wide.

    Args:
        width: number of channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Transform each token.

        Args:
            x: (b, n, c) tokens.

        Returns:
            (b, n, c) tokens.
        """
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Block of a transformer with norms before attention and MLP.

    Args:
        width: number of channels, a multiple of `heads`.
        heads: number of heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width, NORM_EPS), Attention(width, heads)
        self.norm2, self.mlp = nn.LayerNorm(width, NORM_EPS), MLP(width)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """Apply the block.

        Args:
            x: (b, n, c) tokens.

        Returns:
            (b, n, c) tokens.
        """
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEmbedding(nn.Module):
    """Linear embedding of the patches of an image.

    Args:
        width: number of channels of the tokens.
        patch_size: side of a patch in pixels.
    """

    def __init__(self, width: int, patch_size: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, patch_size, patch_size)

    def forward(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Embed patches.

        Args:
            x: (b, 3, H, W) normalized images.

        Returns:
            (b, c, h, w) embeddings of the whole patches.
        """
        return self.proj(x)


class DINO(Encoder):
    """DINO's vision transformer; by default ViT-S/8 of 224 pixels, with random weights.

    Args:
        in_channels: number of input channels; must be 3.
        patch_size: side of a patch in pixels.
        width: number of channels, a multiple of `heads`.
        depth: number of blocks.
        heads: number of attention heads.
        grid: number of rows and columns of the position embeddings; for other images they are interpolated.

    Raises:
        RecipeError: `in_channels` is not 3, as for audio, or `width` is no multiple of `heads`.
    """

    def __init__(
        self, in_channels: int, patch_size: int = 8, width: int = 384, depth: int = 12, heads: int = 6, grid: int = 28
    ) -> None:
        super().__init__()
        if in_channels != 3:
            raise RecipeError("encoder 'dino' takes images and was given for audio; name it for images")
        if width % heads:
            raise RecipeError(
                f"encoder 'dino': found width {width} and {heads} heads, expected a multiple of the heads"
            )
        self.channels, self.patch_size, self.grid = width, patch_size, grid
        self.build_options = {"encoder": "dino"}
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + grid * grid, width))
        self.patch_embed = PatchEmbedding(width, patch_size)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, NORM_EPS)
        for parameter in (self.cls_token, self.pos_embed):
            nn.init.trunc_normal_(parameter, std=0.02)

    def forward(self, x: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b c h w"]:
        """Compute the feature map of images.

        Args:
            x: (b, 3, H, W) normalized images; what is less than a patch at the right and at the bottom is not used.

        Returns:
            (b, c, h, w) tokens of the patches, with h = H // patch_size.
        """
        return self.encode(x)[0]

    def encode(self, x: Float[Tensor, "b 3 H W"]) -> tuple[Float[Tensor, "b c h w"], Float[Tensor, "b c"]]:
        """Compute the tokens of patches and the class token.

        Args:
            x: (b, 3, H, W) normalized images.

        Returns:
            (b, c, h, w) tokens of the patches and (b, c) class tokens, both after the last norm.
        """
        patches = self.patch_embed(x)
        h, w = patches.shape[-2:]
        tokens = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), patches.flatten(2).mT], dim=1)
        tokens = tokens + self._positions(h, w)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return tokens[:, 1:].mT.unflatten(2, (h, w)), tokens[:, 0]

    def check_front_end(self, spec: ImageSpec | AudioSpec) -> None:
        """Raise RecipeError for images smaller than a patch.

        Args:
            spec: preprocessing of images.

        Raises:
            RecipeError: `spec.size` is below the side of a patch.
        """
        assert isinstance(spec, ImageSpec)
        if spec.size < self.patch_size:
            raise RecipeError(f"encoder 'dino': found images of {spec.size} pixels, smaller than one of its cells")

    def _positions(self, h: int, w: int) -> Float[Tensor, "1 n c"]:
        """Return position embeddings of the class and h x w patches; DINO enlarges by (h + 0.1) / grid."""
        if (h, w) == (self.grid, self.grid):
            return self.pos_embed
        grid = self.pos_embed[:, 1:].mT.unflatten(2, (self.grid, self.grid))
        scale = (h + 0.1) / self.grid, (w + 0.1) / self.grid
        patches = F.interpolate(grid, scale_factor=scale, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], patches.flatten(2).mT], dim=1)
