"""Batch norm whose statistics and scales are fixed: buffers only, no parameter and nothing learnt.

Detectors keep the norms of a pre-trained ResNet as they are, for their batches are too small for statistics of their
own: Ren et al., "Faster R-CNN", 2015, as released with He et al.'s ResNet; Carion et al., "End-to-End Object Detection
with Transformers", 2020, sec. A.4, https://arxiv.org/abs/2005.12872. The buffers are weights: a state dict holds them.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class FrozenBatchNorm2d(nn.Module):
    """(x - mean) / sqrt(variance + eps) * weight + bias for each channel, in training as in inference."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """The same affine map at every position."""
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )
