"""What no catalog key has: patterns at other fractions, a sketch that masks instead of skipping, one that is blind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from einops import rearrange
from torch import Tensor, nn

from vbench.measure.count import tally
from vbench.measure.subject import PATTERN_DIM, PATTERN_HEADS
from vbench_models import Clip, TokenGrid
from vbench_models.architectures import mvit
from vbench_models.architectures.plain_divided import PLAIN_DIVIDED, PlainDivided, PlainDividedConfig
from vbench_models.attention import shifted_window
from vbench_models.attention.core import CoreOnly
from vbench_models.attention.pruned import PrunedAttention, PrunedConfig
from vbench_models.attention.strided import StridedAttention, StridedConfig
from vbench_models.attention.token_selection import TokenSelectionAttention, TokenSelectionConfig
from vbench_models.layers.positions import learned
from vbench_models.relevance.gated_temporal import (
    GatedTemporal,
    GatedTemporalConfig,
    MaskedTemporal,
    build_masked,
)

GRID = TokenGrid(8, 16, 16)  # 16 blocks of 128 tokens: every fraction keeps whole blocks
STRIDED_GRID = TokenGrid(8, 14, 14)
GATES = {"masked": MaskedTemporal, "gathered": GatedTemporal}


class MaskedStrided(nn.Module):
    """The sketch: all scores along time, then a mask that hides all frames but every `stride`-th."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, qkv: Tensor) -> Tensor:
        """`b t h w (three heads d)` to `b h w heads t d`."""
        q, k, v = rearrange(qkv, "b t h w (three heads d) -> three b h w heads t d", three=3, heads=PATTERN_HEADS)
        scores = q @ k.mT * q.shape[-1] ** -0.5
        hidden = torch.arange(scores.shape[-1], device=scores.device) % self.stride != 0
        out: Tensor = scores.masked_fill(hidden, -torch.inf).softmax(-1) @ v
        return out


class BlindClassToken(nn.Module):
    """The sketch: divided blocks whose attentions take the patches alone, read off a class token that has the MLPs."""

    def __init__(self, config: PlainDividedConfig, clip: Clip) -> None:
        super().__init__()
        self.patches = PlainDivided(config, clip)
        self.cls_token = learned(1, 1, config.embed_dim)

    def forward(self, video: Tensor) -> Tensor:
        """Logits; the patches are carried from block to block as in the sketch, though nothing is read off them."""
        patches = self.patches.embed(video)
        cls = self.cls_token.repeat(len(video), 1, 1)
        for block in self.patches.blocks:
            patches = block(patches)
            cls = cls + block.get_submodule("mlp")(block.get_submodule("mlp_norm")(cls))
        logits: Tensor = self.patches.head(self.patches.norm(cls[:, 0]))
        return logits


def blind_class_token() -> tuple[float, float]:
    """Of the sketch, small: the relative change of logits from one video to another, the largest gradient to one."""
    clip = Clip(frames=4, height=32, width=48)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        sketch = BlindClassToken(replace(PLAIN_DIVIDED, embed_dim=48, depth=2, num_heads=3), clip).eval()
        video = torch.randn(2, 3, clip.frames, clip.height, clip.width, requires_grad=True)
    logits = sketch(video)
    (gradient,) = torch.autograd.grad(logits[0].square().sum(), video, allow_unused=True, materialize_grads=True)
    one, other = logits.detach()
    return float((one - other).norm() / one.norm()), float(gradient.abs().max())


def masked_strided_macs() -> int:
    """MACs of the sketch at 8 x 14 x 14 tokens."""
    return _attention_macs(MaskedStrided(StridedConfig().stride), STRIDED_GRID)


def full_temporal_macs() -> int:
    """MACs of the same attention without any mask."""
    return _attention_macs(MaskedStrided(1), STRIDED_GRID)


