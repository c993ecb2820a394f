"""Transformers of one width from the patches to the head: TimeSformer, ViViT, X-ViT, k-NN ViViT."""

from dataclasses import replace

from vbench_models.card import Card
from vbench_models.catalog.references import KVT, TIMESFORMER, VIVIT, XVIT
from vbench_models.video import Clip

KNN_VIVIT = "Sun et al., 'k-NN attention-based video vision transformer for action recognition', Neurocomputing 574, 2024, https://mro.massey.ac.nz/items/e4824618-ecf8-49d9-8659-c3a7464cadfb"

TRANSFORMERS_PEER = "outputs, parameters, MACs"
TRANSFORMERS_COUNTS = "with the same configuration: parameters, MACs"
TIMESFORMER_CODE = "facebookresearch/TimeSformer a5ef29a: parameters and MACs equal"
SCENIC_PEER = (
    "google-research/scenic 4a38d47, projects/vivit (flax, fp32, the same noise in every tensor): parameters and the "
    "products in its jaxpr equal at 32x224x224 and 48x160x240; logits at 32x224x224 and 8x48x80 within"
)
SCENIC_COUNTS = "google-research/scenic 4a38d47, projects/vivit: parameters and the products in its jaxpr equal"

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
    verified_against=(
        f"transformers TimesformerForVideoClassification: {TRANSFORMERS_PEER}",
        f"{TIMESFORMER_CODE} at 8x224x224 and 5x96x96, where logits with the same noise in every tensor agree within 7e-7, relative",
    ),
)
TIMESFORMER_HR = replace(
    TIMESFORMER_B,
    title="TimeSformer-HR, divided space-time at 16 x 448 x 448",
    default_clip=Clip(frames=16, height=448, width=448),
    stride=16,
    verified_against=(
        f"transformers TimesformerForVideoClassification, {TRANSFORMERS_COUNTS}",
        TIMESFORMER_CODE,
    ),
    note="the network of timesformer_b for another clip",
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
    verified_against=(
        f"transformers VivitForVideoClassification: {TRANSFORMERS_PEER}",
        f"{SCENIC_PEER} 1.1e-6, relative",
    ),
)

VIVIT_L = replace(
    VIVIT_B,
    title="ViViT-L/16x2, model 1: joint space-time",
    builder="vbench_models.architectures.vivit:vivit_l_16x2",
    verified_against=(
        f"transformers VivitForVideoClassification, {TRANSFORMERS_COUNTS}",
        SCENIC_COUNTS,
    ),
)

XVIT_B = Card(
    title="X-ViT-B/16, 8 frames",
    kind="architecture",
    family="xvit",
    reference=XVIT,
    builder="vbench_models.architectures.xvit:xvit_b",
    default_clip=Clip(frames=8, height=224, width=224),
    stride=32,
    classes=400,
    tubelet_size=(1, 16, 16),
    supports="any number of frames; height and width multiples of 16",
    claimed="T*(H*W)**2",
    verified_against=(
        "1adrianb/video-transformers 82ca176 with timm 0.4.12, the same noise in every tensor: MACs equal at 8x224x224, 16x224x224 and 5x96x96, logits there within 7e-7, relative; parameters equal but for a layer that it never runs",
    ),
    note="93,790,864 parameters; the official code has 307,600 more in new_fc, which it never runs, and drops its pre_logits, since 1000 classes are not 21,843; counts with pre_logits are 590,592 parameters and 590,592 MACs a frame higher. The released configuration sets 16 frames but segments of 8, so that nothing is shifted across the middle of its clip; here a clip is one segment. Attention among frames in the head adds T**2",
)

