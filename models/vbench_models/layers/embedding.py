"""From pixels to tokens: a video cut into tubelets, each projected to one token; before that, frames left out.

Arnab et al., "ViViT: A Video Vision Transformer", ICCV 2021, sec. 3.2, https://arxiv.org/abs/2103.15691.
A tubelet of 1 x 16 x 16 is the patch embedding of ViT, frame by frame.
"""

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class TubeletEmbedding(nn.Module):
    """One 3D convolution whose kernel and stride are the tubelet (t, h, w)."""

    def __init__(self, tubelet_size: tuple[int, int, int], embed_dim: int, in_channels: int = 3) -> None:
        super().__init__()
        self.proj = nn.Conv3d(in_channels, embed_dim, kernel_size=tubelet_size, stride=tubelet_size)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b t h w c"]:
        """The token grid of a video; what a tubelet does not cover is cut off, so ask `token_grid` first."""
        tokens: Tensor = self.proj(video)
        return rearrange(tokens, "b c t h w -> b t h w c")


class UniformFrames(nn.Module):
    """`num_frames` frames of a video, evenly spread: the paper's other tokeniser is this before tubelets of one frame.

    As `nn.Sequential(UniformFrames(8), network)`, with a network for clips of 8 frames. The frames are those that the
    official code takes: k / (num_frames + 1) of the video, rounded, for k = 1, 2, ...; all, where there are no more.
    """

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames

    def forward(
        self, video: Float[Tensor, "b channels frames height width"]
    ) -> Float[Tensor, "b channels sampled height width"]:
        """The frames that are kept, in their order."""
        frames = video.shape[2]
        if frames <= self.num_frames:
            return video
        places = [round(k * frames / (self.num_frames + 1)) for k in range(1, self.num_frames + 1)]
        return video.index_select(2, torch.tensor(places, device=video.device))