def strided_macs() -> int:
    """MACs of the pattern that slices the frames away, at the same grid."""
    return _attention_macs(CoreOnly(StridedAttention(StridedConfig()), PATTERN_HEADS), STRIDED_GRID)


def sparse_cores(fractions: Iterable[float]) -> dict[tuple[str, float], CoreOnly]:
    """The bare attention of the two patterns of learned sparsity, by name and kept fraction."""
    pruning = PrunedConfig(embed_dim=PATTERN_DIM, num_heads=PATTERN_HEADS)
    selecting = TokenSelectionConfig(embed_dim=PATTERN_DIM, num_heads=PATTERN_HEADS)
    cores = {}
    for keep in fractions:
        cores["pruned", keep] = CoreOnly(PrunedAttention(replace(pruning, keep=keep)), PATTERN_HEADS)
        selection = TokenSelectionAttention(replace(selecting, keep=keep))
        cores["token_selection", keep] = CoreOnly(selection, PATTERN_HEADS)
    return cores


def core_by_fraction(fractions: Iterable[float]) -> dict[str, dict[float, int]]:
    """Their attention MACs at 8 x 16 x 16 tokens, by the fraction that they keep."""
    with torch.device("meta"):
        cores = sparse_cores(fractions)
    counts: dict[str, dict[float, int]] = {name: {} for name, _ in cores}
    for (name, keep), core in cores.items():
        counts[name][keep] = _attention_macs(core, GRID)
    return counts


def build_pattern_masked_gate(grid: TokenGrid, dim: int, num_heads: int) -> MaskedTemporal:
    """The gate that masks, as a pattern to be timed: `vbench.measure.sketches:build_pattern_masked_gate`."""
    return build_masked(grid, dim, num_heads)


def gated_by_fraction(fractions: Iterable[float]) -> dict[str, dict[float, int]]:
    """MACs of a gated temporal block at 8 x 14 x 14 tokens, by the fraction of the frames that the gate lets through.

    `masked` multiplies the update by the gate's mask, as sketches do; `gathered` computes the kept frames alone.
    """
    grid, config = STRIDED_GRID, GatedTemporalConfig(embed_dim=PATTERN_DIM, num_heads=PATTERN_HEADS)
    tokens = torch.empty(1, grid.t, grid.h, grid.w, PATTERN_DIM, device="meta")
    fractions = tuple(fractions)
    with torch.device("meta"):
        blocks = {form: {keep: gate(replace(config, keep=keep)) for keep in fractions} for form, gate in GATES.items()}
    return {form: {keep: tally(one, tokens).macs for keep, one in kept.items()} for form, kept in blocks.items()}


def swin_window() -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Video Swin's window, the shift of every other layer, and a video longer than a window: all in tokens."""
    video = TokenGrid(16, 14, 14)
    module = shifted_window.build(video, PATTERN_DIM, PATTERN_HEADS)
    return module.config.window_size, tuple(axis.shift for axis in module.cut), (video.t, video.h, video.w)


def mvit_stages() -> tuple[tuple[int, int, int, int], ...]:
    """Tokens (t, h, w) and channels of each stage of MViT-B 16x4, channels as they come in."""
    clip = Clip(frames=16, height=224, width=224)
    with torch.device("meta"):
        network = mvit.mvit_b_16x4(clip)
    channels: list[int] = []
    for stage in network.stages:
        stage.register_forward_pre_hook(lambda _stage, inputs: channels.append(inputs[0].shape[-1]))
    with torch.no_grad():
        network(torch.empty(1, 3, clip.frames, clip.height, clip.width, device="meta"))
    grids = mvit.stage_grids(network.config, clip)
    return tuple((grid.t, grid.h, grid.w, wide) for grid, wide in zip(grids, channels, strict=True))


def _attention_macs(core: nn.Module, grid: TokenGrid) -> int:
    return tally(core, torch.empty(1, grid.t, grid.h, grid.w, 3 * PATTERN_DIM, device="meta")).attention_macs
