"""`load_checkpoint` on files with the names that publishers use, and on files that are something else."""

import sys
from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from vbench_models import Clip, ModelError, UnknownModelError, UnsupportedClipError, load, load_checkpoint
from vbench_models.architectures import mvit, mvitv2, timesformer, video_swin, videomae
from vbench_models.checkpoints.files import read_tensors
from vbench_models.checkpoints.layout import Layout
from vbench_models.checkpoints.loading import LAYOUTS, fit

DIM = 8
CLIP = Clip(frames=2, height=32, width=32)
POOLED = Clip(frames=4, height=64, width=64)
Save = Callable[[object], Path]

NARROW_VIDEOMAE = replace(videomae.VIDEOMAE_B, embed_dim=DIM, num_heads=2)


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks with the depth and the names of the real ones, in little memory."""
    pretraining = replace(videomae.VIDEOMAE_B_PRETRAINING, encoder=NARROW_VIDEOMAE)
    monkeypatch.setattr(mvit, "MVIT_B", replace(mvit.MVIT_B, embed_dim=DIM))
    monkeypatch.setattr(mvitv2, "MVITV2_S", replace(mvitv2.MVITV2_S, embed_dim=DIM))
    monkeypatch.setattr(timesformer, "TIMESFORMER_B", replace(timesformer.TIMESFORMER_B, embed_dim=DIM, num_heads=2))
    monkeypatch.setattr(video_swin, "VIDEO_SWIN_T", replace(video_swin.VIDEO_SWIN_T, embed_dim=6))
    monkeypatch.setattr(videomae, "VIDEOMAE_B", NARROW_VIDEOMAE)
    monkeypatch.setattr(videomae, "VIDEOMAE_B_PRETRAINING", pretraining)


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def write(content: object) -> Path:
        path = tmp_path / "weights.pth"
        torch.save(content, path)
        return path

    return write


def numbered(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Different numbers in every tensor."""
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def official_timesformer(frames: int = 2, places: int = 4) -> dict[str, Tensor]:
    """The tensors of the official divided TimeSformer-B, as its `vit.py` names them, but narrower."""
    dim = DIM
    shapes: dict[str, tuple[int, ...]] = {
        "cls_token": (1, 1, dim),
        "pos_embed": (1, 1 + places, dim),
        "time_embed": (1, frames, dim),
        "patch_embed.proj.weight": (dim, 3, 16, 16),
        "patch_embed.proj.bias": (dim,),
        "norm.weight": (dim,),
        "norm.bias": (dim,),
        "head.weight": (400, dim),
        "head.bias": (400,),
    }
    wide = {"qkv": 3 * dim, "fc1": 4 * dim}
    for block in range(12):
        for norm in ("norm1", "norm2", "temporal_norm1"):
            shapes |= {f"blocks.{block}.{norm}.{kind}": (dim,) for kind in ("weight", "bias")}
        for layer in ("attn.qkv", "attn.proj", "temporal_attn.qkv", "temporal_attn.proj", "temporal_fc", "mlp.fc1"):
            out = wide.get(layer.rpartition(".")[2], dim)
            shapes |= {f"blocks.{block}.{layer}.weight": (out, dim), f"blocks.{block}.{layer}.bias": (out,)}
        shapes |= {f"blocks.{block}.mlp.fc2.weight": (dim, 4 * dim), f"blocks.{block}.mlp.fc2.bias": (dim,)}
    return numbered(shapes)


def test_an_official_timesformer_is_read_out_of_its_wrappers(save: Save) -> None:
    theirs = official_timesformer()
    path = save({"epoch": 15, "model_state": {f"model.{name}": value for name, value in theirs.items()}, "cfg": "a: 1"})
    ours = load_checkpoint("timesformer_b", path, CLIP).state_dict()
    assert sum(value.numel() for value in ours.values()) == sum(value.numel() for value in theirs.values())
    expected = {
        "tokens.positions": "pos_embed",
        "tokens.times": "time_embed",
        "blocks.3.steps.time.attention.qkv.weight": "blocks.3.temporal_attn.qkv.weight",
        "blocks.3.steps.time.fc.bias": "blocks.3.temporal_fc.bias",
        "blocks.11.steps.space.attention.proj.weight": "blocks.11.attn.proj.weight",
        "blocks.0.steps.space.norm.weight": "blocks.0.norm1.weight",
        "blocks.0.mlp_norm.weight": "blocks.0.norm2.weight",
        "head.bias": "head.bias",
    }
    for name, their_name in expected.items():
        assert torch.equal(ours[name], theirs[their_name])
    assert torch.equal(ours["tokens.embedding.proj.weight"].squeeze(2), theirs["patch_embed.proj.weight"])


