"""The encoder of a ViT: a class token, learned positions, blocks, and what the class token has gathered.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, sec. 3.1, https://arxiv.org/abs/2010.11929.
"""

from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.positions import learned, prepend


class Encoder(nn.Module):
    """The given blocks, on `b n c`, over `num_tokens` tokens and a class token in front of them."""

    def __init__(self, embed_dim: int, num_tokens: int, blocks: nn.Sequential) -> None:
        super().__init__()
        self.cls_token = learned(1, 1, embed_dim)
        self.positions = learned(1, 1 + num_tokens, embed_dim)
        self.blocks = blocks
        self.norm = nn.LayerNorm(embed_dim, eps=1e-6)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b c"]:
        """The normalised class token after the blocks."""
        x = self.blocks(prepend(self.cls_token, x) + self.positions)
        gathered: Tensor = self.norm(x[:, 0])
        return gathered
