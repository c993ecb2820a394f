"""MViT and MViTv2: the names of PySlowFast, the official code, of torchvision and of PyTorchVideo.

All number their blocks through, where our MViT counts them stage by stage. The official code projects to queries, keys
and values at once, or apart, as its configuration says; torchvision at once, PyTorchVideo apart.
"""

from vbench_models.checkpoints.layout import Layout, Names, Part, Theirs, within

AT_ONCE: Names = {f"attention.{x}": Part("attn.qkv", index, of=3) for index, x in enumerate("qkv")}
APART: Names = {f"attention.{x}": f"attn.{x}" for x in "qkv"}
PYSLOWFAST_BLOCK: Names = {
    "attention_norm": "norm1",
    **{f"attention.pool_{x}.conv": f"attn.pool_{x}" for x in "qkv"},
    **{f"attention.pool_{x}.norm": f"attn.norm_{x}" for x in "qkv"},
    "attention.positions.times": "attn.rel_pos_t",
    "attention.positions.heights": "attn.rel_pos_h",
    "attention.positions.widths": "attn.rel_pos_w",
    "attention.proj": "attn.proj",
    "widen": "proj",
    "feed_forward.norm": "norm2",
    "feed_forward.widen": "proj",
    "feed_forward.mlp.fc1": "mlp.fc1",
    "feed_forward.mlp.fc2": "mlp.fc2",
}
TORCHVISION_BLOCK: Names = {
    **PYSLOWFAST_BLOCK,
    **AT_ONCE,
    **{f"attention.pool_{x}.conv": f"attn.pool_{x}.pool" for x in "qkv"},
    **{f"attention.pool_{x}.norm": f"attn.pool_{x}.norm_act.0" for x in "qkv"},
    "attention.proj": "attn.project.0",
    "widen": "project",
    "feed_forward.widen": "project",
    "feed_forward.mlp.fc1": "mlp.0",
    "feed_forward.mlp.fc2": "mlp.3",
}
PYSLOWFAST: Names = {
    "tokens.patches.proj": "patch_embed.proj",
    "tokens.cls_token": "cls_token",
    "tokens.cls_position": "pos_embed_class",
    "tokens.positions": "pos_embed_spatial",
    "tokens.times": "pos_embed_temporal",
    "norm": "norm",
    "head": "head.projection",
}
TORCHVISION: Names = {
    "tokens.patches.proj": "conv_proj",
    "tokens.cls_token": "pos_encoding.class_token",
    "tokens.cls_position": "pos_encoding.class_pos",
    "tokens.positions": "pos_encoding.spatial_pos",
    "tokens.times": "pos_encoding.temporal_pos",
    "norm": "norm",
    "head": "head.1",
}
PYTORCHVIDEO: Names = {
    "tokens.patches.proj": "patch_embed.patch_model",
    "tokens.cls_token": "cls_positional_encoding.cls_token",
    "tokens.cls_position": "cls_positional_encoding.pos_embed_class",
    "tokens.positions": "cls_positional_encoding.pos_embed_spatial",
    "tokens.times": "cls_positional_encoding.pos_embed_temporal",
    "norm": "norm_embed",
    "head": "head.proj",
}


def by_stage(depths: tuple[int, ...], block: Names) -> dict[str, Theirs]:
    """The names in all blocks, theirs numbered through and ours stage by stage."""
    ours = [f"stages.{stage}.{layer}" for stage, depth in enumerate(depths) for layer in range(depth)]
    tables = [within(name, f"blocks.{number}", block) for number, name in enumerate(ours)]
    return {name: theirs for table in tables for name, theirs in table.items()}


def of_mvit(depths: tuple[int, ...]) -> tuple[Layout, ...]:
    """The layouts of an MViT of this many blocks a stage."""
    return (
        Layout(publisher="PySlowFast", names={**PYSLOWFAST, **by_stage(depths, {**PYSLOWFAST_BLOCK, **AT_ONCE})}),
        Layout(
            publisher="PySlowFast, q, k and v apart",
            names={**PYSLOWFAST, **by_stage(depths, {**PYSLOWFAST_BLOCK, **APART})},
        ),
        Layout(publisher="torchvision", names={**TORCHVISION, **by_stage(depths, TORCHVISION_BLOCK)}),
        Layout(publisher="PyTorchVideo", names={**PYTORCHVIDEO, **by_stage(depths, {**PYSLOWFAST_BLOCK, **APART})}),
    )


def without_positions(names: Names) -> dict[str, Theirs]:
    """The tensors outside the blocks of an MViTv2, whose tokens have no module of their own."""
    return {name.removeprefix("tokens."): theirs for name, theirs in names.items()}


V2 = (
    Layout(
        publisher="PySlowFast",
        names={**without_positions(PYSLOWFAST), **within("blocks.*", "blocks.*", {**PYSLOWFAST_BLOCK, **AT_ONCE})},
    ),
    Layout(
        publisher="torchvision",
        names={**without_positions(TORCHVISION), **within("blocks.*", "blocks.*", TORCHVISION_BLOCK)},
    ),
)
B, B_24 = of_mvit((1, 2, 11, 2)), of_mvit((2, 3, 16, 3))
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "mvit_b_16x4": B,
    "mvit_b_32x3": B,
    "mvit_b_64x3": B,
    "mvit_b_24_32x3": B_24,
    "mvitv2_s_16x4": V2,
    "mvitv2_b_32x3": V2,
    "mvitv2_l_40x3": V2,
}
