"""3D convolutional networks: C3D, I3D, SlowFast."""

from dataclasses import replace

from vbench_models.card import Card
from vbench_models.catalog.references import C3D, I3D, SLOWFAST
from vbench_models.video import Clip

I3D_OFFICIAL = "google-deepmind/kinetics-i3d i3d.py, run with dm-sonnet 1.36 on TensorFlow 2.21 (v1 interface), the same noise in every variable:"
PYSLOWFAST = "facebookresearch/SlowFast 287ec00"
PYSLOWFAST_SEEN = (
    "the same noise in every tensor, clips of 64 x 80 and 49 x 67 with its head's pool made global: relative difference of the logits 0; "
    "parameters equal; MACs equal at 224 px, and at 256 px but for its classifier at 2 x 2 positions"
)

I3D_RGB = Card(
    title="I3D, Inception-v1, RGB",
    kind="architecture",
    family="i3d",
    reference=I3D,
    builder="vbench_models.architectures.i3d_inception:i3d_rgb",
    default_clip=Clip(frames=64, height=224, width=224),
    classes=400,
    lattice=(16, 32, 32),  # in frames and pixels: no convolutional network here has a token grid
    supports="any clip; the authors' code takes 9 frames or more of 193 to 224 px",
    verified_against=(
        f"{I3D_OFFICIAL} parameters, MACs at the default clip, every endpoint and the logits of 16 x 224 x 224 (relative difference 7e-7)",
    ),
    note="published 108 G (SlowFast, table 2) is 2.8 % below the authors' graph, 111.15 G; their norms have no scale, with it 12,697,264 parameters",
)

SLOWFAST_R50_8X8 = Card(
    title="SlowFast-R50 8x8",
    kind="architecture",
    family="slowfast",
    reference=SLOWFAST,
    builder="vbench_models.architectures.slowfast:slowfast_r50_8x8",
    default_clip=Clip(frames=32, height=256, width=256),
    stride=2,
    classes=400,
    lattice=(4, 32, 32),
    supports="frames, those of the fast pathway, a multiple of 4; any size: pooling is global",
    verified_against=(
        "pytorchvideo slowfast_r50: outputs, parameters, MACs",
        f"{PYSLOWFAST} SLOWFAST_8x8_R50: {PYSLOWFAST_SEEN}",
    ),
)

CARDS: dict[str, Card] = {
    "c3d": Card(
        title="C3D",
        kind="architecture",
        family="c3d",
        reference=C3D,
        builder="vbench_models.architectures.c3d:c3d",
        default_clip=Clip(frames=16, height=112, width=112),
        classes=101,
        supports="16 frames of 112 x 112: the fully connected head fixes the clip",
        verified_against=(
            "mmaction2 1.2.0 C3D, the same noise in every tensor: parameters, MACs; outputs on the mirrored clip with mirrored kernels (relative difference 9e-7)",
            "facebook/C3D c3d_ucf101_finetuning_train.prototxt, layer by layer: 27,655,936 parameters of convolutions, 50,339,840 of fc6 and fc7, 413,797 of fc8",
        ),
        note="mirrored: the last pool rounds 7 up to 4 at the far end, as Caffe's does, where mmaction2 pads the near end",
    ),
    "i3d_rgb": I3D_RGB,
    "i3d_flow": replace(
        I3D_RGB,
        title="I3D, Inception-v1, optical flow",
        builder="vbench_models.architectures.i3d_inception:i3d_flow",
        channels=2,
        verified_against=(
            f"{I3D_OFFICIAL} parameters, MACs at the default clip, every endpoint and the logits of 21 x 223 x 209 (relative difference 5e-7)",
        ),
        note="the channels are horizontal and vertical flow; the authors' norms have no scale, with it 12,675,312 parameters",
    ),
    "i3d_two_stream": replace(
        I3D_RGB,
        title="I3D, Inception-v1, two-stream",
        builder="vbench_models.architectures.i3d_inception:i3d_two_stream",
        channels=5,
        verified_against=(
            "the two streams, each against the authors' code; their logits are added as in its evaluate_sample.py",
        ),
        note="RGB, then flow; the flow itself (TV-L1) is the data's and is not counted; published 216 G is 1.2 % above the authors' graphs, 213.49 G",
    ),
    "i3d_r50": Card(
        title="I3D-R50",
        kind="architecture",
        family="i3d",
        reference=I3D,
        builder="vbench_models.architectures.i3d:i3d_r50",
        default_clip=Clip(frames=8, height=256, width=256),
        stride=8,
        classes=400,
        lattice=(2, 32, 32),
        supports="2 frames or more of any size; pooling is global",
        verified_against=(
            "pytorchvideo i3d_r50: outputs, parameters, MACs",
            f"{PYSLOWFAST} I3D_8x8_R50: {PYSLOWFAST_SEEN}",
        ),
    ),
    "slowfast_r50_4x16": replace(
        SLOWFAST_R50_8X8,
        title="SlowFast-R50 4x16",
        builder="vbench_models.architectures.slowfast:slowfast_r50_4x16",
        lattice=(8, 32, 32),
        supports="frames, those of the fast pathway, a multiple of 8; any size: pooling is global",
        verified_against=(f"{PYSLOWFAST} SLOWFAST_4x16_R50: {PYSLOWFAST_SEEN}",),
    ),
    "slowfast_r50_8x8": SLOWFAST_R50_8X8,
    "slowfast_r101_8x8": replace(
        SLOWFAST_R50_8X8,
        title="SlowFast-R101 8x8",
        builder="vbench_models.architectures.slowfast:slowfast_r101_8x8",
        verified_against=(
            "pytorchvideo slowfast_16x8_r101_50_50, the same network, on half its frames: outputs, parameters",
            f"{PYSLOWFAST} c2/SLOWFAST_8x8_R101_50_50: {PYSLOWFAST_SEEN}",
        ),
        note="the paper's network is the code's R101_50_50; R101_101_101, with all 23 blocks over time, has 62,826,968 parameters and 125.9 G",
    ),
    "slowfast_r101_16x8": replace(
        SLOWFAST_R50_8X8,
        title="SlowFast-R101 16x8",
        builder="vbench_models.architectures.slowfast:slowfast_r101_16x8",
        default_clip=Clip(frames=64, height=256, width=256),
        verified_against=(
            "pytorchvideo slowfast_16x8_r101_50_50: outputs, parameters, MACs",
            f"{PYSLOWFAST} c2/SLOWFAST_16x8_R101_50_50: {PYSLOWFAST_SEEN}",
        ),
        note="the paper's network is the code's R101_50_50",
    ),
    "slowfast_r101_16x8_nl": replace(
        SLOWFAST_R50_8X8,
        title="SlowFast-R101 16x8 with non-local blocks",
        builder="vbench_models.architectures.slowfast:slowfast_r101_16x8_nl",
        default_clip=Clip(frames=64, height=256, width=256),
        supports="frames, those of the fast pathway, a multiple of 4; height and width at least 17",
        verified_against=(f"{PYSLOWFAST} c2/SLOWFAST_NLN_16x8_R101_50_50: {PYSLOWFAST_SEEN}",),
        note="published 234 G is 3.3 % below the code; the code multiplies queries with keys before values, and taking keys with values first would make 233.15 G",
    ),
}
