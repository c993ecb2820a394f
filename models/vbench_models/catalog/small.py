"""The two smallest readable references, and the audio-visual transformer."""

from vbench_models.card import Card
from vbench_models.catalog.references import TIMESFORMER, VIVIT
from vbench_models.video import Clip

MBT = "Nagrani et al., 'Attention Bottlenecks for Multimodal Fusion' (MBT), NeurIPS 2021, sec. 3, https://arxiv.org/abs/2107.00135"
TEACHING = "a teaching model, no published network; the idea:"
GUIDE_CLIP = Clip(frames=8, height=224, width=224)

CARDS: dict[str, Card] = {
    "plain_divided": Card(
        title="Plain divided video transformer",
        kind="architecture",
        family="plain",
        reference=f"{TEACHING} {TIMESFORMER}",
        builder="vbench_models.architectures.plain_divided:plain_divided",
        default_clip=GUIDE_CLIP,
        stride=32,
        classes=400,
        tubelet_size=(1, 16, 16),
        supports="any number of frames; height and width multiples of 16",
        claimed="T*(H*W)**2 + H*W*T**2",
        note="the sketch that it stands for has 768 parameters more, 114,478,480: a class token that no attention shows the patches, so that its output ignores the video; this one pools the patches",
    ),
    "plain_factorized": Card(
        title="Plain factorised video transformer",
        kind="architecture",
        family="plain",
        reference=f"{TEACHING} {VIVIT}",
        builder="vbench_models.architectures.plain_factorized:plain_factorized",
        default_clip=GUIDE_CLIP,
        stride=32,
        classes=400,
        tubelet_size=(1, 16, 16),
        supports="any number of frames; height and width multiples of 16",
        claimed="T*(H*W)**2 + T**2",
        note="12 blocks within frames, 4 between them: the 114,465,424 parameters of the sketch that it stands for, which fix the blocks but not which of its tables have a place for the class token",
    ),
    "audio_visual": Card(
        title="Audio-visual transformer, MBT-B/16x2",
        kind="architecture",
        family="audio_visual",
        reference=MBT,
        builder="vbench_models.architectures.audio_visual:audio_visual",
        default_clip=Clip(frames=32, height=224, width=224),
        stride=2,
        classes=400,
        tubelet_size=(2, 16, 16),
        supports="frames a multiple of 2; height and width multiples of 16",
        claimed="(T*H*W)**2",
        verified_against=(
            "google-research/scenic 4a38d47 (projects/mbt, class tokens, n_bottlenecks=3, to which it adds one), noise in every tensor: parameters and MACs equal at 32 x 224 x 224 and 4 x 32 x 48; logits to 1e-6 relative at 4 x 32 x 48 (batch 2, narrow) and 8 x 64 x 64 (full width, 4 layers)",
        ),
        note="also takes a log-mel spectrogram, b 3 800 128: 8 s at 100 a second, the same three times as in the code, whatever the clip's length. 4 bottleneck tokens in layers 9 to 12; the class tokens of the paper (the released configuration pools, and cannot be built with bottlenecks); tubelets of two frames as released, where the paper samples 8 single frames",
    ),
}
