"""Every system by its key. Cards are data; `vbench_models.load` finds the code that a card names."""

from __future__ import annotations

from vbench_models.card import Card
from vbench_models.video import Clip, TokenGrid

TIMESFORMER = "Bertasius et al., 'Is Space-Time Attention All You Need for Video Understanding?', ICML 2021, sec. 3, https://arxiv.org/abs/2102.05095"
VIVIT = "Arnab et al., 'ViViT: A Video Vision Transformer', ICCV 2021, sec. 3.3, https://arxiv.org/abs/2103.15691"
VIDEO_SWIN = "Liu et al., 'Video Swin Transformer', CVPR 2022, sec. 3, https://arxiv.org/abs/2106.13230"
C3D = "Tran et al., 'Learning Spatiotemporal Features with 3D Convolutional Networks', ICCV 2015, sec. 3, https://arxiv.org/abs/1412.0767"
I3D = "Carreira & Zisserman, 'Quo Vadis, Action Recognition?', CVPR 2017, https://arxiv.org/abs/1705.07750; the ResNet-50 form: Wang et al., 'Non-local Neural Networks', CVPR 2018, https://arxiv.org/abs/1711.07971"
AXIAL = "Ho et al., 'Axial Attention in Multidimensional Transformers', 2019, https://arxiv.org/abs/1912.12180"

IMAGE_PATCHES = "any number of frames; height and width multiples of 16"
TUBELETS = "frames a multiple of 2; height and width multiples of 16"

ARCHITECTURES: dict[str, Card] = {
    "timesformer_b": Card(
        title="TimeSformer-B, divided space-time",
        kind="architecture",
        family="timesformer",
        reference=TIMESFORMER,
        builder="vbench_models.architectures.timesformer:timesformer_b",
        default_clip=Clip(frames=8, height=224, width=224),
        stride=32,
        classes=400,
        tubelet_size=(1, 16, 16),
        supports=IMAGE_PATCHES,
        claimed="T*(H*W)**2 + H*W*T**2",
        verified_against=("transformers TimesformerForVideoClassification: outputs, parameters, MACs",),
    ),
    "timesformer_b_joint": Card(
        title="TimeSformer-B, joint space-time",
        kind="architecture",
        family="timesformer",
        reference=TIMESFORMER,
        builder="vbench_models.architectures.timesformer:timesformer_b_joint",
        default_clip=Clip(frames=8, height=224, width=224),
        stride=32,
        classes=400,
        tubelet_size=(1, 16, 16),
        supports=IMAGE_PATCHES,
        claimed="(T*H*W)**2",
        verified_against=("transformers TimesformerForVideoClassification: outputs, parameters, MACs",),
    ),
    "timesformer_b_space": Card(
        title="TimeSformer-B, space only",
        kind="architecture",
        family="timesformer",
        reference=TIMESFORMER,
        builder="vbench_models.architectures.timesformer:timesformer_b_space",
        default_clip=Clip(frames=8, height=224, width=224),
        stride=32,
        classes=400,
        tubelet_size=(1, 16, 16),
        supports=IMAGE_PATCHES,
        claimed="T*(H*W)**2",
        verified_against=("transformers TimesformerForVideoClassification: outputs, parameters, MACs",),
    ),
    "vivit_b_16x2": Card(
        title="ViViT-B/16x2, model 1: joint space-time",
        kind="architecture",
        family="vivit",
        reference=VIVIT,
        builder="vbench_models.architectures.vivit:vivit_b_16x2",
        default_clip=Clip(frames=32, height=224, width=224),
        stride=2,
        classes=400,
        tubelet_size=(2, 16, 16),
        supports=TUBELETS,
        claimed="(T*H*W)**2",
        verified_against=("transformers VivitForVideoClassification: outputs, parameters, MACs",),
    ),
    "vivit_b_16x2_fe": Card(
        title="ViViT-B/16x2, model 2: factorised encoder",
        kind="architecture",
        family="vivit",
        reference=VIVIT,
        builder="vbench_models.architectures.vivit:vivit_b_16x2_fe",
        default_clip=Clip(frames=32, height=224, width=224),
        stride=2,
        classes=400,
        tubelet_size=(2, 16, 16),
        supports=TUBELETS,
        claimed="T*(H*W)**2 + T**2",
    ),
    "vivit_b_16x2_fsa": Card(
        title="ViViT-B/16x2, model 3: factorised self-attention",
        kind="architecture",
        family="vivit",
        reference=VIVIT,
        builder="vbench_models.architectures.vivit:vivit_b_16x2_fsa",
        default_clip=Clip(frames=32, height=224, width=224),
        stride=2,
        classes=400,
        tubelet_size=(2, 16, 16),
        supports=TUBELETS,
        claimed="T*(H*W)**2 + H*W*T**2",
    ),
    "vivit_b_16x2_fdp": Card(
        title="ViViT-B/16x2, model 4: factorised dot-product",
        kind="architecture",
        family="vivit",
        reference=VIVIT,
        builder="vbench_models.architectures.vivit:vivit_b_16x2_fdp",
        default_clip=Clip(frames=32, height=224, width=224),
        stride=2,
        classes=400,
        tubelet_size=(2, 16, 16),
        supports=TUBELETS,
        claimed="T*(H*W)**2 + H*W*T**2",
    ),
    "video_swin_t": Card(
        title="Video Swin-T",
        kind="architecture",
        family="video_swin",
        reference=VIDEO_SWIN,
        builder="vbench_models.architectures.video_swin:video_swin_t",
        default_clip=Clip(frames=32, height=224, width=224),
        stride=2,
        classes=400,
        tubelet_size=(2, 4, 4),
        supports="any clip; what the tubelet or the window does not divide is padded, as in the official code",
        claimed="T*H*W",
        verified_against=("torchvision swin3d_t: outputs, parameters, MACs",),
    ),
    "c3d": Card(
        title="C3D",
        kind="architecture",
        family="c3d",
        reference=C3D,
        builder="vbench_models.architectures.c3d:c3d",
        default_clip=Clip(frames=16, height=112, width=112),
        classes=101,
        supports="16 frames of 112 x 112: the fully connected head fixes the clip",
    ),
    "i3d_r50": Card(
        title="I3D-R50",
        kind="architecture",
        family="i3d",
        reference=I3D,
        builder="vbench_models.architectures.i3d:i3d_r50",
        default_clip=Clip(frames=8, height=256, width=256),
        stride=8,
        classes=400,
        supports="2 frames or more of any size; pooling is global",
        verified_against=("pytorchvideo i3d_r50: outputs, parameters, MACs",),
    ),
}

