"""k-NN ViViT: ViViT's model 1 in which every token attends to the k tokens that score highest for it.

Sun et al., "k-NN attention-based video vision transformer for action recognition", Neurocomputing 574, 2024,
https://mro.massey.ac.nz/items/e4824618-ecf8-49d9-8659-c3a7464cadfb: ViViT with k-NN attention instead of its own. No
code is known, and what was read, the abstract, gives neither widths nor k. So each part is as it was published:
ViViT-B/16x2, model 1, by Arnab et al., "ViViT", ICCV 2021, sec. 3.3, https://arxiv.org/abs/2103.15691; the attention,
with k = 100 in every block, by Wang et al., "KVT", ECCV 2022, sec. 3.2, https://arxiv.org/abs/2106.00515. The class
token asks and is asked as every other token.
"""

from dataclasses import dataclass

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.attention.knn import KnnAttention, KnnConfig
from vbench_models.layers.block import Block
from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.encoder import Encoder
from vbench_models.layers.mlp import MLP
from vbench_models.video import Clip, token_grid


@dataclass(frozen=True, kw_only=True)
class KnnViViTConfig:
    """Widths of a k-NN ViViT and the number of keys kept; the clip's size is given when it is built."""

    tubelet_size: tuple[int, int, int] = (2, 16, 16)
    embed_dim: int = 768
    depth: int = 12
    num_heads: int = 12
    mlp_ratio: float = 4.0
    neighbors: int = 100
    num_classes: int = 400

    @property
    def attention(self) -> KnnConfig:
        """Every attention of the network."""
        return KnnConfig(embed_dim=self.embed_dim, num_heads=self.num_heads, neighbors=self.neighbors)


KNN_VIVIT_B = KnnViViTConfig()


class SequenceKnnAttention(KnnAttention):
    """k-NN attention among the tokens of a sequence: nearness is a matter of score, so a grid of one row will do."""

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        """The update of every token; the residual is the caller's."""
        update = super().forward(rearrange(x, "b n c -> b 1 1 n c"))
        return rearrange(update, "b 1 1 n c -> b n c")


class KnnViViT(nn.Module):
    """Tubelets and a class token, blocks of k-NN attention, and a linear head on the class token.

    Raises:
        UnsupportedClipError: the tubelets do not tile the clip.
    """

    def __init__(self, config: KnnViViTConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        self.embedding = TubeletEmbedding(config.tubelet_size, config.embed_dim)
        self.encoder = Encoder(config.embed_dim, token_grid(clip, config.tubelet_size).tokens, knn_blocks(config))
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def forward(self, video: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b classes"]:
        """Logits, read off the class token."""
        x = self.encoder(rearrange(self.embedding(video), "b t h w c -> b (t h w) c"))
        logits: Tensor = self.head(x)
        return logits


def knn_blocks(config: KnnViViTConfig) -> nn.Sequential:
    """The blocks, on `b n c`; GELU by its tanh approximation, as ViViT's."""
    return nn.Sequential(
        *(
            Block(
                config.embed_dim,
                SequenceKnnAttention(config.attention),
                MLP(config.embed_dim, config.mlp_ratio, approximate="tanh"),
            )
            for _ in range(config.depth)
        )
    )


def knn_vivit_b(clip: Clip) -> KnnViViT:
    """ViViT-B/16x2, model 1, with k-NN attention, for clips of this size."""
    return KnnViViT(KNN_VIVIT_B, clip)
