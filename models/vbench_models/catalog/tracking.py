"""Multi-object tracking: from the frames of a stream to boxes that keep their identity."""

from vbench_models.card import Card
from vbench_models.video import Clip

TRANSTRACK = "Sun et al., 'TransTrack: Multiple Object Tracking with Transformer', 2020, sec. 3, https://arxiv.org/abs/2012.15460; its attention: Zhu et al., 'Deformable DETR', ICLR 2021, sec. 4.1, https://arxiv.org/abs/2010.04159"

CARDS: dict[str, Card] = {
    "transtrack_r50": Card(
        title="TransTrack-R50",
        kind="architecture",
        family="transtrack",
        task="tracking",
        reference=TRANSTRACK,
        builder="vbench_models.architectures.transtrack:transtrack_r50",
        default_clip=Clip(frames=2, height=800, width=1333),
        classes=20,
        lattice=(1, 64, 64),  # in frames and pixels
        supports="any number of frames of any size",
        verified_against=(
            "PeizeSun/TransTrack 91cfaa7, its CUDA operator replaced by its own torch fallback, run beside it with seeded noise in "
            "every parameter and buffer over 2 frames of 800x1333, 3 of 128x160 and 2 of 75x130: boxes and logits of both decoders "
            "differ by 2e-7 to 8e-7, once its offsets are divided by (width, height) as in Deformable DETR's later code; as it stands "
            "it divides x by the height and y by the width, and they differ by 2 to 20 %; 47,097,170 parameters equal (dataset_file mot, "
            "20 classes; coco's 91 would make 47,206,652)",
            "the same: 226,929,683,456 convolution and matrix MACs of a frame at 800x1333 are ours plus three things it does besides: "
            "projecting the carried features again (5,128,585,216), heads that only auxiliary losses use (752,128,000), and less the "
            "weighing of samples (570,728,448), which its count has not",
            "its Tracker, 40 random streams of 25 frames and 12 boxes: the same identities up to renaming, the same waiting tracks",
        ),
        note="the clip is frames of a stream that has begun: each detects with 500 queries and tracks 500 carried ones, so that a frame "
        "costs the clip's MACs over its frames. Sampling is 5 multiply-adds a value, 4 to interpolate and 1 to weigh, and counts as "
        "attention: the factor 5 of Deformable DETR's appendix A.1. Identities come from matching boxes by overlap (generalised "
        "IoU, least-cost assignment), outside the network and outside the count, not from attention. In training, auxiliary "
        "losses of the first five layers are not there (0.2 % of the MACs)",
    ),
}
