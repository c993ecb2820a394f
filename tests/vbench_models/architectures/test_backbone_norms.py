"""The neutral backbone with its norms before, after, and decided by the clip."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models import Clip, UnknownModelError, card_of, load
from vbench_models.architectures.backbone import AdaptiveNormBackbone, BackboneConfig, PostNormBackbone
from vbench_models.attention import divided, joint
from vbench_models.layers.adaptive_norm import AdaptiveNormBlock
from vbench_models.layers.block import Block
from vbench_models.layers.mlp import MLP
from vbench_models.layers.post_norm import PostNormBlock
from vbench_models.video import TokenGrid

WIDTH, HEADS, GRID = 24, 3, TokenGrid(2, 3, 2)
CLIP = Clip(frames=4, height=48, width=80)
SMALL = BackboneConfig(embed_dim=WIDTH, depth=2, num_heads=HEADS, num_classes=5)
KEYS = ("backbone", "backbone_post_norm", "backbone_adaptive_norm")
PATTERNS = ("divided", "shifted_window")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def drawn(network: nn.Module, scale: float) -> nn.Module:
    """The network with every parameter drawn anew, those that begin at zero or one, too."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def block(kind: Callable[..., nn.Module]) -> nn.Module:
    return drawn(kind(WIDTH, joint.build(GRID, WIDTH, HEADS), MLP(WIDTH)), 0.3)


def on_meta(key: str, pattern: str) -> nn.Module:
    with torch.device("meta"):
        network: nn.Module = load(f"{key}:{pattern}")(CLIP)
    return network


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def macs(network: nn.Module) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(torch.empty(2, 3, CLIP.frames, CLIP.height, CLIP.width, device="meta"))
    return counter.get_total_flops() // 2


@pytest.mark.parametrize(("kind", "is_first"), [(Block, True), (PostNormBlock, False)])
def test_a_block_around_joint_attention_equals_the_transformer_layer_of_torch(kind, is_first: bool) -> None:
    ours = block(kind)
    theirs = nn.TransformerEncoderLayer(
        WIDTH, HEADS, 4 * WIDTH, dropout=0.0, activation="gelu", layer_norm_eps=1e-6, batch_first=True,
        norm_first=is_first,
    ).eval()  # fmt: skip
    weights = ours.state_dict()
    names = {
        "self_attn.in_proj_": "attention.qkv.", "self_attn.out_proj.": "attention.proj.", "linear1.": "mlp.fc1.",
        "linear2.": "mlp.fc2.", "norm1.": "attention_norm.", "norm2.": "mlp_norm.",
    }  # fmt: skip
    theirs.load_state_dict({
        new + end: weights[old + end] for new, old in names.items() for end in ("weight", "bias")
    })  # fmt: skip
    x = noise(2, GRID.t, GRID.h, GRID.w, WIDTH)
    flat = rearrange(x, "b t h w c -> b (t h w) c")
    torch.testing.assert_close(rearrange(ours(x), "b t h w c -> b (t h w) c"), theirs(flat), atol=1e-5, rtol=1e-5)


def test_an_adaptive_block_equals_the_plain_block_whose_norms_and_outputs_its_condition_scales() -> None:
    ours = block(AdaptiveNormBlock)
    condition = noise(2, WIDTH, seed=2)
    x = noise(2, GRID.t, GRID.h, GRID.w, WIDTH)
    together = ours(x, condition)
    linear = ours.modulation.linear
    for clip in range(2):
        vectors = linear.weight @ (condition[clip] * torch.sigmoid(condition[clip])) + linear.bias
        shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = vectors.chunk(6)
        plain = Block(WIDTH, joint.build(GRID, WIDTH, HEADS), MLP(WIDTH))
        weights = ours.state_dict()
        for name, factor in (("attention.proj", gate), ("mlp.fc2", mlp_gate)):
            weights[f"{name}.weight"] = factor[:, None] * weights[f"{name}.weight"]
            weights[f"{name}.bias"] = factor * weights[f"{name}.bias"]
        weights |= {"attention_norm.weight": 1 + scale, "attention_norm.bias": shift}
        weights |= {"mlp_norm.weight": 1 + mlp_scale, "mlp_norm.bias": mlp_shift}
        plain.load_state_dict({name: weights[name] for name in plain.state_dict()})
        torch.testing.assert_close(together[clip], plain(x[clip : clip + 1])[0], atol=1e-5, rtol=1e-5)


def test_an_adaptive_block_begins_as_the_identity() -> None:
    x = noise(1, GRID.t, GRID.h, GRID.w, WIDTH)
    fresh = AdaptiveNormBlock(WIDTH, joint.build(GRID, WIDTH, HEADS), MLP(WIDTH))
    torch.testing.assert_close(fresh(x, noise(1, WIDTH, seed=2)), x, atol=0, rtol=0)


def test_the_condition_is_the_mean_of_the_clips_own_tokens() -> None:
    """With the modulation of the last norm alone at work, the network is its stem, one norm and its head."""
    network = AdaptiveNormBackbone(SMALL, Clip(frames=2, height=32, width=16), joint.build).eval()
    drawn(network.modulation, 0.3)
    video = noise(2, 3, 2, 32, 16)
    with torch.no_grad():
        patches = rearrange(video, "b c t (h i) (w j) -> b (t h w) (c i j)", i=16, j=16)
        tokens = patches @ network.embedding.proj.weight.reshape(WIDTH, -1).T + network.embedding.proj.bias
        tokens = tokens + network.positions.reshape(1, -1, WIDTH)
        linear = network.modulation.linear
        shift, scale = (F.silu(tokens.mean(1)) @ linear.weight.T + linear.bias)[:, None].chunk(2, dim=-1)
        expected = network.head((F.layer_norm(tokens, (WIDTH,), eps=1e-6) * (1 + scale) + shift).mean(1))
        torch.testing.assert_close(network(video), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_placements_differ_by_the_parameters_of_their_norms_and_the_macs_of_the_modulation(pattern: str) -> None:
    """Of width c: post-norm lacks the last norm; adaptive norms are six c^2 + c a block and two at the end, a clip."""
    before, after, adaptive = (on_meta(key, pattern) for key in KEYS)
    clips, c, depth = 2, 768, 12
    assert parameters(after) == parameters(before) - 2 * c
    assert parameters(adaptive) == parameters(before) - (4 * depth + 2) * c + (6 * depth + 2) * (c * c + c)
    assert macs(after) == macs(before)
    assert macs(adaptive) == macs(before) + clips * (6 * depth + 2) * c * c


def test_a_placement_is_a_key_of_the_catalog_with_its_source() -> None:
    card = card_of("backbone_adaptive_norm:divided")
    assert "2212.09748" in card.reference
    assert "2102.05095" in card.reference
    assert card.claimed == card_of("divided").claimed
    with pytest.raises(UnknownModelError, match="did you mean 'divided'"):
        load("backbone_post_norm:devided")


@pytest.mark.parametrize("network", [PostNormBackbone, AdaptiveNormBackbone])
def test_clips_of_a_batch_do_not_touch_one_another(network) -> None:
    model = drawn(network(SMALL, Clip(frames=2, height=32, width=32), divided.build), 0.3)
    video = noise(2, 3, 2, 32, 32)
    with torch.no_grad():
        together, alone = model(video), torch.cat([model(video[:1]), model(video[1:])])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(together[0], together[1], atol=1e-2)
