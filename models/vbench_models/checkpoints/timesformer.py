"""TimeSformer: the official code's names (github.com/facebookresearch/TimeSformer) and those of transformers."""

from vbench_models.checkpoints.layout import Layout

OFFICIAL_SHARED = {
    "tokens.cls_token": "cls_token",
    "tokens.positions": "pos_embed",
    "tokens.times": "time_embed",
    "tokens.embedding.proj": "patch_embed.proj",
    "blocks.*.mlp_norm": "blocks.*.norm2",
    "blocks.*.mlp.fc1": "blocks.*.mlp.fc1",
    "blocks.*.mlp.fc2": "blocks.*.mlp.fc2",
    "norm": "norm",
    "head": "head",
}
TRANSFORMERS_SHARED = {
    "tokens.cls_token": "timesformer.embeddings.cls_token",
    "tokens.positions": "timesformer.embeddings.position_embeddings",
    "tokens.times": "timesformer.embeddings.time_embeddings",
    "tokens.embedding.proj": "timesformer.embeddings.patch_embeddings.projection",
    "blocks.*.mlp_norm": "timesformer.encoder.layer.*.layernorm_after",
    "blocks.*.mlp.fc1": "timesformer.encoder.layer.*.intermediate.dense",
    "blocks.*.mlp.fc2": "timesformer.encoder.layer.*.output.dense",
    "norm": "timesformer.layernorm",
    "head": "classifier",
}
OFFICIAL_DIVIDED = {
    **OFFICIAL_SHARED,
    "blocks.*.steps.time.norm": "blocks.*.temporal_norm1",
    "blocks.*.steps.time.attention.qkv": "blocks.*.temporal_attn.qkv",
    "blocks.*.steps.time.attention.proj": "blocks.*.temporal_attn.proj",
    "blocks.*.steps.time.fc": "blocks.*.temporal_fc",
    "blocks.*.steps.space.norm": "blocks.*.norm1",
    "blocks.*.steps.space.attention.qkv": "blocks.*.attn.qkv",
    "blocks.*.steps.space.attention.proj": "blocks.*.attn.proj",
}
TRANSFORMERS_DIVIDED = {
    **TRANSFORMERS_SHARED,
    "blocks.*.steps.time.norm": "timesformer.encoder.layer.*.temporal_layernorm",
    "blocks.*.steps.time.attention.qkv": "timesformer.encoder.layer.*.temporal_attention.attention.qkv",
    "blocks.*.steps.time.attention.proj": "timesformer.encoder.layer.*.temporal_attention.output.dense",
    "blocks.*.steps.time.fc": "timesformer.encoder.layer.*.temporal_dense",
    "blocks.*.steps.space.norm": "timesformer.encoder.layer.*.layernorm_before",
    "blocks.*.steps.space.attention.qkv": "timesformer.encoder.layer.*.attention.attention.qkv",
    "blocks.*.steps.space.attention.proj": "timesformer.encoder.layer.*.attention.output.dense",
}
OFFICIAL_PLAIN = {
    **OFFICIAL_SHARED,
    "blocks.*.attention_norm": "blocks.*.norm1",
    "blocks.*.attention.qkv": "blocks.*.attn.qkv",
    "blocks.*.attention.proj": "blocks.*.attn.proj",
}
TRANSFORMERS_PLAIN = {
    **TRANSFORMERS_SHARED,
    "blocks.*.attention_norm": "timesformer.encoder.layer.*.layernorm_before",
    "blocks.*.attention.qkv": "timesformer.encoder.layer.*.attention.attention.qkv",
    "blocks.*.attention.proj": "timesformer.encoder.layer.*.attention.output.dense",
}

DIVIDED = (
    Layout(publisher="official TimeSformer", names=OFFICIAL_DIVIDED),
    Layout(publisher="transformers", names=TRANSFORMERS_DIVIDED),
)
PLAIN = (
    Layout(publisher="official TimeSformer", names=OFFICIAL_PLAIN),
    Layout(publisher="transformers", names=TRANSFORMERS_PLAIN),
)
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "timesformer_b": DIVIDED,
    "timesformer_b_joint": PLAIN,
    "timesformer_b_space": PLAIN,
    "timesformer_hr": DIVIDED,
    "timesformer_l": DIVIDED,
}
