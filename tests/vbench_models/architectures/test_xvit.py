"""X-ViT: its published size, what its frames see of one another, and a frame-by-frame computation of it."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.xvit import XVIT_B, TemporalHead, XViT, xvit_b
from vbench_models.video import Clip, UnsupportedClipError

TINY = replace(XVIT_B, embed_dim=24, depth=2, num_heads=3, num_classes=5)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize(
    ("frames", "size", "macs"), [(8, 224, 140_569_204_224), (16, 224, 281_130_628_608), (5, 96, 15_988_666_368)]
)
def test_macs_are_those_of_the_official_code(frames: int, size: int, macs: int) -> None:
    with torch.device("meta"), torch.no_grad(), FlopCounterMode(display=False) as counter:
        model = xvit_b(Clip(frames=frames, height=size, width=size)).eval()
        assert model(torch.empty(1, 3, frames, size, size)).shape == (1, 400)
    assert counter.get_total_flops() == 2 * macs


@pytest.mark.parametrize(("frames", "official"), [(8, 94_098_464), (16, 94_104_608)])
def test_parameters_are_those_of_the_official_code_but_for_a_layer_that_it_never_runs(
    frames: int, official: int
) -> None:
    with torch.device("meta"):
        model = xvit_b(Clip(frames=frames, height=224, width=224))
    never_run = 768 * 400 + 400
    assert sum(p.numel() for p in model.parameters()) == official - never_run


@pytest.mark.parametrize("size", [(1, 16, 16), (2, 32, 48), (5, 48, 16)])
def test_clips_of_several_sizes_run(size: tuple[int, int, int]) -> None:
    frames, height, width = size
    model = XViT(TINY, Clip(frames=frames, height=height, width=width)).double().eval()
    with torch.no_grad():
        logits = model(noise(2, 3, *size))
    assert logits.shape == (2, 5)
    assert not torch.allclose(logits[0], logits[1])


def borrowed(x: Tensor) -> Tensor:
    """Channels 0 to 2 of each frame from the next, 3 to 5 from the one before; `t n c`, c = 24 = 8 * 3."""
    frames = []
    for t in range(len(x)):
        after = x[t + 1] if t + 1 < len(x) else torch.zeros_like(x[t])
        before = x[t - 1] if t else torch.zeros_like(x[t])
        frames.append(torch.cat((after[:, :3], before[:, 3:6], x[t][:, 6:]), dim=1))
    return torch.stack(frames)


def block(model: nn.Module, x: Tensor, *, mixing: bool, eps: float) -> Tensor:
    """One block on `t n c`, its attention head by head, a frame at a time."""
    q, k, v = model.attention.qkv(F.layer_norm(x, (24,), *model.attention_norm.parameters(), eps=eps)).split(24, dim=-1)
    k, v = (borrowed(k), borrowed(v)) if mixing else (k, v)
    by_head = ((part.unflatten(-1, (3, 8)).unbind(-2)) for part in (q, k, v))
    heads = [((qh @ kh.mT) / 8**0.5).softmax(-1) @ vh for qh, kh, vh in zip(*by_head, strict=True)]
    x = x + model.attention.proj(torch.cat(heads, dim=-1))
    return x + model.mlp(F.layer_norm(x, (24,), *model.mlp_norm.parameters(), eps=eps))


def test_logits_are_those_of_a_computation_frame_by_frame() -> None:
    model, video = XViT(TINY, Clip(frames=4, height=32, width=32)).double().eval(), noise(1, 3, 4, 32, 32)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    filters = model.tokens.embedding.proj
    patches = F.conv2d(video[0].movedim(0, 1), filters.weight[:, :, 0], filters.bias, stride=16).flatten(2).mT
    x = torch.cat((model.tokens.cls_token.expand(4, -1, -1), patches), dim=1)
    x = x + model.tokens.positions + model.times.reshape(4, 1, 24)
    for each in model.blocks:
        x = block(each, x, mixing=True, eps=1e-6)
    frames = F.layer_norm(x, (24,), *model.norm.parameters(), eps=1e-6)[:, 0]
    x = torch.cat((model.head.cls_token[0], frames))[None]
    x = block(model.head.block, x, mixing=False, eps=1e-5)[0, 0]
    hidden = F.gelu(model.head.hidden(F.layer_norm(x, (24,), *model.head.norm.parameters(), eps=1e-5)))
    torch.testing.assert_close(model(video)[0], model.head.classifier(hidden))


@pytest.mark.parametrize("depth", [1, 2])
def test_before_the_head_a_frame_sees_as_many_frames_to_each_side_as_there_are_blocks(depth: int) -> None:
    model = XViT(replace(TINY, depth=depth), Clip(frames=7, height=32, width=32)).double()
    given: list[Tensor] = []
    model.head.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    video = noise(1, 3, 7, 32, 32)
    other = video.clone()
    other[:, :, 3] += 1
    model(video)
    model(other)
    changed = [not torch.equal(given[0][0, t], given[1][0, t]) for t in range(7)]
    assert changed == [abs(t - 3) <= depth for t in range(7)]


def test_the_head_does_not_see_the_order_of_the_frames() -> None:
    head, frames = TemporalHead(TINY).double().eval(), noise(2, 5, 24)
    torch.testing.assert_close(head(frames.flip(1)), head(frames))
    assert not torch.allclose(head(frames[:, :4]), head(frames))


def test_a_clip_that_the_patches_do_not_tile_is_refused() -> None:
    with pytest.raises(UnsupportedClipError, match=r"^width must be a multiple of 16, the tubelet's; got width=230"):
        xvit_b(Clip(frames=8, height=224, width=230))
