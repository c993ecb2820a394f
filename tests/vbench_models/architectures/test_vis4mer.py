"""ViS4mer: parameters beside the official code's, MACs by hand, what is frozen, and what hears what."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from vbench_models.architectures.vis4mer import VIS4MER, StateSpaceLayer, ViS4mer, vis4mer
from vbench_models.layers.fft_convolution import convolution_macs
from vbench_models.layers.state_space import StateSpaceConfig
from vbench_models.video import Clip, UnsupportedClipError

DEFAULT = Clip(frames=60, height=224, width=224)


def parameters(*modules: torch.nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def build_on_meta(clip: Clip) -> ViS4mer:
    with torch.device("meta"):
        return vis4mer(clip).eval()


def test_the_encoder_is_a_vit_l_16_and_the_decoder_has_the_official_parameters_but_for_the_kernels() -> None:
    model = build_on_meta(DEFAULT)
    assert parameters(model.encoder) == 303_301_632
    kernels = parameters(*(layer.convolution.responses for layer in model.layers))
    official, official_kernels, unused_input_layer = 3_584_074, 460_736, 1_049_600
    assert parameters(model.layers, model.head) - kernels == official - official_kernels - unused_input_layer


@pytest.mark.parametrize("clip", [DEFAULT, Clip(frames=7, height=64, width=48)], ids=str)
def test_macs_are_those_of_the_encoder_the_convolutions_and_the_linear_layers(clip: Clip) -> None:
    patches, c = clip.height * clip.width // 256, 1024
    n = 1 + patches
    encoder = patches * 768 * c + 24 * (12 * n * c**2 + 2 * n**2 * c)
    expected, tokens = clip.frames * encoder, clip.frames * n
    for channels in (1024, 512, 256):
        size = next(s for s in range(1, tokens + 1) if s * s >= tokens)  # the kernel's lags fill a rectangle
        kernel = channels * 64 * -(-tokens // size) * size
        mixing = convolution_macs(tokens, channels) + kernel + tokens * channels**2
        tokens //= 2
        expected += mixing + tokens * channels * channels // 2
    expected += 128 * 10
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        build_on_meta(clip)(torch.empty(1, 3, clip.frames, clip.height, clip.width, device="meta"))
    assert counter.get_total_flops() // 2 == expected


def tiny(clip: Clip) -> ViS4mer:
    torch.manual_seed(0)
    return ViS4mer(replace(VIS4MER, embed_dim=64, encoder_depth=2, num_heads=4), clip).eval()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def test_training_moves_the_decoder_and_leaves_the_encoder() -> None:
    model = tiny(Clip(frames=3, height=32, width=32)).train()
    model(noise(2, 3, 3, 32, 32)).square().sum().backward()
    assert all(parameter.grad is None for parameter in model.encoder.parameters())
    assert all(parameter.grad is not None for parameter in (*model.layers.parameters(), *model.head.parameters()))


def test_the_encoder_sees_one_frame_at_a_time() -> None:
    model, video = tiny(Clip(frames=3, height=32, width=32)), noise(1, 3, 3, 32, 32)
    other = video.clone()
    other[:, :, 1] += 1
    first, second = (model.encoder(x).unflatten(1, (3, 5)) for x in (video, other))
    same = (first - second).abs().amax((0, 2, 3)) < 1e-6
    assert same.tolist() == [True, False, True]


def test_a_layer_is_causal_and_drops_an_odd_token() -> None:
    torch.manual_seed(0)
    layer, x = StateSpaceLayer(StateSpaceConfig(embed_dim=8, state_dim=4)).double(), noise(1, 7, 8).double()
    hears = torch.autograd.functional.jacobian(lambda x: layer(x)[0].sum(-1), x)[:, 0].abs().amax(-1) > 1e-12
    assert hears.shape == (3, 7)
    assert hears.tolist() == [[token // 2 <= pair for token in range(7)] for pair in range(3)]


@pytest.mark.parametrize("n", [1, 2, 9, 31])
def test_the_convolution_equals_the_recurrence(n: int) -> None:
    torch.manual_seed(0)
    convolution = StateSpaceLayer(StateSpaceConfig(embed_dim=5, state_dim=6)).double().convolution
    responses, x = convolution.responses, noise(2, 5, n).double()
    rate = torch.complex(-responses.log_decay.exp(), responses.frequency)
    dt = responses.log_dt.exp()[:, None]
    decay, inlet = torch.exp(dt * rate), (torch.exp(dt * rate) - 1) / rate
    outlet, state, outputs = torch.view_as_complex(responses.read[0]), torch.zeros(2, 5, 3, dtype=rate.dtype), []
    for u in x.unbind(-1):
        state = decay * state + inlet * u[:, :, None]
        outputs.append(2 * (outlet * state).sum(-1).real + convolution.skip * u)
    torch.testing.assert_close(convolution(x), torch.stack(outputs, dim=-1))


@pytest.mark.parametrize("size", [(2, 32, 32), (4, 16, 16), (5, 48, 16)])
def test_clips_of_several_sizes_give_different_logits_for_different_videos(size: tuple[int, int, int]) -> None:
    frames, height, width = size
    with torch.no_grad():
        logits = tiny(Clip(frames=frames, height=height, width=width))(noise(2, 3, *size))
    assert logits.shape == (2, 10)
    assert logits.isfinite().all()
    assert not torch.allclose(logits[0], logits[1])


def test_a_clip_of_too_few_tokens_is_refused() -> None:
    message = r"needs 8 or more; got 6 \(frames=3, 2 each\), nearest: frames=4$"
    with pytest.raises(UnsupportedClipError, match=message):
        vis4mer(Clip(frames=3, height=16, width=16))
