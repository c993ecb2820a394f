"""Learned tables and tokens, and where a class token goes.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, sec. 3.1, https://arxiv.org/abs/2010.11929.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def learned(*shape: int) -> nn.Parameter:
    """A parameter of `shape`, from a normal distribution of deviation 0.02 cut at two units, as ViT's tables."""
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(shape), std=0.02, a=-2.0, b=2.0))


def prepend(token: Float[Tensor, "1 1 c"], x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n+1 c"]:
    """The sequences of a batch, each with `token` in front."""
    return torch.cat((token.expand(len(x), -1, -1), x), dim=1)
