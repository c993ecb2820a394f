"""k-NN ViViT: model 1's size, fewer products, and the two things it lies between: joint attention and a mask."""

from dataclasses import replace

import pytest
import torch
from einops import rearrange
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.knn_vivit import KNN_VIVIT_B, KnnViViT, SequenceKnnAttention, knn_vivit_b
from vbench_models.architectures.vivit import VIVIT_B_16X2, ViViT, vivit_b_16x2
from vbench_models.video import Clip, UnsupportedClipError

TINY = replace(KNN_VIVIT_B, embed_dim=24, depth=2, num_heads=3, num_classes=5)
CLIP = Clip(frames=6, height=32, width=48)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def small(neighbors: int) -> KnnViViT:
    return KnnViViT(replace(TINY, neighbors=neighbors), CLIP).double().eval()


def macs(model: nn.Module, clip: Clip) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.empty(1, 3, clip.frames, clip.height, clip.width, device="meta"))
    return int(counter.get_total_flops()) // 2


def test_the_parameters_are_those_of_model_1() -> None:
    with torch.device("meta"):
        model = knn_vivit_b(Clip(frames=32, height=224, width=224))
    assert sum(p.numel() for p in model.parameters()) == 88_954_000


@pytest.mark.parametrize(
    ("clip", "tokens", "kept"),
    [
        (Clip(frames=32, height=224, width=224), 3137, 100),
        (Clip(frames=8, height=96, width=160), 241, 100),
        (Clip(frames=2, height=64, width=96), 25, 25),
    ],
    ids=str,
)
def test_of_the_macs_of_model_1_the_values_that_are_not_kept_are_saved(clip: Clip, tokens: int, kept: int) -> None:
    with torch.device("meta"):
        ours, joint = knn_vivit_b(clip), vivit_b_16x2(clip)
    assert macs(joint, clip) - macs(ours, clip) == 12 * 768 * tokens * (tokens - kept)


@pytest.mark.parametrize("neighbors", [19, 100])
def test_with_all_keys_kept_it_is_model_1(neighbors: int) -> None:
    """3 x 2 x 3 tubelets and a class token make 19 tokens."""
    joint = replace(VIVIT_B_16X2, embed_dim=24, depth=2, num_heads=3, num_classes=5)
    ours, theirs, video = small(neighbors), ViViT(joint, CLIP).double(), noise(2, 3, 6, 32, 48)
    theirs.load_state_dict(ours.state_dict())
    torch.testing.assert_close(ours(video), theirs(video))
    assert not torch.allclose(small(3)(video), theirs(video))


@pytest.mark.parametrize("neighbors", [1, 5])
def test_attention_is_joint_attention_under_a_mask_of_all_but_the_highest_scores(neighbors: int) -> None:
    attention = SequenceKnnAttention(replace(TINY, neighbors=neighbors).attention).double()
    x = noise(2, 19, 24)
    q, k, v = rearrange(attention.qkv(x), "b n (three heads d) -> three b heads n d", three=3, heads=3)
    scores = q @ k.mT / 8**0.5
    lowest_kept = scores.sort(dim=-1, descending=True).values[..., neighbors - 1 : neighbors]
    weights = scores.masked_fill(scores < lowest_kept, -torch.inf).softmax(-1)
    assert ((weights > 0).sum(-1) == neighbors).all()
    expected = attention.proj(rearrange(weights @ v, "b heads n d -> b n (heads d)"))
    torch.testing.assert_close(attention(x), expected)


def test_the_class_token_is_asked_like_every_other() -> None:
    model, tokens = small(3), noise(1, 19, 24)
    attention = model.encoder.blocks[0].attention
    reordered = torch.arange(19).roll(1)
    torch.testing.assert_close(attention(tokens[:, reordered]), attention(tokens)[:, reordered])


def test_an_odd_number_of_frames_is_refused() -> None:
    message = r"^frames must be a multiple of 2, the tubelet's; got frames=7, nearest: 6, 8$"
    with torch.device("meta"), pytest.raises(UnsupportedClipError, match=message):
        knn_vivit_b(Clip(frames=7, height=224, width=224))
