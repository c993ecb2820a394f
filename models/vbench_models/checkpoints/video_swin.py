"""Video Swin: the official code's names (github.com/SwinTransformer/Video-Swin-Transformer) and torchvision's.

Both merge tokens where a stage ends, ours where the next one begins; torchvision numbers mergers among the stages.
"""

from vbench_models.checkpoints.layout import Layout, Theirs, within

MERGER = {"norm": "norm", "reduction": "reduction"}
OFFICIAL_BLOCK = {
    "attention_norm": "norm1",
    "attention.qkv": "attn.qkv",
    "attention.proj": "attn.proj",
    "attention.position_bias.table": "attn.relative_position_bias_table",
    "mlp_norm": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
TORCHVISION_BLOCK = {**OFFICIAL_BLOCK, "mlp.fc1": "mlp.0", "mlp.fc2": "mlp.3"}

OFFICIAL: dict[str, Theirs] = {
    "embed.proj": "backbone.patch_embed.proj",
    "embed_norm": "backbone.patch_embed.norm",
    "norm": "backbone.norm",
    "head": "cls_head.fc_cls",
    **within("stages.*.blocks.*", "backbone.layers.*.blocks.*", OFFICIAL_BLOCK),
    **within("stages.1.merge", "backbone.layers.0.downsample", MERGER),
    **within("stages.2.merge", "backbone.layers.1.downsample", MERGER),
    **within("stages.3.merge", "backbone.layers.2.downsample", MERGER),
}
TORCHVISION: dict[str, Theirs] = {
    "embed.proj": "patch_embed.proj",
    "embed_norm": "patch_embed.norm",
    "norm": "norm",
    "head": "head",
    **within("stages.0.blocks.*", "features.0.*", TORCHVISION_BLOCK),
    **within("stages.1.merge", "features.1", MERGER),
    **within("stages.1.blocks.*", "features.2.*", TORCHVISION_BLOCK),
    **within("stages.2.merge", "features.3", MERGER),
    **within("stages.2.blocks.*", "features.4.*", TORCHVISION_BLOCK),
    **within("stages.3.merge", "features.5", MERGER),
    **within("stages.3.blocks.*", "features.6.*", TORCHVISION_BLOCK),
}

BOTH = (
    Layout(
        publisher="official Video-Swin-Transformer",
        names=OFFICIAL,
        structure=("backbone.layers.*.blocks.*.attn.relative_position_index",),
    ),
    Layout(publisher="torchvision", names=TORCHVISION, structure=("features.*.*.attn.relative_position_index",)),
)
LAYOUTS: dict[str, tuple[Layout, ...]] = dict.fromkeys(
    ("video_swin_t", "video_swin_s", "video_swin_b", "video_swin_l", "video_swin_l_384"), BOTH
)
