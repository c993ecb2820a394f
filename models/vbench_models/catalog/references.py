"""Papers that several cards cite."""

TIMESFORMER = "Bertasius et al., 'Is Space-Time Attention All You Need for Video Understanding?', ICML 2021, sec. 3, https://arxiv.org/abs/2102.05095"
VIVIT = "Arnab et al., 'ViViT: A Video Vision Transformer', ICCV 2021, sec. 3.3, https://arxiv.org/abs/2103.15691"
VIDEO_SWIN = "Liu et al., 'Video Swin Transformer', CVPR 2022, sec. 3, https://arxiv.org/abs/2106.13230"
C3D = "Tran et al., 'Learning Spatiotemporal Features with 3D Convolutional Networks', ICCV 2015, sec. 3, https://arxiv.org/abs/1412.0767"
I3D = "Carreira & Zisserman, 'Quo Vadis, Action Recognition?', CVPR 2017, https://arxiv.org/abs/1705.07750; the ResNet-50 form: Wang et al., 'Non-local Neural Networks', CVPR 2018, https://arxiv.org/abs/1711.07971"
SLOWFAST = "Feichtenhofer et al., 'SlowFast Networks for Video Recognition', ICCV 2019, sec. 3, https://arxiv.org/abs/1812.03982"
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
MVITV2 = "Li et al., 'MViTv2: Improved Multiscale Vision Transformers for Classification and Detection', CVPR 2022, sec. 4, https://arxiv.org/abs/2112.01526"
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
