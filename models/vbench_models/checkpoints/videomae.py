"""VideoMAE: the official code's names (github.com/MCG-NJU/VideoMAE) and those of transformers.

Since its version 5, transformers calls the two biases otherwise in memory than in its files: both are read.
"""

from vbench_models.checkpoints.layout import Layout, Names, within

OFFICIAL_BLOCK = {
    "attention_norm": "norm1",
    "attention.qkv": "attn.qkv",
    "attention.q_bias": "attn.q_bias",
    "attention.v_bias": "attn.v_bias",
    "attention.proj": "attn.proj",
    "mlp_norm": "norm2",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
TRANSFORMERS_BLOCK: Names = {
    "attention_norm": "layernorm_before",
    "attention.qkv": (
        "attention.attention.query",
        "attention.attention.key",
        "attention.attention.value",
    ),
    "attention.q_bias": "attention.attention.q_bias",
    "attention.v_bias": "attention.attention.v_bias",
    "attention.proj": "attention.output.dense",
    "mlp_norm": "layernorm_after",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
IN_MEMORY_BLOCK: Names = {
    **TRANSFORMERS_BLOCK,
    "attention.q_bias": "attention.attention.query.bias",
    "attention.v_bias": "attention.attention.value.bias",
}


OFFICIAL = {
    "embedding.proj": "patch_embed.proj",
    **within("blocks.*", "blocks.*", OFFICIAL_BLOCK),
    "norm": "fc_norm",
    "head": "head",
}
OFFICIAL_PRETRAINING = {
    "embedding.proj": "encoder.patch_embed.proj",
    **within("encoder.*", "encoder.blocks.*", OFFICIAL_BLOCK),
    "encoder_norm": "encoder.norm",
    "to_decoder": "encoder_to_decoder",
    "mask_token": "mask_token",
    **within("decoder.*", "decoder.blocks.*", OFFICIAL_BLOCK),
    "decoder_norm": "decoder.norm",
    "head": "decoder.head",
}


def transformers_names(block: Names) -> Names:
    """The classifier of transformers, with the names in its blocks."""
    return {
        "embedding.proj": "videomae.embeddings.patch_embeddings.projection",
        **within("blocks.*", "videomae.encoder.layer.*", block),
        "norm": "fc_norm",
        "head": "classifier",
    }


def transformers_pretraining_names(block: Names) -> Names:
    """Pre-training in transformers, with the names in its blocks."""
    return {
        "embedding.proj": "videomae.embeddings.patch_embeddings.projection",
        **within("encoder.*", "videomae.encoder.layer.*", block),
        "encoder_norm": "videomae.layernorm",
        "to_decoder": "encoder_to_decoder",
        "mask_token": "mask_token",
        **within("decoder.*", "decoder.decoder_layers.*", block),
        "decoder_norm": "decoder.norm",
        "head": "decoder.head",
    }


CLASSIFIER = (
    Layout(publisher="official VideoMAE", names=OFFICIAL),
    Layout(publisher="transformers", names=transformers_names(TRANSFORMERS_BLOCK)),
    Layout(publisher="transformers, state_dict()", names=transformers_names(IN_MEMORY_BLOCK)),
)
PRETRAINING = (
    Layout(publisher="official VideoMAE", names=OFFICIAL_PRETRAINING),
    Layout(publisher="transformers", names=transformers_pretraining_names(TRANSFORMERS_BLOCK)),
    Layout(publisher="transformers, state_dict()", names=transformers_pretraining_names(IN_MEMORY_BLOCK)),
)
LAYOUTS: dict[str, tuple[Layout, ...]] = {
    "videomae_s": CLASSIFIER,
    "videomae_b": CLASSIFIER,
    "videomae_l": CLASSIFIER,
    "videomae_b_pretrain": PRETRAINING,
}
