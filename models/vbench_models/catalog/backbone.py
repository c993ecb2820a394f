"""The neutral backbone around any pattern, with its norms in three places."""

from dataclasses import replace

from vbench_models.card import Card
from vbench_models.video import Clip

VIT = "Dosovitskiy et al., 'An Image is Worth 16x16 Words', ICLR 2021, https://arxiv.org/abs/2010.11929, over frames"
TRANSFORMER = "Vaswani et al., 'Attention Is All You Need', NIPS 2017, sec. 3.1, https://arxiv.org/abs/1706.03762"
DIT = "Peebles & Xie, 'Scalable Diffusion Models with Transformers', ICCV 2023, sec. 3.2, https://arxiv.org/abs/2212.09748"

BACKBONE = Card(
    title="Neutral ViT-B/16",
    kind="architecture",
    family="backbone",
    reference=VIT,
    builder="vbench_models.architectures.backbone:build",
    default_clip=Clip(frames=8, height=224, width=224),
    stride=32,
    classes=400,
    tubelet_size=(1, 16, 16),
    supports="any number of frames; height and width multiples of 16",
    note="a yardstick of ours: the same tubelets, widths, MLPs and head around every pattern; no published figures",
)

BACKBONES: dict[str, Card] = {
    "backbone": BACKBONE,
    "backbone_post_norm": replace(
        BACKBONE,
        title="Neutral ViT-B/16, post-norm",
        reference=f"{VIT}; norms: {TRANSFORMER}",
        builder="vbench_models.architectures.backbone:build_post_norm",
        note="the neutral backbone with its norms after the residual sums; none after the last block",
    ),
    "backbone_adaptive_norm": replace(
        BACKBONE,
        title="Neutral ViT-B/16, adaptive norm",
        reference=f"{VIT}; norms: {DIT}",
        builder="vbench_models.architectures.backbone:build_adaptive_norm",
        note="the neutral backbone with adaLN-Zero, conditioned on the mean of the clip's embedded tokens; as it is built, "
        "every block is the identity, so that distances between logits say nothing of its attention",
    ),
}
