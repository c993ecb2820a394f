"""ViViT, model 1: the names of transformers, in its files and, since its version 5, in its memory.

The official checkpoints are msgpack files of Flax, which are not read; transformers publishes them converted.
"""

from vbench_models.checkpoints.layout import Layout, Names

SHARED: Names = {
    "embedding.proj": "vivit.embeddings.patch_embeddings.projection",
    "encoder.cls_token": "vivit.embeddings.cls_token",
    "encoder.positions": "vivit.embeddings.position_embeddings",
    "encoder.norm": "vivit.layernorm",
    "head": "classifier",
}
IN_FILES: Names = {
    **SHARED,
    "encoder.blocks.*.attention_norm": "vivit.encoder.layer.*.layernorm_before",
    "encoder.blocks.*.attention.qkv": (
        "vivit.encoder.layer.*.attention.attention.query",
        "vivit.encoder.layer.*.attention.attention.key",
        "vivit.encoder.layer.*.attention.attention.value",
    ),
    "encoder.blocks.*.attention.proj": "vivit.encoder.layer.*.attention.output.dense",
    "encoder.blocks.*.mlp_norm": "vivit.encoder.layer.*.layernorm_after",
    "encoder.blocks.*.mlp.fc1": "vivit.encoder.layer.*.intermediate.dense",
    "encoder.blocks.*.mlp.fc2": "vivit.encoder.layer.*.output.dense",
}
IN_MEMORY: Names = {
    **SHARED,
    "encoder.blocks.*.attention_norm": "vivit.layers.*.layernorm_before",
    "encoder.blocks.*.attention.qkv": (
        "vivit.layers.*.attention.q_proj",
        "vivit.layers.*.attention.k_proj",
        "vivit.layers.*.attention.v_proj",
    ),
    "encoder.blocks.*.attention.proj": "vivit.layers.*.attention.o_proj",
    "encoder.blocks.*.mlp_norm": "vivit.layers.*.layernorm_after",
    "encoder.blocks.*.mlp.fc1": "vivit.layers.*.mlp.fc1",
    "encoder.blocks.*.mlp.fc2": "vivit.layers.*.mlp.fc2",
}

JOINT = (
    Layout(publisher="transformers", names=IN_FILES),
    Layout(publisher="transformers, state_dict()", names=IN_MEMORY),
)
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "vivit_b_16x2": JOINT,
    "vivit_l_16x2": JOINT,
    "vivit_l_16x2_320": JOINT,
    "vivit_h_14x2": JOINT,
}
