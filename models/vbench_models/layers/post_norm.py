"""The post-norm transformer block around any attention: a norm after each residual sum, on the stream itself.

Vaswani et al., "Attention Is All You Need", NIPS 2017, sec. 3.1, https://arxiv.org/abs/1706.03762: LayerNorm(x +
Sublayer(x)). The stream leaves every block normalised, so that no norm follows the last one (Xiong et al., "On Layer
Normalization in the Transformer Architecture", ICML 2020, fig. 1, https://arxiv.org/abs/2002.04745). No dropout.
"""

from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.mlp import MLP


class PostNormBlock(nn.Module):
    """norm(x + attention(x)), then norm(x + mlp(x)); the attention says which axes the tokens have."""

    def __init__(self, embed_dim: int, attention: nn.Module, mlp: MLP, norm_eps: float = 1e-6) -> None:
        super().__init__()
        self.attention = attention
        self.attention_norm = nn.LayerNorm(embed_dim, eps=norm_eps)
        self.mlp = mlp
        self.mlp_norm = nn.LayerNorm(embed_dim, eps=norm_eps)

    def forward(self, x: Float[Tensor, "b *tokens c"]) -> Float[Tensor, "b *tokens c"]:
        """The residual stream after the block, normalised: `b n c` for a sequence, `b t h w c` for a grid."""
        x = self.attention_norm(x + self.attention(x))
        out: Tensor = self.mlp_norm(x + self.mlp(x))
        return out
