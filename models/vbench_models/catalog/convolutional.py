"""3D convolutional networks: C3D, I3D."""

from vbench_models.card import Card
from vbench_models.catalog.references import C3D, I3D
from vbench_models.video import Clip

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
        lattice=(2, 32, 32),  # in frames and pixels: it has no token grid
        supports="2 frames or more of any size; pooling is global",
        verified_against=("pytorchvideo i3d_r50: outputs, parameters, MACs",),
    ),
}