BACKBONE = Card(
    title="Neutral ViT-B/16",
    kind="architecture",
    family="backbone",
    reference="Dosovitskiy et al., 'An Image is Worth 16x16 Words', ICLR 2021, https://arxiv.org/abs/2010.11929, over frames",
    builder="vbench_models.architectures.backbone:build",
    default_clip=Clip(frames=8, height=224, width=224),
    stride=32,
    classes=400,
    tubelet_size=(1, 16, 16),
    supports=IMAGE_PATCHES,
    note="a yardstick of ours: the same tubelets, widths, MLPs and head around every pattern; no published figures",
)

VIT_GRID = TokenGrid(8, 14, 14)

PATTERNS: dict[str, Card] = {
    "space": Card(
        title="Space-only attention",
        kind="pattern",
        family="space",
        reference=TIMESFORMER,
        builder="vbench_models.attention.space:build",
        default_grid=VIT_GRID,
        claimed="T*(H*W)**2",
    ),
    "joint": Card(
        title="Joint space-time attention",
        kind="pattern",
        family="joint",
        reference=TIMESFORMER,
        builder="vbench_models.attention.joint:build",
        default_grid=VIT_GRID,
        claimed="(T*H*W)**2",
    ),
    "divided": Card(
        title="Divided attention, time then space",
        kind="pattern",
        family="divided",
        reference=TIMESFORMER,
        builder="vbench_models.attention.divided:build",
        default_grid=VIT_GRID,
        claimed="T*(H*W)**2 + H*W*T**2",
    ),
    "divided_space_first": Card(
        title="Divided attention, space then time",
        kind="pattern",
        family="divided",
        reference=TIMESFORMER,
        builder="vbench_models.attention.divided:build_space_first",
        default_grid=VIT_GRID,
        claimed="T*(H*W)**2 + H*W*T**2",
    ),
    "axial": Card(
        title="Axial attention: height, width, time",
        kind="pattern",
        family="axial",
        reference=f"{AXIAL}; on video: {TIMESFORMER}",
        builder="vbench_models.attention.axial:build",
        default_grid=VIT_GRID,
        claimed="T*H*W*(T + H + W)",
    ),
    "factorized_dot_product": Card(
        title="Factorised dot-product attention",
        kind="pattern",
        family="factorized_dot_product",
        reference=VIVIT,
        builder="vbench_models.attention.factorized_dot_product:build",
        default_grid=VIT_GRID,
        claimed="T*(H*W)**2 + H*W*T**2",
    ),
    "shifted_window": Card(
        title="3D shifted-window attention",
        kind="pattern",
        family="shifted_window",
        reference=VIDEO_SWIN,
        builder="vbench_models.attention.shifted_window:build",
        default_grid=VIT_GRID,
        claimed="T*H*W",
    ),
}

MODULES: dict[str, Card] = {}
