"""Transformers of one width from the patches to the head: TimeSformer, ViViT."""

from dataclasses import replace

from vbench_models.card import Card
from vbench_models.catalog.references import TIMESFORMER, VIVIT
from vbench_models.video import Clip

TRANSFORMERS_PEER = "outputs, parameters, MACs"

TIMESFORMER_B = Card(
    title="TimeSformer-B, divided space-time",
    kind="architecture",
    family="timesformer",
    reference=TIMESFORMER,
    builder="vbench_models.architectures.timesformer:timesformer_b",
    default_clip=Clip(frames=8, height=224, width=224),
    stride=32,
    classes=400,
    tubelet_size=(1, 16, 16),
    supports="any number of frames; height and width multiples of 16",
    claimed="T*(H*W)**2 + H*W*T**2",
    verified_against=(f"transformers TimesformerForVideoClassification: {TRANSFORMERS_PEER}",),
)

VIVIT_B = Card(
    title="ViViT-B/16x2, model 1: joint space-time",
    kind="architecture",
    family="vivit",
    reference=VIVIT,
    builder="vbench_models.architectures.vivit:vivit_b_16x2",
    default_clip=Clip(frames=32, height=224, width=224),
    stride=2,
    classes=400,
    tubelet_size=(2, 16, 16),
    supports="frames a multiple of 2; height and width multiples of 16",
    claimed="(T*H*W)**2",
    verified_against=(f"transformers VivitForVideoClassification: {TRANSFORMERS_PEER}",),
)

CARDS: dict[str, Card] = {
    "timesformer_b": TIMESFORMER_B,
    "timesformer_b_joint": replace(
        TIMESFORMER_B,
        title="TimeSformer-B, joint space-time",
        builder="vbench_models.architectures.timesformer:timesformer_b_joint",
        claimed="(T*H*W)**2",
    ),
    "timesformer_b_space": replace(
        TIMESFORMER_B,
        title="TimeSformer-B, space only",
        builder="vbench_models.architectures.timesformer:timesformer_b_space",
        claimed="T*(H*W)**2",
    ),
    "vivit_b_16x2": VIVIT_B,
    "vivit_b_16x2_fe": replace(
        VIVIT_B,
        title="ViViT-B/16x2, model 2: factorised encoder",
        builder="vbench_models.architectures.vivit:vivit_b_16x2_fe",
        claimed="T*(H*W)**2 + T**2",
        verified_against=(),
    ),
    "vivit_b_16x2_fsa": replace(
        VIVIT_B,
        title="ViViT-B/16x2, model 3: factorised self-attention",
        builder="vbench_models.architectures.vivit:vivit_b_16x2_fsa",
        claimed="T*(H*W)**2 + H*W*T**2",
        verified_against=(),
    ),
    "vivit_b_16x2_fdp": replace(
        VIVIT_B,
        title="ViViT-B/16x2, model 4: factorised dot-product",
        builder="vbench_models.architectures.vivit:vivit_b_16x2_fdp",
        claimed="T*(H*W)**2 + H*W*T**2",
        verified_against=(),
    ),
}
