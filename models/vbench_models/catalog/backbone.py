"""The neutral backbone around any pattern."""

from vbench_models.card import Card
from vbench_models.video import Clip

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
    supports="any number of frames; height and width multiples of 16",
    note="a yardstick of ours: the same tubelets, widths, MLPs and head around every pattern; no published figures",
)
