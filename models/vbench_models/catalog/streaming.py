"""Networks that carry a memory from clip to clip of an endless video: MeMViT, the memory bank.

Their counts are those of the steady state: the memory is full, and every clip costs the same.
"""

from dataclasses import replace

from vbench_models.card import Card
from vbench_models.catalog.references import MEMVIT
from vbench_models.video import Clip

BANK_REFERENCE = "a design of ours; nearest: Wu et al., 'Long-Term Feature Banks for Detailed Video Understanding', CVPR 2019, https://arxiv.org/abs/1812.05038; merging: Song et al., 'MovieChat', CVPR 2024, https://arxiv.org/abs/2307.16449, and He et al., 'MA-LMM', CVPR 2024, https://arxiv.org/abs/2404.05726"
OFFICIAL = "facebookresearch/MeMViT 20a24f0 (classification head, the same noise in every tensor): parameters equal; over streams from an empty memory, clip by clip, MACs and cached bytes equal, logits within"

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
    verified_against=(
        f"{OFFICIAL} 8e-7 (7 clips of 16x224x224), 1.1e-6 (8 of 16x64x64, batch 2), 9e-7 (7 of 8x128x128), relative",
    ),
    note=(
        "memory full, from the 5th clip on: 58.508 GMACs; the first clip 57.180. Of the last 4 clips the 2nd and the 4th are "
        "attended to, as the official sampler 'gap2' has it, so odd distances in time are never seen; nor does its "
        "compression ever learn, for it is detached before it is first attended to. The odd blocks keep and compress what "
        "they never read, as there: 14.4 of 28.0 MMACs of compressing, 14.9 of 29.3 MB of memory"
    ),
)

CARDS: dict[str, Card] = {
    "memvit_16": MEMVIT_16,
    "memvit_24": replace(
        MEMVIT_16,
        title="MeMViT-24 32x3",
        builder="vbench_models.architectures.memvit:memvit_24",
        default_clip=Clip(frames=32, height=224, width=224),
        stride=3,
        verified_against=(f"{OFFICIAL} 9e-7 (9 clips of 32x64x64), relative; at 32x224x224 parameters and MACs alone",),
        note=(
            "memory full, from the 7th clip on: 212.479 GMACs; the first clip 205.141. Of the last 6 clips the 3rd and the "
            "6th are attended to, as the official sampler 'gap3' has it; the odd blocks keep and compress what they never "
            "read, as there"
        ),
    ),
    "memory_bank": Card(
        title="Memory-bank ViT-B/16",
        kind="architecture",
        family="memory_bank",
        reference=BANK_REFERENCE,
        builder="vbench_models.architectures.memory_bank:memory_bank",
        default_clip=Clip(frames=16, height=224, width=224),
        stride=4,
        classes=400,
        tubelet_size=(2, 16, 16),
        lattice=(1, 2, 2),
        supports="frames a multiple of 2; height and width multiples of 16",
        note=(
            "a design of ours, no published figures. 8 blocks look within a time step, 4 also read the bank: 32 slots of 7 x 7 "
            "tokens, and the clip's own 8. A full bank drops its oldest slot, takes the 8, and merges neighbours 7 times; "
            "memory full, from the 5th clip on: the counts. Attention MACs hold the cosines of merging too, 0.04 % of them"
        ),
    ),
}
