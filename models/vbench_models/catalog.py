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
SPARSE_TRANSFORMER = "Child et al., 'Generating Long Sequences with Sparse Transformers', 2019, sec. 4.3, https://arxiv.org/abs/1904.10509"
LONGFORMER = (
    "Beltagy et al., 'Longformer: The Long-Document Transformer', 2020, sec. 3.1, https://arxiv.org/abs/2004.05150"
)
BIG_BIRD = "Zaheer et al., 'Big Bird: Transformers for Longer Sequences', NeurIPS 2020, sec. 2, https://arxiv.org/abs/2007.14062"
FOCAL = "Yang et al., 'Focal Self-attention for Local-Global Interactions in Vision Transformers', NeurIPS 2021, sec. 3.2, https://arxiv.org/abs/2107.00641"
RELATIVE_POSITIONS = (
    "Shaw et al., 'Self-Attention with Relative Position Representations', NAACL 2018, https://arxiv.org/abs/1803.02155"
)
PCSA = "Gu et al., 'Pyramid Constrained Self-Attention Network for Fast Video Salient Object Detection', AAAI 2020, https://doi.org/10.1609/aaai.v34i07.6718"
KVT = "Wang et al., 'KVT: k-NN Attention for Boosting Vision Transformers', ECCV 2022, https://arxiv.org/abs/2106.00515"
XVIT = (
    "Bulat et al., 'Space-time Mixing Attention for Video Transformer', NeurIPS 2021, https://arxiv.org/abs/2106.05968"
)

