"""Transformers that narrow the token grid and widen the channels from stage to stage: MViT, MViTv2, Video Swin."""

from dataclasses import replace

from vbench_models.card import Card
from vbench_models.catalog.references import MVIT, MVITV2, VIDEO_SWIN
from vbench_models.video import Clip

PYSLOWFAST = "facebookresearch/SlowFast 287ec00 (CPU, fp32, the same noise in every tensor)"
PYTORCHVIDEO = "outputs, parameters, MACs; its poolings' norms set from eps 1e-5 to the others' 1e-6"

MVIT_B_16X4 = Card(
    title="MViT-B 16x4",
    kind="architecture",
    family="mvit",
    reference=MVIT,
    builder="vbench_models.architectures.mvit:mvit_b_16x4",
    default_clip=Clip(frames=16, height=224, width=224),
    stride=4,
    classes=400,
    tubelet_size=(2, 4, 4),
    supports="frames a multiple of 2, height and width multiples of 4; poolings round up, as in the official code",
    lattice=(1, 8, 8),
    claimed="T*H*W*log(T*H*W)",
    verified_against=(
        "torchvision mvit_v1_b, by its class at other clips: outputs, parameters, MACs",
        f"pytorchvideo mvit_base_16x4: {PYTORCHVIDEO}",
        f"{PYSLOWFAST}, MVIT_B_16x4_CONV: parameters and MACs; logits at 16x224x224 and 6x96x96: relative differences 5.9e-7 and 7.0e-7",
    ),
)
MVIT_B_32X3 = replace(
    MVIT_B_16X4,
    title="MViT-B 32x3",
    builder="vbench_models.architectures.mvit:mvit_b_32x3",
    default_clip=Clip(frames=32, height=224, width=224),
    stride=3,
    verified_against=(
        "torchvision's class MViT for 32 frames: parameters, MACs",
        f"pytorchvideo mvit_base_32x3: {PYTORCHVIDEO}",
        f"{PYSLOWFAST}, MVIT_B_16x4_CONV for 32 frames: parameters and MACs; logits at 32x112x112: relative difference 5.5e-7",
    ),
    note="the paper's network of 16 blocks; the official configuration of this name, MVIT_B_32x3_CONV, has 24: mvit_b_24_32x3",
)

MVITV2_S = replace(
    MVIT_B_16X4,
    title="MViTv2-S 16x4",
    family="mvitv2",
    reference=MVITV2,
    builder="vbench_models.architectures.mvitv2:mvitv2_s_16x4",
    supports="frames a multiple of 2, height and width multiples of 4, the longer of them 32 or more; poolings round up, as in the official code",
    verified_against=(
        "torchvision mvit_v2_s, by its class at other clips: outputs, parameters, MACs",
        f"{PYSLOWFAST}, MVITv2_S_16x4: parameters and MACs; logits at 16x224x224 and 6x136x136: relative differences 7.6e-7 and 9.0e-7",
    ),
)

VIDEO_SWIN_T = Card(
    title="Video Swin-T",
    kind="architecture",
    family="video_swin",
    reference=VIDEO_SWIN,
    builder="vbench_models.architectures.video_swin:video_swin_t",
    default_clip=Clip(frames=32, height=224, width=224),
    stride=2,
    classes=400,
    tubelet_size=(2, 4, 4),
    lattice=(8, 56, 56),
    supports="any clip; what the tubelet or the window does not divide is padded, as in the official code",
    claimed="T*H*W",
    verified_against=(
        "torchvision swin3d_t: outputs, parameters, MACs",
        "SwinTransformer/Video-Swin-Transformer db018fb (mmcv and timm stubbed): parameters and MACs at 32x224x224; the same weights at 32x112x112: relative difference 2.4e-7",
    ),
)

