"""Networks that carry a memory from clip to clip of an endless video: MeMViT, the memory bank.

Their default clips are those of the steady state: the memory is full, every clip costs the same.
"""

from dataclasses import replace

from vbench_models.card import Card
from vbench_models.catalog.references import MEMVIT
from vbench_models.video import Clip

MEMVIT_OFFICIAL = "facebookresearch/MeMViT 20a24f0, DETECTION off, the same noise in every tensor: parameters; over a stream, clip by clip, logits, MACs and bytes of memory:"
MEMVIT_16 = Card(
    title="MeMViT-16 16x4",
    kind="architecture",
    family="memvit",
    reference=MEMVIT,
    builder="vbench_models.architectures.memvit:memvit_16",
    default_clip=Clip(frames=16, height=224, width=224),
    stride=4,
    classes=400,
    tubelet_size=(2, 4, 4),
    lattice=(4, 16, 16),
    supports="frames a multiple of 2; height and width multiples of 4",
    verified_against=(),
    note="",
)

CARDS: dict[str, Card] = {
    "memvit_16": MEMVIT_16,
    "memvit_24": replace(
        MEMVIT_16,
        title="MeMViT-24 32x3",
        builder="vbench_models.architectures.memvit:memvit_24",
        default_clip=Clip(frames=32, height=224, width=224),
        stride=3,
    ),
    "memory_bank": Card(
        title="Memory-bank ViT-B/16",
        kind="architecture",
        family="memory_bank",
        reference="a design of ours, nearest: Wu et al., 'Long-Term Feature Banks for Detailed Video Understanding', CVPR 2019, https://arxiv.org/abs/1812.05038; merging: Song et al., 'MovieChat', CVPR 2024, https://arxiv.org/abs/2307.16449, and He et al., 'MA-LMM', CVPR 2024, https://arxiv.org/abs/2404.05726",
        builder="vbench_models.architectures.memory_bank:memory_bank",
        default_clip=Clip(frames=16, height=224, width=224),
        stride=4,
        classes=400,
        tubelet_size=(2, 16, 16),
        lattice=(1, 2, 2),
        supports="frames a multiple of 2; height and width multiples of 16",
    ),
}
