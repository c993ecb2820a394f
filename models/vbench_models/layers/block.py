"""The pre-norm transformer block around any attention.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, eq. 2 and 3, https://arxiv.org/abs/2010.11929.
No dropout, no stochastic depth.
"""

from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.mlp import MLP


class Block(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); the attention says which axes the tokens have."""

    def __init__(self, embed_dim: int, attention: nn.Module, mlp: MLP, norm_eps: float = 1e-6) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.attention = attention
        self.mlp_norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.mlp = mlp

    def forward(self, x: Float[Tensor, "b *tokens c"]) -> Float[Tensor, "b *tokens c"]:
        """The residual stream after the block: `b n c` for a sequence, `b t h w c` for a grid."""
        x = x + self.attention(self.attention_norm(x))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out
