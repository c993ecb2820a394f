"""Hybrids of convolutions and attention: sizes by arithmetic, what reaches what, and maps of the frame's size."""

import pytest
import torch
from torch import Tensor, nn

from vbench_models.architectures.hybrid_backbone import HYBRID, FramesThenTime, hybrid_mobilenet, hybrid_resnet50
from vbench_models.architectures.hybrid_encoder_decoder import hybrid_encoder_decoder
from vbench_models.architectures.hybrid_parallel import hybrid_parallel_concat, hybrid_parallel_cross
from vbench_models.layers.attention import AttentionConfig
from vbench_models.layers.cross_attention import CrossAttention
from vbench_models.video import Clip, UnsupportedClipError

RESNET_50 = 23_508_032  # without its classifier
CLIP = Clip(frames=16, height=224, width=224)
SMALL = Clip(frames=2, height=32, width=64)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def vit_block(c: int, ratio: int = 4) -> int:
    """Two norms, four projections with biases, an MLP."""
    return 2 * 2 * c + 4 * (c * c + c) + 2 * ratio * c * c + ratio * c + c


def noise(clip: Clip) -> Tensor:
    return torch.randn(1, 3, clip.frames, clip.height, clip.width, generator=torch.Generator().manual_seed(0))


def test_a_frame_becomes_one_token_of_three_blocks_over_time() -> None:
    with torch.device("meta"):
        model = hybrid_resnet50(CLIP)
    c = 768
    encoder = c + (1 + 16) * c + 3 * vit_block(c) + 2 * c
    assert parameters(model) == RESNET_50 + 2048 * c + c + encoder + 400 * c + 400


def test_mobilenet_leaves_more_work_to_time_than_resnet() -> None:
    with torch.device("meta"):
        light, heavy = hybrid_mobilenet(CLIP), hybrid_resnet50(CLIP)
    assert parameters(light.encoder) == parameters(heavy.encoder)
    assert 4 * parameters(light.backbone) < parameters(heavy.backbone)


class Mean(nn.Module):
    """A backbone that only averages patches of a frame, so that a test can follow what becomes of it."""

    def forward(self, frames: Tensor) -> tuple[Tensor]:
        return (nn.functional.avg_pool2d(frames, 8),)


def test_the_order_of_frames_matters_and_each_has_its_place() -> None:
    torch.manual_seed(0)
    model = FramesThenTime(HYBRID, SMALL, Mean(), channels=3).eval()
    video = noise(SMALL)
    with torch.no_grad():
        forth, back = model(video), model(video.flip(2))
        nn.init.zeros_(model.encoder.positions)
        torch.testing.assert_close(model(video), model(video.flip(2)))
    assert not torch.allclose(forth, back, atol=1e-4)


def test_the_parallel_forms_differ_by_their_fusion_alone() -> None:
    with torch.device("meta"):
        concat, cross = hybrid_parallel_concat(CLIP), hybrid_parallel_cross(CLIP)
    c, wide = 768, 2048
    assert parameters(concat.branches) == parameters(cross.branches)
    attention = 2 * (c * c + c) + 2 * (wide * c + c)
    mlp = 8 * c * c + 5 * c
    norms = 2 * wide + 2 * 2 * c
    assert parameters(cross) - parameters(cross.branches) == norms + attention + mlp + 400 * c + 400
    assert parameters(concat) - parameters(concat.branches) == 400 * (wide + c) + 400


@pytest.mark.parametrize("build", [hybrid_parallel_concat, hybrid_parallel_cross])
def test_both_branches_reach_the_logits(build: object) -> None:
    torch.manual_seed(0)
    model = build(SMALL).eval()  # type: ignore[operator]
    model(noise(SMALL)).square().sum().backward()
    branches = model.branches
    assert branches.resnet.stem.conv[0].weight.grad.abs().sum() > 0
    assert branches.embedding.proj.weight.grad.abs().sum() > 0


def test_cross_attention_equals_torch_s_with_keys_of_another_width() -> None:
    torch.manual_seed(0)
    ours = CrossAttention(AttentionConfig(embed_dim=8, num_heads=2), other_dim=6)
    theirs = nn.MultiheadAttention(8, 2, kdim=6, vdim=6, batch_first=True)
    key, value = ours.key_value.weight.detach().chunk(2)
    with torch.no_grad():
        theirs.q_proj_weight.copy_(ours.query.weight)
        theirs.k_proj_weight.copy_(key)
        theirs.v_proj_weight.copy_(value)
        theirs.in_proj_bias.copy_(torch.cat((ours.query.bias, ours.key_value.bias)))
        theirs.out_proj.load_state_dict(ours.proj.state_dict())
        x, other = torch.randn(2, 5, 8), torch.randn(2, 7, 6)
        torch.testing.assert_close(ours(x, other), theirs(x, other, other)[0])


def test_the_encoder_decoder_gives_each_frame_a_map_of_its_size_from_all_frames() -> None:
    torch.manual_seed(0)
    model = hybrid_encoder_decoder(SMALL).eval()
    video = noise(SMALL).requires_grad_()
    maps = model(video).logits
    assert maps.shape == (1, 2, 32, 64)
    maps[0, 0].square().sum().backward()
    assert video.grad is not None
    assert video.grad[0, :, 1].abs().sum() > 0  # the second frame reaches the first one's map


def test_an_encoder_decoder_refuses_what_its_positions_do_not_tile() -> None:
    with pytest.raises(UnsupportedClipError, match="multiple of 32"):
        hybrid_encoder_decoder(Clip(frames=2, height=48, width=64))
