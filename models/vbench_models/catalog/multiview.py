"""Transformers that look at one clip in several ways at once: MTV, multi-scale temporal, SlowFast as transformers."""

from dataclasses import replace

from vbench_models.card import Card
from vbench_models.video import Clip

MTV = "Yan et al., 'Multiview Transformers for Video Recognition', CVPR 2022, sec. 3, https://arxiv.org/abs/2201.04288"
DIVIDED = "Bertasius et al., 'Is Space-Time Attention All You Need for Video Understanding?', ICML 2021, sec. 3, https://arxiv.org/abs/2102.05095"
SLOWFAST = "Feichtenhofer et al., 'SlowFast Networks for Video Recognition', ICCV 2019, sec. 3, https://arxiv.org/abs/1812.03982"

SCENIC = "google-research/scenic 4a38d47, projects/mtv (flax, fp32)"
REDUCED = (
    f"{SCENIC}: logits of a reduced network of four views (blocks 3, 2, 3, 6; patches 16x16, 16x16, 8x16, 14x14; "
    "fusion before blocks 2 and 5), the same noise in every tensor, at 32x112x224 within 7.2e-7, relative; at full size "
    "not compared"
)

MTV_B = Card(
    title="MTV-B: B/2+S/4+Ti/8",
    kind="architecture",
    family="mtv",
    reference=MTV,
    builder="vbench_models.architectures.mtv:mtv_b",
    default_clip=Clip(frames=32, height=224, width=224),
    stride=2,
    classes=400,
    tubelet_size=(8, 16, 16),  # of the slowest view: the grid that clips must have
    supports="frames a multiple of 8; height and width multiples of 16",
    verified_against=(
        f"{SCENIC}: parameters and the products in its jaxpr equal at 32x224x224, 48x224x336 and 24x160x96, and without "
        "fusion at 32x224x224",
        f"{SCENIC}, the same noise in every tensor: logits at 32x224x224, 32x96x160 and 24x48x80 within 1.1e-6, relative",
    ),
    note="the released configuration, 304.27 M and 374.6 G; published, by other papers' tables, are 310 M, and 384 or "
    "399 G a view: no released configuration has them. The global encoder stands repeated time steps of the slower "
    "views beside those of the fastest as the official code does, 0 1 2 3 0 1 2 3",
)

MTV_L = replace(
    MTV_B,
    title="MTV-L: L/2+B/4+S/8+Ti/16",
    builder="vbench_models.architectures.mtv:mtv_l",
    tubelet_size=(16, 16, 16),
    supports="frames a multiple of 16; height and width multiples of 16",
    verified_against=(
        f"{SCENIC}: parameters and the products in its jaxpr equal at 32x224x224 and 48x224x336",
        REDUCED,
    ),
    note="the released configuration (of Kinetics-600), 875.91 M with 400 classes and 1418.7 G; published is 1504 G a "
    "view, which it does not have",
)

CARDS: dict[str, Card] = {
    "mtv_b": MTV_B,
    "mtv_l": MTV_L,
    "mtv_h": replace(
        MTV_L,
        title="MTV-H: H/2+B/4+S/8+Ti/16",
        builder="vbench_models.architectures.mtv:mtv_h",
        tubelet_size=(16, 112, 112),  # the least that tubelets of 2 x 14 x 14 and of 16 x 16 x 16 both tile
        supports="frames a multiple of 16; height and width multiples of 112, which patches of 14 and of 16 both tile",
        note="no configuration is released: the official model with MTV-L's slower views and fusions, which before "
        "blocks 11 and 23 is our reading; 1284.48 M and 3513.5 G, published is 3705 G a view",
    ),
    "multiscale_temporal": Card(
        title="Multi-scale temporal transformer: 8, 16 and 32 frames of one clip",
        kind="architecture",
        family="multiscale_temporal",
        reference=f"a design of ours on {DIVIDED}",
        builder="vbench_models.architectures.multiscale_temporal:multiscale_temporal",
        default_clip=Clip(frames=32, height=224, width=224),
        stride=4,
        classes=400,
        tubelet_size=(4, 16, 16),  # from token to token in the slowest stream
        supports="frames a multiple of 4; height and width multiples of 16",
        verified_against=(
            "parameters and MACs by a closed form in the tests, which gives TimeSformer-B's official ones",
        ),
        note="three TimeSformer-B with weights of their own and divided attention, on every fourth, second and every "
        "frame, the first included; a linear layer from their three class tokens side by side to one of 768, and a "
        "linear head. No published figures",
    ),
    "slowfast_transformer": Card(
        title="SlowFast transformer: 768 channels on 4 frames, 96 on 32",
        kind="architecture",
        family="slowfast_transformer",
        reference=f"a design of ours, no canonical paper; rates and connections: {SLOWFAST}; attention: {DIVIDED}",
        builder="vbench_models.architectures.slowfast_transformer:slowfast_transformer",
        default_clip=Clip(frames=32, height=224, width=224),
        stride=2,
        classes=400,
        tubelet_size=(8, 16, 16),  # from token to token in the slow pathway
        supports="frames a multiple of 8; height and width multiples of 16",
        verified_against=(
            "parameters and MACs by a closed form in the tests, which gives TimeSformer-B's official ones",
        ),
        note="of video at 32 frames a second, the fast pathway sees 16 a second and the slow one 2 (alpha = 8), frames "
        "0, 8, 16 and so on; 12 blocks of divided attention each, 12 heads of 64 and 3 of 32; before blocks 0, 3, 6 and "
        "9 the eight fast tokens of a place, side by side, go through a norm and a linear layer into the slow one "
        "(time to channel, summed); the head takes both class tokens. No published figures",
    ),
}