def test_the_network_comes_in_evaluation_mode_for_the_cards_clip(save: Save) -> None:
    network = load_checkpoint("timesformer_b", save(official_timesformer(frames=8, places=196)))
    assert not network.training
    assert network.get_parameter("tokens.times").shape == (1, 8, DIM)


def renamed(name: str, clip: Clip, publisher: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Random weights of ours, and the same under a publisher's names, put together by hand from its parts."""
    ours = {key: torch.randn(value.shape) for key, value in load(name)(clip).state_dict().items()}
    layout = next(layout for layout in LAYOUTS[name] if layout.publisher == publisher)
    parts: dict[str, dict[int, Tensor]] = {}
    for key, value in ours.items():
        sources = layout.sources(key)
        for part, source in zip(value.chunk(len(sources)), sources, strict=True):
            parts.setdefault(source.name, {})[source.which] = part
    return ours, {theirs: torch.cat([found[index] for index in sorted(found)]) for theirs, found in parts.items()}


@pytest.mark.parametrize(
    ("name", "clip", "publisher", "one_of_theirs"),
    [
        ("timesformer_b_joint", CLIP, "official TimeSformer", "blocks.4.attn.qkv.weight"),
        ("timesformer_b_space", CLIP, "official TimeSformer", "blocks.4.norm1.bias"),
        ("video_swin_t", CLIP, "official Video-Swin-Transformer", "backbone.layers.0.downsample.reduction.weight"),
        ("videomae_b", CLIP, "official VideoMAE", "blocks.4.attn.q_bias"),
        ("videomae_b_pretrain", CLIP, "official VideoMAE", "decoder.blocks.3.attn.v_bias"),
        ("mvit_b_16x4", POOLED, "PySlowFast", "blocks.3.attn.qkv.weight"),
        ("mvit_b_16x4", POOLED, "PySlowFast, q, k and v apart", "blocks.15.attn.v.weight"),
        ("mvitv2_s_16x4", POOLED, "PySlowFast", "blocks.14.attn.rel_pos_t"),
    ],
)
def test_official_names_are_read(save: Save, name: str, clip: Clip, publisher: str, one_of_theirs: str) -> None:
    ours, theirs = renamed(name, clip, publisher)
    assert one_of_theirs in theirs
    loaded = load_checkpoint(name, save({"state_dict": theirs}), clip).state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in ours.items())


@pytest.mark.parametrize("wrapper", ["model_state", "state_dict", "module", "model"])
def test_weights_are_found_beside_what_training_leaves(save: Save, wrapper: str) -> None:
    path = save({"epoch": 3, wrapper: {"a": torch.zeros(2)}, "optimizer": {}, "args": Namespace(lr=0.1)})
    assert list(read_tensors(path)) == ["a"]


