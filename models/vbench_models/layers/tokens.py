"""The tokens of a clip as a plain ViT makes them: patches with a learned position each, behind class tokens.

Dosovitskiy et al., "An Image is Worth 16x16 Words", ICLR 2021, sec. 3.1, https://arxiv.org/abs/2010.11929, for frames:
Bertasius et al., "Is Space-Time Attention All You Need for Video Understanding?", ICML 2021, sec. 3,
https://arxiv.org/abs/2102.05095.
"""

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.positions import learned, prepend
from vbench_models.video import TokenGrid


class SpaceTimeTokens(nn.Module):
    """One class token and the patches of all frames, with a learned position in the frame and one in time."""

    def __init__(self, tubelet_size: tuple[int, int, int], embed_dim: int, grid: TokenGrid) -> None:
        super().__init__()
        self.embedding = TubeletEmbedding(tubelet_size, embed_dim)
        self.cls_token = learned(1, 1, embed_dim)
        self.positions = learned(1, 1 + grid.h * grid.w, embed_dim)
        self.times = learned(1, grid.t, embed_dim)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b n c"]:
        """The tokens of a video, n = 1 + t*h*w; the class token has no place in time."""
        patches = rearrange(self.embedding(video), "b t h w c -> b t (h w) c")
        patches = patches + self.positions[:, 1:] + rearrange(self.times, "1 t c -> 1 t 1 c")
        return prepend(self.cls_token + self.positions[:, :1], rearrange(patches, "b t hw c -> b (t hw) c"))


class FrameTokens(nn.Module):
    """The patches of each frame behind a class token of its own, with a learned position in the frame."""

    def __init__(self, tubelet_size: tuple[int, int, int], embed_dim: int, grid: TokenGrid) -> None:
        super().__init__()
        self.embedding = TubeletEmbedding(tubelet_size, embed_dim)
        self.cls_token = learned(1, 1, embed_dim)
        self.positions = learned(1, 1 + grid.h * grid.w, embed_dim)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "bt n c"]:
        """The frames of a video as so many images, n = 1 + h*w."""
        patches = rearrange(self.embedding(video), "b t h w c -> (b t) (h w) c")
        return prepend(self.cls_token, patches) + self.positions