CARDS: dict[str, Card] = {
    "mvit_b_16x4": MVIT_B_16X4,
    "mvit_b_32x3": MVIT_B_32X3,
    "mvit_b_64x3": replace(
        MVIT_B_32X3,
        title="MViT-B 64x3",
        builder="vbench_models.architectures.mvit:mvit_b_64x3",
        default_clip=Clip(frames=64, height=224, width=224),
        verified_against=(
            f"{PYSLOWFAST}, MVIT_B_16x4_CONV for 64 frames: parameters and MACs; logits at 64x112x112: relative difference 5.9e-7",
        ),
        note="the network of mvit_b_16x4 for another clip",
    ),
    "mvit_b_24_32x3": replace(
        MVIT_B_32X3,
        title="MViT-B-24 32x3",
        builder="vbench_models.architectures.mvit:mvit_b_24_32x3",
        verified_against=(
            f"pytorchvideo's general builder with the official settings: {PYTORCHVIDEO}",
            f"{PYSLOWFAST}, MVIT_B_32x3_CONV: parameters and MACs; logits at 32x224x224, 8x112x112 and 6x136x136: relative differences below 7e-7",
        ),
        note="as the official configuration has it: kernels one longer than their stride, and neither kernel nor norm where that is 1; with kernels of 3 x 3 x 3 it would have 53,172,880 parameters. The paper's table says 52.9 M",
    ),
    "mvitv2_s_16x4": MVITV2_S,
    "mvitv2_b_32x3": replace(
        MVITV2_S,
        title="MViTv2-B 32x3",
        builder="vbench_models.architectures.mvitv2:mvitv2_b_32x3",
        default_clip=Clip(frames=32, height=224, width=224),
        stride=3,
        verified_against=(
            "torchvision's class MViT with the official settings: outputs, parameters, MACs",
            f"{PYSLOWFAST}, MVITv2_B_32x3: parameters and MACs; logits at 32x224x224, 8x112x112 and 6x136x136: relative differences below 1e-6",
        ),
    ),
    "mvitv2_l_40x3": replace(
        MVITV2_S,
        title="MViTv2-L 40x3",
        builder="vbench_models.architectures.mvitv2:mvitv2_l_40x3",
        default_clip=Clip(frames=40, height=312, width=312),
        stride=3,
        verified_against=(
            "torchvision's class MViT with the official settings: outputs at 4x64x64 and 6x96x136, parameters, MACs",
            f"{PYSLOWFAST}, MVITv2_L_40x3_test: parameters and MACs; logits at 4x64x64: relative difference 1.8e-6; at 2x312x312: 2.3e-2, and 7.1e-7 once its distances are exact",
        ),
        note="published with 217.6 M parameters: the official code builds 213,390,112, and so does torchvision's. At 312 pixels the official code's distances between grids of 39 or 78 and 10 or 20 tokens, sums in single precision, are one too small for 2 to 13 % of the pairs; here they are exact, as in torchvision",
    ),
    "video_swin_t": VIDEO_SWIN_T,
    "video_swin_s": replace(
        VIDEO_SWIN_T,
        title="Video Swin-S",
        builder="vbench_models.architectures.video_swin:video_swin_s",
        verified_against=(
            "torchvision swin3d_s: outputs, parameters, MACs",
            "SwinTransformer/Video-Swin-Transformer db018fb (mmcv and timm stubbed): parameters and MACs at 32x224x224",
        ),
    ),
    "video_swin_b": replace(
        VIDEO_SWIN_T,
        title="Video Swin-B",
        builder="vbench_models.architectures.video_swin:video_swin_b",
        verified_against=(
            "torchvision swin3d_b: outputs, parameters, MACs",
            "SwinTransformer/Video-Swin-Transformer db018fb (mmcv and timm stubbed): parameters and MACs at 32x224x224",
        ),
    ),
    "video_swin_l": replace(
        VIDEO_SWIN_T,
        title="Video Swin-L",
        builder="vbench_models.architectures.video_swin:video_swin_l",
        verified_against=(
            "SwinTransformer/Video-Swin-Transformer db018fb (mmcv and timm stubbed): parameters and MACs at 32x224x224; the same weights at 8x56x56 and 18x60x100: relative differences 4.6e-7 and 3.5e-7",
        ),
    ),
    "video_swin_l_384": replace(
        VIDEO_SWIN_T,
        title="Video Swin-L, 384 pixels, windows of 8 x 12 x 12",
        builder="vbench_models.architectures.video_swin:video_swin_l_384",
        default_clip=Clip(frames=32, height=384, width=384),
        lattice=(8, 96, 96),
        verified_against=(
            "SwinTransformer/Video-Swin-Transformer db018fb (mmcv and timm stubbed): parameters and MACs at 32x384x384; the same weights at 8x96x96 and 18x100x60: relative differences 3.2e-7 and 2.9e-7",
        ),
    ),
}
