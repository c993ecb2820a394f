"""Video object segmentation: from a clip to a mask for each frame."""

from vbench_models.card import Card
from vbench_models.catalog.references import PCSA
from vbench_models.video import Clip

UNET = "Ronneberger et al., 'U-Net', MICCAI 2015, sec. 2, https://arxiv.org/abs/1505.04597"
MATNET = "Zhou et al., 'Motion-Attentive Transition for Zero-Shot Video Object Segmentation', AAAI 2020, sec. 3, https://arxiv.org/abs/2003.04253"
STM = "Oh et al., 'Video Object Segmentation using Space-Time Memory Networks', ICCV 2019, sec. 3, https://arxiv.org/abs/1904.00607"
DAVIS = Clip(frames=5, height=480, width=854)

CARDS: dict[str, Card] = {
    "segment_encoder_decoder": Card(
        title="Segmentation: U-Net with a temporal transformer at its bottom",
        kind="architecture",
        family="segmentation",
        task="segmentation",
        reference=f"a design of ours; nearest: {UNET}",
        builder="vbench_models.architectures.segment_encoder_decoder:segment_encoder_decoder",
        default_clip=DAVIS,
        lattice=(1, 16, 16),  # in frames and pixels
        supports="any number of frames; height and width from 16 pixels on",
        note="32 to 512 channels, half of U-Net's; 4 blocks of attention along time at each position of the coarsest map",
    ),
    "stm_r50": Card(
        title="STM-R50",
        kind="architecture",
        family="stm",
        task="segmentation",
        reference=STM,
        builder="vbench_models.architectures.stm:stm_r50",
        default_clip=DAVIS,
        stride=5,
        lattice=(1, 16, 16),  # in frames and pixels
        supports="2 frames or more of any size, padded to multiples of 16 as in the official code",
        verified_against=(
            "seoungwugoh/STM 905f114, run beside it with seeded noise in every parameter and buffer: outputs at 3x72x100 with "
            "2 objects, 5x96x112 with 1 and 4x64x80 with 3 differ by 1.1e-5 to 3.4e-5 (odds near 0 and 1); parameters equal; "
            "297,785,548,800 MACs at 5x480x854 and 54,327,594,240 at 3x240x430 equal, one object",
        ),
        note="takes masks of all frames but the last, besides the video: the clip is 4 frames memorised and one segmented, one "
        "object; along a stream each remembered frame costs every later one its reading, and the memory grows without bound",
    ),
    "segment_dual_branch": Card(
        title="Segmentation: an appearance and a motion branch",
        kind="architecture",
        family="segmentation",
        task="segmentation",
        reference=f"a design of ours; nearest: {MATNET}",
        builder="vbench_models.architectures.segment_dual_branch:segment_dual_branch",
        default_clip=DAVIS,
        lattice=(1, 32, 32),  # in frames and pixels
        supports="2 frames or more of any size",
        note="two ResNet-50s, one on the frames and one on their changes; motion gates appearance at every level; no optical flow is asked for",
    ),
    "pcsa": Card(
        title="PCSA, MobileNetV3-Large",
        kind="architecture",
        family="pcsa",
        task="segmentation",
        reference=f"{PCSA}; its trunk: Howard et al., 'Searching for MobileNetV3', ICCV 2019, https://arxiv.org/abs/1905.02244",
        builder="vbench_models.architectures.pcsa:pcsa",
        default_clip=Clip(frames=5, height=256, width=448),
        tubelet_size=(1, 8, 8),
        lattice=(1, 1, 2),
        supports="any number of frames of any size; what 8 pixels do not divide is rounded up",
        claimed="T**2*H*W",
        verified_against=(
            "guyuchao/PyramidCSA 45025db, its CUDA kernels written out in torch, run beside it with seeded noise in every parameter "
            "and buffer at 5x256x448 and, in a batch of 2, 3x75x130: masks differ by 8e-8, logits by 3e-7, with places outside the "
            "frame skipped; parameters equal; 13,417,242,080 MACs outside the attention equal",
            "the same with scores of 0 there, as its kernel sets them: masks differ by 5 and 10 %",
        ),
        note="saliency of all frames at once. The pyramid is one of window radii 3, 3, 4, 4 over one feature map; places outside the "
        "frame are skipped, as the official wrapper means and its kernel does not. The trunk drops two strides of MobileNetV3-Large "
        "and dilates nothing",
    ),
}
