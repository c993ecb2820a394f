import importlib
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models import Clip, ModelError, TokenGrid, UnsupportedClipError, load
from vbench_models.architectures import backbone
from vbench_models.catalog import PATTERNS

CLIPS = [
    Clip(frames=8, height=224, width=224),
    Clip(frames=16, height=112, width=224),
    Clip(frames=5, height=48, width=80),
]


def macs_of(build: Callable[[Clip], nn.Module], clip: Clip) -> int:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        build(clip)(torch.empty(1, 3, clip.frames, clip.height, clip.width))
    return counter.get_total_flops() // 2


def macs_around_the_patterns(clip: Clip) -> int:
    """Patches, twelve perceptrons of 4 + 4 = 8 c^2 a token, the head."""
    tokens = clip.frames * (clip.height // 16) * (clip.width // 16)
    return tokens * 768 * (3 * 16 * 16) + 12 * tokens * 8 * 768**2 + 768 * 400


def pattern_macs(name: str, clip: Clip) -> int:
    """The closed form beside the pattern, summed over the blocks, each with its own configuration."""
    grid = TokenGrid(clip.frames, clip.height // 16, clip.width // 16)
    file: Any = importlib.import_module(PATTERNS[name].builder.split(":")[0])
    with torch.device("meta"):
        blocks = load(f"backbone:{name}")(clip).blocks
    return sum(file.macs(grid, block.attention.config) for block in blocks)


@pytest.mark.parametrize("clip", CLIPS, ids=str)
@pytest.mark.parametrize("name", PATTERNS)
def test_backbones_differ_only_by_the_macs_of_their_patterns(name: str, clip: Clip) -> None:
    assert macs_of(load(f"backbone:{name}"), clip) == macs_around_the_patterns(clip) + pattern_macs(name, clip)


@pytest.mark.parametrize("name", PATTERNS)
def test_backbones_differ_only_by_the_parameters_of_their_patterns(name: str) -> None:
    with torch.device("meta"):
        model = load(f"backbone:{name}")(CLIPS[0])
        bare = backbone.build(lambda _grid, _dim, _num_heads: nn.Identity(), CLIPS[0])
    added = sum(p.numel() for block in model.blocks for p in block.attention.parameters())
    assert sum(p.numel() for p in model.parameters()) - sum(p.numel() for p in bare.parameters()) == added


@pytest.mark.parametrize("name", PATTERNS)
def test_clips_that_are_not_square_run(name: str) -> None:
    model = load(f"backbone:{name}")(Clip(frames=2, height=32, width=48)).eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, 2, 32, 48, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 400)
    assert not torch.allclose(logits[0], logits[1])


def test_a_builder_that_asks_for_the_layer_is_told_its_index() -> None:
    layers: list[int] = []

    def pattern(_grid: TokenGrid, _dim: int, _num_heads: int, layer: int) -> nn.Module:
        layers.append(layer)
        return nn.Identity()

    with torch.device("meta"):
        backbone.build(pattern, CLIPS[0])
    assert layers == list(range(12))


def test_a_builder_is_told_the_token_grid_and_the_widths() -> None:
    told: set[tuple[TokenGrid, int, int]] = set()

    def pattern(grid: TokenGrid, dim: int, num_heads: int) -> nn.Module:
        told.add((grid, dim, num_heads))
        return nn.Identity()

    with torch.device("meta"):
        backbone.build(pattern, CLIPS[1])
    assert told == {(TokenGrid(16, 7, 14), 768, 12)}


def test_the_update_of_the_pattern_is_added_to_the_stream() -> None:
    class Negative(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return -x

    model = backbone.build(lambda _grid, _dim, _num_heads: Negative(), Clip(frames=1, height=16, width=16))
    block = model.blocks[0]
    for parameter in block.mlp.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(1, 1, 1, 1, 768, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(block(x), x - nn.functional.layer_norm(x, (768,), eps=1e-6))


def test_a_clip_that_the_patches_do_not_tile_is_refused() -> None:
    with pytest.raises(UnsupportedClipError, match=r"^height must be a multiple of 16, the tubelet's; got height=225"):
        load("backbone:joint")(Clip(frames=8, height=225, width=224))


def test_what_a_pattern_refuses_the_backbone_refuses() -> None:
    def pattern(_grid: TokenGrid, _dim: int, num_heads: int) -> nn.Module:
        raise ModelError(f"not with {num_heads} heads")

    with pytest.raises(ModelError, match=r"^not with 12 heads$"):
        backbone.build(pattern, CLIPS[0])
