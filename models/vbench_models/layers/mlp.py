"""The two-layer perceptron of a transformer block.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, sec. 3.1, https://arxiv.org/abs/2010.11929. No dropout.
"""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

Approximation = Literal["none", "tanh"]


class MLP(nn.Module):
    """Linear, GELU, linear, on each token alone; `approximate` is GELU's own argument, "tanh" in the Flax models.

    What comes out has `out_dim` channels, by default as many as what goes in.
    """

    def __init__(
        self, embed_dim: int, mlp_ratio: float = 4.0, approximate: Approximation = "none", out_dim: int | None = None
    ) -> None:
        super().__init__()
        hidden_dim = int(embed_dim * mlp_ratio)
        self.fc1 = nn.Linear(embed_dim, hidden_dim)
        self.activation = nn.GELU(approximate=approximate)
        self.fc2 = nn.Linear(hidden_dim, out_dim or embed_dim)

    def forward(self, x: Float[Tensor, "*tokens c"]) -> Float[Tensor, "*tokens c2"]:
        """The update of every token; the residual is the caller's."""
        update: Tensor = self.fc2(self.activation(self.fc1(x)))
        return update
