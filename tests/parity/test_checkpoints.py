"""`load_checkpoint` on files that peer libraries write of random weights: the outputs are theirs.

Networks of transformers are narrow, and ours with them; torchvision's and PyTorchVideo's are the real ones.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn

from vbench_models import Clip, ModelError, load_checkpoint
from vbench_models.architectures import timesformer, videomae, vivit

Fill = Callable[[nn.Module, int], None]
Distance = Callable[[Tensor, Tensor], float]

CLIP = Clip(batch=2, frames=4, height=32, width=48)
DEFAULT = Clip(frames=16, height=224, width=224)
SQUARE = Clip(batch=2, frames=4, height=64, width=64)
WIDTHS = {"hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 192, "num_hidden_layers": 12}

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


@pytest.fixture(autouse=True, scope="module")
def peers_importable(request: pytest.FixtureRequest) -> None:
    """The models of transformers import torchvision wherever it is installed."""
    if importlib.util.find_spec("torchvision"):
        request.getfixturevalue("torchvision_importable")


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = replace(videomae.VIDEOMAE_B, embed_dim=48, num_heads=4)
    pretraining = replace(videomae.VIDEOMAE_B_PRETRAINING, encoder=encoder)
    monkeypatch.setattr(timesformer, "TIMESFORMER_B", replace(timesformer.TIMESFORMER_B, embed_dim=48, num_heads=4))
    monkeypatch.setattr(vivit, "VIVIT_B_16X2", replace(vivit.VIVIT_B_16X2, embed_dim=48, num_heads=4))
    monkeypatch.setattr(videomae, "VIDEOMAE_B", encoder)
    monkeypatch.setattr(videomae, "VIDEOMAE_B_PRETRAINING", pretraining)


def of_transformers(kind: str, clip: Clip, **further: Any) -> Any:
    config = getattr(transformers, f"{kind}Config")(
        **WIDTHS,
        image_size=clip.height if kind == "Timesformer" else [clip.height, clip.width],
        num_frames=clip.frames,
        num_labels=400,
        layer_norm_eps=1e-6,
        **further,
    )
    config._attn_implementation = "eager"
    task = "PreTraining" if "decoder_hidden_size" in further else "VideoClassification"
    return getattr(transformers, f"{kind}For{task}")(config).eval()


def video_of(clip: Clip) -> Tensor:
    shape = (clip.batch, 3, clip.frames, clip.height, clip.width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def saved(theirs: Any, folder: Path) -> Path:
    theirs.save_pretrained(folder)
    return folder / "model.safetensors"


def saved_by_torch(theirs: nn.Module, folder: Path) -> Path:
    torch.save(theirs.state_dict(), folder / "weights.pth")
    return folder / "weights.pth"


both_formats = pytest.mark.parametrize("save", [saved, saved_by_torch])


@pytest.mark.parametrize(
    ("name", "scheme"), [("timesformer_b", "divided_space_time"), ("timesformer_b_joint", "joint_space_time")]
)
@torch.no_grad()
def test_timesformer_of_transformers(
    name: str, scheme: str, tmp_path: Path, fill_with_noise: Fill, relative_difference: Distance
) -> None:
    theirs = of_transformers("Timesformer", SQUARE, attention_type=scheme)
    fill_with_noise(theirs, 0)
    ours = load_checkpoint(name, saved(theirs, tmp_path), SQUARE)
    expected = theirs(video_of(SQUARE).transpose(1, 2)).logits
    assert relative_difference(ours(video_of(SQUARE)), expected) < 1e-5


@both_formats
@torch.no_grad()
def test_vivit_of_transformers(
    save: Callable[[Any, Path], Path], tmp_path: Path, fill_with_noise: Fill, relative_difference: Distance
) -> None:
    theirs = of_transformers("Vivit", CLIP)
    fill_with_noise(theirs, 0)
    ours = load_checkpoint("vivit_b_16x2", save(theirs, tmp_path), CLIP)
    expected = theirs(video_of(CLIP).transpose(1, 2)).logits
    assert relative_difference(ours(video_of(CLIP)), expected) < 1e-5


@both_formats
@torch.no_grad()
def test_videomae_of_transformers(
    save: Callable[[Any, Path], Path], tmp_path: Path, fill_with_noise: Fill, relative_difference: Distance
) -> None:
    theirs = of_transformers("VideoMAE", CLIP)
    theirs.fc_norm.eps = 1e-6
    fill_with_noise(theirs, 0)
    ours = load_checkpoint("videomae_b", save(theirs, tmp_path), CLIP)
    expected = theirs(video_of(CLIP).transpose(1, 2)).logits
    assert relative_difference(ours(video_of(CLIP)), expected) < 1e-5


@both_formats
@torch.no_grad()
def test_videomae_pre_training_of_transformers(
    save: Callable[[Any, Path], Path], tmp_path: Path, fill_with_noise: Fill, relative_difference: Distance
) -> None:
    decoder = {"decoder_hidden_size": 384, "decoder_num_hidden_layers": 4, "decoder_num_attention_heads": 6}
    theirs = of_transformers("VideoMAE", CLIP, use_mean_pooling=False, decoder_intermediate_size=1536, **decoder)
    theirs.decoder.norm.eps = 1e-6
    fill_with_noise(theirs, 0)
    ours = load_checkpoint("videomae_b_pretrain", save(theirs, tmp_path), CLIP)
    (visible,) = ours.further_inputs(video_of(CLIP))
    masked = torch.ones(CLIP.batch, ours.grid.tokens, dtype=torch.bool).scatter(1, visible, False)
    expected = theirs(video_of(CLIP).transpose(1, 2), bool_masked_pos=masked)
    assert relative_difference(ours(video_of(CLIP), visible).pixels, expected.logits) < 1e-5


@pytest.mark.parametrize(
    ("name", "theirs_name", "clip"),
    [
        ("video_swin_t", "swin3d_t", SQUARE),
        pytest.param("mvit_b_16x4", "mvit_v1_b", DEFAULT, marks=pytest.mark.slow),
        pytest.param("mvitv2_s_16x4", "mvit_v2_s", DEFAULT, marks=pytest.mark.slow),
    ],
)
@torch.no_grad()
def test_networks_of_torchvision(
    name: str, theirs_name: str, clip: Clip, tmp_path: Path, fill_with_noise: Fill, relative_difference: Distance
) -> None:
    from torchvision.models import video  # type: ignore[import-untyped]

    theirs = getattr(video, theirs_name)().eval()
    fill_with_noise(theirs, 0)
    ours = load_checkpoint(name, saved_by_torch(theirs, tmp_path), clip)
    assert relative_difference(ours(video_of(clip)), theirs(video_of(clip))) < 1e-5


@torch.no_grad()
def test_mvit_of_pytorchvideo(tmp_path: Path, fill_with_noise: Fill, relative_difference: Distance) -> None:
    from pytorchvideo.models.hub import mvit_base_16x4  # type: ignore[import-untyped]

    theirs = mvit_base_16x4(temporal_size=SQUARE.frames, spatial_size=(SQUARE.height, SQUARE.width)).eval()
    for name, module in theirs.named_modules():
        if name.endswith(("attn.norm_q", "attn.norm_k", "attn.norm_v")):
            module.eps = 1e-6  # as in the official code; theirs is 1e-5
    fill_with_noise(theirs, 0)
    torch.save({"model_state": theirs.state_dict()}, tmp_path / "MVIT_B_16x4.pyth")
    ours = load_checkpoint("mvit_b_16x4", tmp_path / "MVIT_B_16x4.pyth", SQUARE)
    assert relative_difference(ours(video_of(SQUARE)), theirs(video_of(SQUARE))) < 1e-5


def test_a_classifier_of_transformers_is_no_pre_training(tmp_path: Path) -> None:
    theirs = of_transformers("VideoMAE", CLIP)
    with pytest.raises(
        ModelError, match=r"is no checkpoint of videomae_b_pretrain: by the names of transformers, 4 of"
    ):
        load_checkpoint("videomae_b_pretrain", saved(theirs, tmp_path), CLIP)
