"""Transformers that narrow the token grid and widen the channels from stage to stage: Video Swin."""

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
    verified_against=("torchvision swin3d_t: outputs, parameters, MACs",),
)

CARDS: dict[str, Card] = {
    "video_swin_t": VIDEO_SWIN_T,
}