def test_tables_of_indices_are_left_out(save: Save) -> None:
    _, theirs = renamed("video_swin_t", CLIP, "official Video-Swin-Transformer")
    theirs["backbone.layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(392, 392, dtype=torch.long)
    load_checkpoint("video_swin_t", save(theirs), CLIP)


def test_a_checkpoint_of_another_network_is_refused_in_one_line(save: Save) -> None:
    _, theirs = renamed("timesformer_b_joint", CLIP, "official TimeSformer")
    with pytest.raises(ModelError) as refused:
        load_checkpoint("timesformer_b", save(theirs), CLIP)
    message = str(refused.value)
    assert "\n" not in message
    assert "weights.pth is no checkpoint of timesformer_b: by the names of official TimeSformer" in message
    assert "96 keys are missing (blocks.0.temporal_norm1.weight, blocks.0.temporal_norm1.bias" in message


def test_keys_that_do_not_fit_are_counted_and_the_first_are_named(save: Save) -> None:
    theirs = official_timesformer() | {f"extra.{index}": torch.zeros(1) for index in range(5)}
    del theirs["head.bias"]
    with pytest.raises(ModelError, match=r"5 of its keys do not fit \(extra.0, extra.1, extra.2, ...\); 1 keys"):
        load_checkpoint("timesformer_b", save(theirs), CLIP)


def test_other_classes_and_another_clip_are_refused_by_their_shapes(save: Save) -> None:
    theirs = official_timesformer()
    theirs["head.weight"] = torch.zeros(174, DIM)
    with pytest.raises(ModelError, match=r"1 tensors have another shape \(head.weight: 174x8, wanted 400x8\)"):
        load_checkpoint("timesformer_b", save(theirs), CLIP)
    with pytest.raises(ModelError, match=r"tokens\.times: 1x2x8, wanted 1x4x8"):
        load_checkpoint("timesformer_b", save(official_timesformer()), replace(CLIP, frames=4))


def test_only_axes_of_length_one_may_come_and_go() -> None:
    layout = Layout(publisher="us", names={"a": "b"})
    wanted = {"a": torch.zeros(2, 1, 3)}
    assert not fit(wanted, {"b": torch.zeros(2, 3)}, layout).faults
    assert fit(wanted, {"b": torch.zeros(3, 2)}, layout).misshapen
    assert fit(wanted, {"b": torch.zeros(6)}, layout).misshapen


def test_names_clips_and_files_that_are_none(save: Save, tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="did you mean 'timesformer_b'"):
        load_checkpoint("timesfomer_b", tmp_path / "none")
    with pytest.raises(ModelError, match="no public checkpoint is known for 'c3d'"):
        load_checkpoint("c3d", tmp_path / "none")
    with pytest.raises(UnsupportedClipError, match="height must be a multiple of 16"):
        load_checkpoint("timesformer_b", save(official_timesformer()), replace(CLIP, height=20))
    with pytest.raises(ModelError, match="no checkpoint at"):
        load_checkpoint("timesformer_b", tmp_path / "none", CLIP)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", b"PK\x03\x04 a broken archive"])
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_files_that_are_no_checkpoints_are_refused_in_one_line(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"{name} ") as refused:
        read_tensors(path)
    assert "\n" not in str(refused.value)


def test_a_file_that_would_run_code_is_not_opened(save: Save) -> None:
    with pytest.raises(ModelError, match=r"weights.pth holds more than tensors") as refused:
        read_tensors(save({"state_dict": {"a": torch.zeros(1)}, "network": nn.Linear(1, 1)}))
    assert "\n" not in str(refused.value)


def test_files_without_tensors_are_refused(save: Save) -> None:
    with pytest.raises(ModelError, match="holds no state dict, but list"):
        read_tensors(save([1, 2]))
    with pytest.raises(ModelError, match="holds no tensors; its keys: epoch"):
        read_tensors(save({"epoch": 3}))


def test_prefixes_go_only_where_all_names_have_them(save: Save) -> None:
    assert list(read_tensors(save({"module.model.a": torch.zeros(1), "module.model.b": torch.zeros(1)}))) == ["a", "b"]
    assert list(read_tensors(save({"model.a": torch.zeros(1), "b": torch.zeros(1)}))) == ["model.a", "b"]


def test_safetensors_is_read_like_torch(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    path = tmp_path / "model.safetensors"
    safetensors.save_file({"a": torch.arange(3.0)}, path)
    assert torch.equal(read_tensors(path)["a"], torch.arange(3.0))


def test_without_the_package_safetensors_the_message_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "safetensors", None)  # as Python remembers a package that is not there
    with pytest.raises(
        ModelError, match=r"needs the package safetensors: pip install 'vbench-attention\[checkpoints\]'"
    ):
        read_tensors(tmp_path / "model.safetensors")
