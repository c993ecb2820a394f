"""Networks that learn without labels, and what is fine-tuned from them: VideoMAE, CVRL."""

from dataclasses import replace

from vbench_models.card import Card
from vbench_models.video import Clip

VIDEOMAE = "Tong et al., 'VideoMAE', NeurIPS 2022, sec. 3, https://arxiv.org/abs/2203.12602"
CVRL = "Qian et al., 'Spatiotemporal Contrastive Video Representation Learning', CVPR 2021, sec. 3, https://arxiv.org/abs/2008.03800"

VIDEOMAE_B = Card(
    title="VideoMAE ViT-B, fine-tuned",
    kind="architecture",
    family="videomae",
    reference=VIDEOMAE,
    builder="vbench_models.architectures.videomae:videomae_b",
    default_clip=Clip(frames=16, height=224, width=224),
    stride=4,
    classes=400,
    tubelet_size=(2, 16, 16),
    supports="frames a multiple of 2; height and width multiples of 16",
    claimed="(T*H*W)**2",
    verified_against=(
        "transformers VideoMAEForVideoClassification: outputs, parameters, MACs",
        "MCG-NJU/VideoMAE 14ef8d8 (timm stubbed): parameters and MACs at 16x224x224; the same weights at 16x224x224 and 16x64x64: relative differences 1.7e-7 and 2.1e-7",
    ),
)

CARDS: dict[str, Card] = {
    "videomae_s": replace(
        VIDEOMAE_B,
        title="VideoMAE ViT-S, fine-tuned",
        builder="vbench_models.architectures.videomae:videomae_s",
        verified_against=(
            "transformers VideoMAEForVideoClassification: outputs, parameters, MACs",
            "MCG-NJU/VideoMAE 14ef8d8 (timm stubbed): parameters and MACs at 16x224x224",
        ),
    ),
    "videomae_b": VIDEOMAE_B,
    "videomae_l": replace(
        VIDEOMAE_B,
        title="VideoMAE ViT-L, fine-tuned",
        builder="vbench_models.architectures.videomae:videomae_l",
        verified_against=(
            "transformers VideoMAEForVideoClassification: outputs at 6x64x96, parameters, MACs",
            "MCG-NJU/VideoMAE 14ef8d8 (timm stubbed): parameters and MACs at 16x224x224",
        ),
    ),
    "videomae_b_pretrain": replace(
        VIDEOMAE_B,
        title="VideoMAE ViT-B, one step of pre-training: tube mask 0.9, encoder, decoder, loss",
        task="masked reconstruction",
        builder="vbench_models.architectures.videomae:videomae_b_pretrain",
        classes=None,
        supports="frames a multiple of 2; height and width multiples of 16, at least 2 patches a frame",
        lattice=(1, 10, 10),
        claimed=None,
        verified_against=(
            "transformers VideoMAEForPreTraining (use_mean_pooling=False): reconstruction, loss, parameters, MACs",
            "MCG-NJU/VideoMAE 14ef8d8 (timm stubbed): parameters, MACs with 160 of 1,568 tubelets visible; the same weights and mask at 16x224x224: relative difference 4.5e-7, loss 3.3e-6",
        ),
        note="the encoder sees the visible tenth alone, but all tubelets are embedded, as in the official code, and the decoder attends among all of them; off multiples of 10 patches the visible tenth of a frame is rounded up",
    ),
    "cvrl_r3d50": Card(
        title="CVRL R3D-50, one step of contrastive pre-training on two clips per video",
        kind="architecture",
        family="cvrl",
        reference=CVRL,
        task="contrastive pre-training",
        builder="vbench_models.architectures.cvrl:cvrl_r3d50",
        default_clip=Clip(frames=16, height=224, width=224),
        stride=2,
        lattice=(2, 32, 32),  # in frames and pixels: it has no token grid
        supports="any clip; the second clip of each video is of the same size",
        verified_against=(
            "tensorflow/models official/projects/video_ssl (tf-models-official 2.20 on TensorFlow 2.21, the backbone of cvrl_pretrain_k600_200ep.yaml): "
            "trainable parameters 44,535,744, of which the encoder 31,672,128; convolutions and dense layers of two clips 91,058,601,984 MACs; "
            "the same noise in every variable at 16x64x96 and 5x65x97: embeddings differ by 5e-7, the contrastive loss by 4e-7",
        ),
        note="published 31.7 M is the encoder without its projection; the code's three hidden layers and its output make four linear ones (12,863,616); "
        "the similarities of the clips, 512 MACs for one video, stand under attention, as products without parameters; one video alone has no negatives, and its loss is 0",
    ),
}
