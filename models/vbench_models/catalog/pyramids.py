"""Transformers that narrow the token grid and widen the channels from stage to stage: Video Swin."""

from dataclasses import replace

from vbench_models.card import Card
from vbench_models.catalog.references import VIDEO_SWIN
from vbench_models.video import Clip

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