MVIT = "Fan et al., 'Multiscale Vision Transformers', ICCV 2021, sec. 3.1, https://arxiv.org/abs/2104.11227"
MEMVIT = "Wu et al., 'MeMViT: Memory-Augmented Multiscale Vision Transformer', CVPR 2022, sec. 3, https://arxiv.org/abs/2201.08383"
SEER_ATTENTION = "Gao et al., 'SeerAttention: Learning Intrinsic Sparse Attention in Your LLMs', 2024, sec. 3, https://arxiv.org/abs/2410.13276"
STTS = "Wang et al., 'Efficient Video Transformers with Spatial-Temporal Token Selection', ECCV 2022, sec. 3, https://arxiv.org/abs/2111.11591"
SURVEY = "'Temporal Attention Architectures for Video Understanding', survey note, 2025, sec. 4.2; no paper has exactly this form"
PERFORMER = (
    "Choromanski et al., 'Rethinking Attention with Performers', ICLR 2021, sec. 2, https://arxiv.org/abs/2009.14794"
)
LINFORMER = (
    "Wang et al., 'Linformer: Self-Attention with Linear Complexity', 2020, sec. 4, https://arxiv.org/abs/2006.04768"
)
S4 = "Gu et al., 'Efficiently Modeling Long Sequences with Structured State Spaces', ICLR 2022, https://arxiv.org/abs/2111.00396; diagonal: https://arxiv.org/abs/2206.11893"
MAMBA = "Gu & Dao, 'Mamba', 2023, sec. 3, https://arxiv.org/abs/2312.00752; in both directions: Li et al., 'VideoMamba', ECCV 2024, https://arxiv.org/abs/2403.06977"

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
        lattice=(8, 56, 56),
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
        lattice=(8, 7, 7),
        claimed="T*H*W",
    ),
    "sparse_local_global": Card(
        title="Sparse local-global attention (L+G)",
        kind="pattern",
        family="sparse",
        reference=TIMESFORMER,
        builder="vbench_models.attention.sparse_local_global:build",
        default_grid=VIT_GRID,
        lattice=(2, 2, 2),
        claimed="T*H*W",
        note="a quadrant of all frames, then every second token along t, h and w: 3/8 of joint attention's pairs on even grids, still quadratic",
    ),
    "local_global_temporal": Card(
        title="Local-global temporal attention: near frames and pooled ones",
        kind="pattern",
        family="local_global_temporal",
        reference=f"{FOCAL}, along time",
        builder="vbench_models.attention.local_global_temporal:build",
        default_grid=VIT_GRID,
        lattice=(4, 1, 1),
        note="3 nearest frames and means of 4: T*H*W*(3 + ceil(T/4)) pairs, quadratic in T unless the stride grows with it",
    ),
    "local_global_windows": Card(
        title="Local-global attention: 3D windows and key frames",
        kind="pattern",
        family="local_global_temporal",
        reference=f"{LONGFORMER}, in 3D",
        builder="vbench_models.attention.local_global_temporal:build_windows",
        default_grid=VIT_GRID,
        note="windows of (4, 7, 7) and all tokens of 2 key frames: linear in T, quadratic in H*W",
    ),
    "strided": Card(
        title="Strided temporal attention",
        kind="pattern",
        family="sparse",
        reference=f"{SPARSE_TRANSFORMER}, along time",
        builder="vbench_models.attention.strided:build",
        default_grid=VIT_GRID,
        lattice=(4, 1, 1),
        claimed="T*H*W",
        note="keys at frames 0, 4, 8, ...: T*H*W*ceil(T/4) pairs; the frames between are skipped, not masked",
    ),
    "block_local_global": Card(
        title="Block-local attention with global tokens",
        kind="pattern",
        family="sparse",
        reference=f"{BIG_BIRD}; {LONGFORMER}",
        builder="vbench_models.attention.block_local_global:build",
        default_grid=VIT_GRID,
        lattice=(4, 7, 7),
        claimed="T*H*W",
        note="blocks of (4, 7, 7) and 8 global tokens, learned, which read the clip before they are read",
    ),
    "specious_present": Card(
        title="Specious-present window",
        kind="pattern",
        family="sparse",
        reference=f"{LONGFORMER}, along time",
        builder="vbench_models.attention.specious_present:build",
        default_grid=VIT_GRID,
        claimed="T*H*W",
        note="frames t - 2 .. t + 1 at one position, clipped; as overlapping views, without a loop over frames",
    ),
    "specious_present_centred": Card(
        title="Specious-present window, centred",
        kind="pattern",
        family="sparse",
        reference=f"{LONGFORMER}, along time",
        builder="vbench_models.attention.specious_present:build_centred",
        default_grid=VIT_GRID,
        claimed="T*H*W",
        note="frames t - 2 .. t + 2 at one position, clipped",
    ),
    "relative_rhythm": Card(
        title="Rhythm-aware temporal attention",
        kind="pattern",
        family="relative_rhythm",
        reference=RELATIVE_POSITIONS,
        builder="vbench_models.attention.relative_rhythm:build",
        default_grid=VIT_GRID,
        note="temporal attention with absolute positions and a learned bias for each distance and head: H*W*T**2 pairs",
    ),
    "constrained": Card(
        title="Constrained self-attention (PCSA)",
        kind="pattern",
        family="constrained",
        reference=PCSA,
        builder="vbench_models.attention.constrained:build",
        default_grid=VIT_GRID,
        lattice=(1, 1, 2),
        claimed="T**2*H*W",
        note="radii 3, 3, 4, 4 and dilations 1, 2, 1, 2, repeated over the heads; exact where the frame is larger than 8 tokens each way",
    ),
    "knn": Card(
        title="k-NN attention",
        kind="pattern",
        family="knn",
        reference=KVT,
        builder="vbench_models.attention.knn:build",
        default_grid=VIT_GRID,
        claimed="T*H*W",
        note="k = 100: n**2 + n*k products, at best half of joint attention's 2*n**2",
    ),
    "space_time_mixing": Card(
        title="Space-time mixing attention (X-ViT)",
        kind="pattern",
        family="space_time_mixing",
        reference=XVIT,
        builder="vbench_models.attention.space_time_mixing:build",
        default_grid=VIT_GRID,
        claimed="T*(H*W)**2",
        note="1/8 of the keys' and values' channels from the next frame, 1/8 from the one before; the cost of space-only attention",
    ),
    "pruned": Card(
        title="Pruned attention: learned block sparsity",
        kind="pattern",
        family="learned_sparsity",
        reference=SEER_ATTENTION,
        builder="vbench_models.attention.pruned:build",
        default_grid=VIT_GRID,
        claimed="T*H*W",
        note="a quarter of the blocks of 128 keys; the scoring is counted as mixing extra",
    ),
    "token_selection": Card(
        title="Dynamic token selection",
        kind="pattern",
        family="learned_sparsity",
        reference=STTS,
        builder="vbench_models.attention.token_selection:build",
        default_grid=VIT_GRID,
        note="half of the tokens; the others pass through unchanged; the scoring is counted as mixing extra",
    ),
    "temporal_pyramid": Card(
        title="Temporal pyramid",
        kind="pattern",
        family="temporal_pyramid",
        reference=SURVEY,
        builder="vbench_models.attention.temporal_pyramid:build",
        default_grid=VIT_GRID,
        lattice=(4, 1, 1),
        note="stride 4 in layers 0 to 3 (and bare), 2 in 4 to 7, 1 after",
    ),
    "pooling": Card(
        title="Pooling attention",
        kind="pattern",
        family="pooling",
        reference=MVIT,
        builder="vbench_models.attention.pooling:build",
        default_grid=VIT_GRID,
        lattice=(1, 4, 4),
        claimed="T*H*W*log(T*H*W)",
        note="keys and values pooled by (1, 4, 4); the pooling convolutions are counted as mixing extra",
    ),
    "memory_cross": Card(
        title="Memory cross-attention",
        kind="pattern",
        family="memory_cross",
        reference=MEMVIT,
        builder="vbench_models.attention.memory_cross:build",
        default_grid=VIT_GRID,
        lattice=(4, 2, 2),
        note="one clip of a stream with a full cache of two past clips, each compressed by (4, 2, 2)",
    ),
    "performer": Card(
        title="Performer: random features",
        kind="pattern",
        family="linear",
        reference=PERFORMER,
        builder="vbench_models.attention.performer:build",
        default_grid=VIT_GRID,
        claimed="T*H*W",
        note="d ln d orthogonal features, 266 for d = 64; their products are counted as mixing extra",
    ),
    "linformer": Card(
        title="Linformer: keys projected to a fixed length",
        kind="pattern",
        family="linear",
        reference=LINFORMER,
        builder="vbench_models.attention.linformer:build",
        default_grid=VIT_GRID,
        claimed="T*H*W",
        note="256 keys from 256 tokens on; E and F are counted as mixing extra; one module belongs to one grid",
    ),
    "s4": Card(
        title="S4 as a convolution",
        kind="pattern",
        family="state_space",
        reference=S4,
        builder="vbench_models.attention.s4:build",
        default_grid=VIT_GRID,
        claimed="T*H*W",
        note="S4D, both directions, by FFT: n log n; making the kernel is counted as mixing extra",
    ),
    "selective_scan": Card(
        title="Selective scan",
        kind="pattern",
        family="state_space",
        reference=MAMBA,
        builder="vbench_models.attention.selective_scan:build",
        default_grid=VIT_GRID,
        claimed="T*H*W",
        note="Mamba in both directions; 2 strict multiply-adds a state and token, 4.5 in the public convention",
    ),
}

MODULES: dict[str, Card] = {}
