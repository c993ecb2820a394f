"""State-space video models: a selective scan (VideoMamba) and a fixed one, as a long convolution (ViS4mer)."""

from dataclasses import replace

from vbench_models.card import Card
from vbench_models.video import Clip

VIDEOMAMBA = "Li et al., 'VideoMamba: State Space Model for Efficient Video Understanding', ECCV 2024, sec. 3.2, https://arxiv.org/abs/2403.06977"
VIS4MER = "Islam & Bertasius, 'Long Movie Clip Classification with State-Space Video Models', ECCV 2022, sec. 3, https://arxiv.org/abs/2204.01692"
VIDEOMAMBA_COUNTS = "OpenGVLab/VideoMamba f3427e4 with its CUDA kernels replaced by a loop over tokens in plain torch: parameters, and MACs of every convolution and linear layer at 8 x 224 x 224, equal"
VIDEOMAMBA_FIGURE = "the published figure is in_proj + out_proj + patch embedding + 5 for each element that a norm returns, and leaves out convolutions, selections and scans:"

VIDEOMAMBA_TI = Card(
    title="VideoMamba-Ti",
    kind="architecture",
    family="videomamba",
    reference=VIDEOMAMBA,
    builder="vbench_models.architectures.videomamba:videomamba_ti",
    default_clip=Clip(frames=8, height=224, width=224),
    classes=400,
    tubelet_size=(1, 16, 16),
    supports="any number of frames; height and width multiples of 16",
    claimed="T*H*W",
    verified_against=(
        VIDEOMAMBA_COUNTS,
        "the same, noise in every tensor: logits at 2 x 64 x 64, batch 2, to 3e-6 relative, at 3 x 32 x 80 to 2e-6",
    ),
    note=f"{VIDEOMAMBA_FIGURE} 9 G (8.60); all products with strict scans: 11.22 GMACs. Frames are spread over the whole video, so they have no stride",
)

CARDS: dict[str, Card] = {
    "videomamba_ti": VIDEOMAMBA_TI,
    "videomamba_s": replace(
        VIDEOMAMBA_TI,
        title="VideoMamba-S",
        builder="vbench_models.architectures.videomamba:videomamba_s",
        verified_against=(VIDEOMAMBA_COUNTS,),
        note=f"{VIDEOMAMBA_FIGURE} 34 G (33.85); all products with strict scans: 40.49 GMACs",
    ),
    "videomamba_m": replace(
        VIDEOMAMBA_TI,
        title="VideoMamba-M",
        builder="vbench_models.architectures.videomamba:videomamba_m",
        verified_against=(
            VIDEOMAMBA_COUNTS,
            "the same, noise in every tensor: logits at 2 x 32 x 32 to 3e-6 relative",
        ),
        note=f"{VIDEOMAMBA_FIGURE} 101 G (100.79); all products with strict scans: 116.84 GMACs",
    ),
    "vis4mer": Card(
        title="ViS4mer over ViT-L/16",
        kind="architecture",
        family="vis4mer",
        reference=VIS4MER,
        builder="vbench_models.architectures.vis4mer:vis4mer",
        default_clip=Clip(frames=60, height=224, width=224),
        stride=30,  # one frame a second
        classes=10,
        tubelet_size=(1, 16, 16),
        supports="height and width multiples of 16; 8 tokens or more, the frames' class tokens included",
        verified_against=(
            "md-mohaiminul/ViS4mer 2a2442b, its decoder with our diagonal kernels in its S4 layers, noise in every other tensor: logits to 5e-7 relative at 14, 15 and 51 tokens; its 2,073,738 parameters outside of the kernels and the unused input layer",
            "the timm that it carries, vit_large_patch16 without head: 303,301,632 parameters; cut to 3 blocks, noise in every tensor, tokens at 2 x 64 x 64 and 3 x 32 x 80 to 4e-7",
        ),
        note="the paper takes frozen features; here the ViT-L/16 that makes them for LVU is part of the network and of its figures, and frozen in training. S4D (diagonal) for the paper's S4: 231,168 parameters of the kernels for 460,736. Transforms cost n log n by convention, so its MACs are no polynomial",
    ),
}
