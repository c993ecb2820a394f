"""Convolutions and attention in one network. No paper defines these forms: each card says what was decided."""

from dataclasses import replace

from vbench_models.card import Card
from vbench_models.video import Clip

VTN = "Neimark et al., 'Video Transformer Network', ICCVW 2021, sec. 3, https://arxiv.org/abs/2102.00719"
CONFORMER = "Peng et al., 'Conformer', ICCV 2021, https://arxiv.org/abs/2105.03889"
DETR = "Carion et al., 'End-to-End Object Detection with Transformers', ECCV 2020, sec. 3.2, https://arxiv.org/abs/2005.12872"

BACKBONE_CARD = Card(
    title="Hybrid: ResNet-50 on every frame, transformer over time",
    kind="architecture",
    family="hybrid",
    reference=f"a design of ours; nearest: {VTN}",
    builder="vbench_models.architectures.hybrid_backbone:hybrid_resnet50",
    default_clip=Clip(frames=16, height=224, width=224),
    stride=4,
    classes=400,
    lattice=(1, 32, 32),  # in frames and pixels: a frame is one token
    supports="any number of frames of any size",
    note="one token a frame; 3 layers of 768 channels and 12 heads, as VTN has, with full attention in place of Longformer's",
)

PARALLEL_CARD = Card(
    title="Hybrid: ResNet-50 beside a divided ViT-B, concatenated",
    kind="architecture",
    family="hybrid",
    reference=f"a design of ours; nearest: {CONFORMER}",
    builder="vbench_models.architectures.hybrid_parallel:hybrid_parallel_concat",
    default_clip=Clip(frames=16, height=224, width=224),
    stride=4,
    classes=400,
    tubelet_size=(2, 16, 16),
    lattice=(1, 2, 2),
    supports="frames a multiple of 2; height and width multiples of 16",
    note="the branches meet once, at their ends: their means side by side under one linear head",
)

CARDS: dict[str, Card] = {
    "hybrid_resnet50": BACKBONE_CARD,
    "hybrid_mobilenet": replace(
        BACKBONE_CARD,
        title="Hybrid: MobileNetV3-Large on every frame, transformer over time",
        builder="vbench_models.architectures.hybrid_backbone:hybrid_mobilenet",
    ),
    "hybrid_parallel_concat": PARALLEL_CARD,
    "hybrid_parallel_cross": replace(
        PARALLEL_CARD,
        title="Hybrid: ResNet-50 beside a divided ViT-B, cross-attention",
        builder="vbench_models.architectures.hybrid_parallel:hybrid_parallel_cross",
        note="the branches meet once, at their ends: the transformer's tokens read from the ResNet's positions of all frames",
    ),
    "hybrid_encoder_decoder": Card(
        title="Hybrid: CNN encoder, transformer encoder and decoder, CNN decoder",
        kind="architecture",
        family="hybrid",
        task="dense prediction",
        reference=f"a design of ours; nearest: {DETR}",
        builder="vbench_models.architectures.hybrid_encoder_decoder:hybrid_encoder_decoder",
        default_clip=Clip(frames=8, height=224, width=224),
        stride=4,
        tubelet_size=(1, 16, 16),
        lattice=(1, 2, 2),
        supports="any number of frames; height and width multiples of 32",
        note="6 + 6 layers of 256 channels and 8 heads over all frames at once; the queries are the positions of the ResNet's finer map",
    ),
}