CARDS: dict[str, Card] = {
    "timesformer_b": TIMESFORMER_B,
    "timesformer_b_space_first": replace(
        TIMESFORMER_B,
        title="TimeSformer-B, divided space-time, space first",
        builder="vbench_models.architectures.timesformer:timesformer_b_space_first",
        verified_against=(),
        note="the two attentions of timesformer_b in the other order (sec. 4.7); no official code. The linear layer stays behind time, so that a zero there still leaves the image model",
    ),
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
    "timesformer_b_local_global": replace(
        TIMESFORMER_B,
        title="TimeSformer-B, sparse local-global",
        builder="vbench_models.architectures.timesformer:timesformer_b_local_global",
        lattice=(2, 2, 2),
        claimed="T*H*W",
        verified_against=(),
        note="no official code; two attentions and one linear layer a block make the paper's 121.4 M parameters (with 174 classes). Local: T x H/2 x W/2 neighbours, without the class token, as time in the official divided block; global: every token asks the class token and each second patch along T, H and W, which alone are projected to keys and values. 3/8 of joint attention's pairs: still quadratic",
    ),
    "timesformer_b_axial": replace(
        TIMESFORMER_B,
        title="TimeSformer-B, axial",
        builder="vbench_models.architectures.timesformer:timesformer_b_axial",
        claimed="T*H*W*(T + H + W)",
        verified_against=(),
        note="no official code; three attentions and two linear layers a block make the paper's 156.8 M parameters (with 174 classes). Time, then rows, then columns; as in the official divided block, time leaves the class token out, each row and column has a copy of it, and what the copies gather is averaged",
    ),
    "timesformer_hr": TIMESFORMER_HR,
    "timesformer_l": replace(
        TIMESFORMER_HR,
        title="TimeSformer-L, divided space-time at 96 x 224 x 224",
        default_clip=Clip(frames=96, height=224, width=224),
        stride=4,
    ),
    "vivit_b_16x2": VIVIT_B,
    "vivit_b_16x2_fe": replace(
        VIVIT_B,
        title="ViViT-B/16x2, model 2: factorised encoder",
        builder="vbench_models.architectures.vivit:vivit_b_16x2_fe",
        claimed="T*(H*W)**2 + T**2",
        verified_against=(f"{SCENIC_PEER} 1.0e-6, relative",),
    ),
    "vivit_b_16x2_fsa": replace(
        VIVIT_B,
        title="ViViT-B/16x2, model 3: factorised self-attention",
        builder="vbench_models.architectures.vivit:vivit_b_16x2_fsa",
        claimed="T*(H*W)**2 + H*W*T**2",
        verified_against=(f"{SCENIC_PEER} 7e-7, relative",),
    ),
    "vivit_b_16x2_fdp": replace(
        VIVIT_B,
        title="ViViT-B/16x2, model 4: factorised dot-product",
        builder="vbench_models.architectures.vivit:vivit_b_16x2_fdp",
        claimed="T*(H*W)**2 + H*W*T**2",
        verified_against=(f"{SCENIC_PEER} 7e-7, relative",),
    ),
    "vivit_l_16x2": VIVIT_L,
    "vivit_l_16x2_320": replace(
        VIVIT_L,
        title="ViViT-L/16x2 at 320 x 320, model 1: joint space-time",
        default_clip=Clip(frames=32, height=320, width=320),
        note="the network of vivit_l_16x2 for another clip; the paper's 310.8 M parameters are those of this one",
    ),
    "vivit_l_16x2_fe": replace(
        VIVIT_B,
        title="ViViT-L/16x2, model 2: factorised encoder",
        builder="vbench_models.architectures.vivit:vivit_l_16x2_fe",
        claimed="T*(H*W)**2 + T**2",
        verified_against=(SCENIC_COUNTS,),
        note="4 temporal layers, as in the paper and in the released configurations for Something-Something and EPIC-Kitchens; those for Kinetics have 24: 606,827,920 parameters",
    ),
    "vivit_h_14x2": replace(
        VIVIT_L,
        title="ViViT-H/14x2, model 1: joint space-time",
        builder="vbench_models.architectures.vivit:vivit_h_14x2",
        tubelet_size=(2, 14, 14),
        supports="frames a multiple of 2; height and width multiples of 14",
    ),
    "xvit_b_8": XVIT_B,
    "xvit_b_16": replace(
        XVIT_B,
        title="X-ViT-B/16, 16 frames",
        default_clip=Clip(frames=16, height=224, width=224),
        stride=16,
        note="the network of xvit_b_8 for another clip; its note holds here too",
    ),
    "knn_vivit_b": replace(
        VIVIT_B,
        title="k-NN ViViT-B/16x2: model 1 with k-NN attention",
        family="knn_vivit",
        reference=f"{KNN_VIVIT}; attention: {KVT}; around it: {VIVIT}",
        builder="vbench_models.architectures.knn_vivit:knn_vivit_b",
        claimed="T*H*W",
        verified_against=(
            "damo-cv/KVT fd84745, its kNNAttention in every block: logits at 8x96x96 within 7e-7, relative, and at 32x160x160 in double precision within 3e-15; at 32x224x224 in fp32 4e-3, where rounding decides between keys of nearly equal score",
        ),
        note="no code of the paper is known, and its abstract gives neither widths nor k: ViViT-B/16x2, model 1, with k = 100 (KVT's) in every block, over all tokens, the class token among them, as in KVT. n**2 + n*k products instead of 2*n**2; the parameters are model 1's",
    ),
}
