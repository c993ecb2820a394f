"""An audio-visual transformer: frames and a spectrogram in two ViTs that meet in a few bottleneck tokens.

Nagrani et al., "Attention Bottlenecks for Multimodal Fusion" (MBT), NeurIPS 2021, sec. 3, https://arxiv.org/abs/2107.00135;
details from the official code in Scenic (projects/mbt): tubelets of 2 x 16 x 16 on 32 frames, each table of positions
learned, one set of bottleneck tokens that both streams extend in the same layer and whose two versions are averaged,
one norm and one classifier for both class tokens, logits averaged, GELU by its tanh approximation.

Differs from the code: its released configuration names global average pooling, which its bottlenecks cannot be built
with; its class token variant adds a fifth bottleneck; here are the paper's class tokens and four. No stochastic depth,
weights start as torch starts them.
"""

from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vbench_models.layers.attention import AttentionConfig, MultiHeadAttention
from vbench_models.layers.block import Block
from vbench_models.layers.embedding import TubeletEmbedding
from vbench_models.layers.mlp import MLP
from vbench_models.layers.positions import learned, prepend
from vbench_models.video import Clip, TokenGrid, token_grid

RATE, BINS = 100, 128  # a log-mel spectrum of 128 bins every 10 ms


@dataclass(frozen=True, kw_only=True)
class AudioVisualConfig:
    """Widths of both streams; the length of the sound does not depend on the clip's."""

    video_tubelet: tuple[int, int, int] = (2, 16, 16)
    audio_patch: tuple[int, int] = (16, 16)  # in time and frequency
    audio_seconds: int = 8
    embed_dim: int = 768
    depth: int = 12
    fusion_layer: int = 8  # layers before it see one stream alone
    num_bottlenecks: int = 4
    num_heads: int = 12
    mlp_ratio: float = 4.0
    num_classes: int = 400

    def block(self) -> Block:
        """A new block of a ViT."""
        attention = AttentionConfig(embed_dim=self.embed_dim, num_heads=self.num_heads)
        mlp = MLP(self.embed_dim, self.mlp_ratio, approximate="tanh")
        return Block(self.embed_dim, MultiHeadAttention(attention), mlp)


AUDIO_VISUAL_B = AudioVisualConfig()


class Stream(nn.Module):
    """One modality before it meets the other: tubelets behind a class token, positions, blocks."""

    def __init__(self, config: AudioVisualConfig, tubelet_size: tuple[int, int, int], grid: TokenGrid) -> None:
        super().__init__()
        self.embedding = TubeletEmbedding(tubelet_size, config.embed_dim)
        self.cls_token = learned(1, 1, config.embed_dim)
        self.positions = learned(1, 1 + grid.tokens, config.embed_dim)
        self.blocks = nn.Sequential(*(config.block() for _ in range(config.fusion_layer)))

    def forward(self, x: Float[Tensor, "b channels frames height width"]) -> Float[Tensor, "b n c"]:
        """The tokens after the blocks, the class token first."""
        tokens = rearrange(self.embedding(x), "b t h w c -> b (t h w) c")
        out: Tensor = self.blocks(prepend(self.cls_token, tokens) + self.positions)
        return out


class Fusion(nn.Module):
    """One layer of both streams: each attends to itself and the bottleneck, which is all that it hears of the other."""

    def __init__(self, config: AudioVisualConfig) -> None:
        super().__init__()
        self.video = config.block()
        self.audio = config.block()

    def forward(
        self, video: Float[Tensor, "b n c"], audio: Float[Tensor, "b m c"], bottleneck: Float[Tensor, "b k c"]
    ) -> tuple[Float[Tensor, "b n c"], Float[Tensor, "b m c"], Float[Tensor, "b k c"]]:
        """Both streams after the layer, and the mean of what they made of the bottleneck."""
        n, m, k = video.shape[1], audio.shape[1], bottleneck.shape[1]
        video, seen = self.video(torch.cat((video, bottleneck), dim=1)).split((n, k), dim=1)
        audio, heard = self.audio(torch.cat((audio, bottleneck), dim=1)).split((m, k), dim=1)
        return video, audio, (seen + heard) / 2


class AudioVisual(nn.Module):
    """Two streams, their fusion, and a classifier of both class tokens.

    Raises:
        UnsupportedClipError: the tubelets do not tile the clip.
    """

    def __init__(self, config: AudioVisualConfig, clip: Clip) -> None:
        super().__init__()
        self.config = config
        tubelet = (1, *config.audio_patch)
        sound = Clip(frames=1, height=config.audio_seconds * RATE, width=BINS)
        self.video = Stream(config, config.video_tubelet, token_grid(clip, config.video_tubelet))
        self.audio = Stream(config, tubelet, token_grid(sound, tubelet))
        self.bottleneck = learned(1, config.num_bottlenecks, config.embed_dim)
        self.fusion = nn.ModuleList(Fusion(config) for _ in range(config.fusion_layer, config.depth))
        self.norm = nn.LayerNorm(config.embed_dim, eps=1e-6)
        self.head = nn.Linear(config.embed_dim, config.num_classes)

    def further_inputs(self, video: Tensor) -> tuple[Float[Tensor, "b 3 time bins"]]:
        """A spectrogram that rises from -1 to 1: its content does not change the cost."""
        shape = (self.config.audio_seconds * RATE, BINS)
        ramp = torch.linspace(-1, 1, shape[0] * shape[1], device=video.device, dtype=video.dtype).reshape(shape)
        return (repeat(ramp, "time bins -> b 3 time bins", b=len(video)),)

    def forward(
        self,
        video: Float[Tensor, "b channels frames height width"],
        spectrogram: Float[Tensor, "b 3 time bins"],
    ) -> Float[Tensor, "b classes"]:
        """The mean of the logits read off the two class tokens; the spectrogram comes three times, as an image."""
        seen, heard = self.video(video), self.audio(rearrange(spectrogram, "b c time bins -> b c 1 time bins"))
        bottleneck = self.bottleneck.repeat(len(video), 1, 1)
        for fusion in self.fusion:
            seen, heard, bottleneck = fusion(seen, heard, bottleneck)
        logits: Tensor = self.head(self.norm(torch.stack((seen[:, 0], heard[:, 0]))))
        return logits.mean(dim=0)


def audio_visual(clip: Clip) -> AudioVisual:
    """MBT-B/16x2 for clips of this size and eight seconds of sound, 400 classes."""
    return AudioVisual(AUDIO_VISUAL_B, clip)
