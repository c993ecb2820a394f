"""Other people's video models, each brought to vbench by a few lines: `third_party.py:timesformer` and so on.

`build(clip)` returns a module on video `b c t h w`; what a library wants otherwise is said here.
"""

from __future__ import annotations

from torch import Tensor, nn

from vbench_models import Clip


class FramesFirst(nn.Module):
    """A model of transformers on `b t c h w`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, video: Tensor) -> Tensor:
        return self.model(video.transpose(1, 2)).logits


class FrameByFrame(nn.Module):
    """An image model on every frame, its logits averaged."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, video: Tensor) -> Tensor:
        logits = self.model(video.transpose(1, 2).flatten(0, 1))
        return logits.unflatten(0, (video.shape[0], -1)).mean(1)


def timesformer(clip: Clip) -> nn.Module:
    from transformers import TimesformerConfig, TimesformerForVideoClassification

    config = TimesformerConfig(num_frames=clip.frames, image_size=clip.height, num_labels=400)
    return FramesFirst(TimesformerForVideoClassification(config))


def videomae(clip: Clip) -> nn.Module:
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    config = VideoMAEConfig(num_frames=clip.frames, image_size=clip.height, num_labels=400)
    return FramesFirst(VideoMAEForVideoClassification(config))


def s3d(_clip: Clip) -> nn.Module:
    from torchvision.models.video import s3d

    return s3d(num_classes=400)


def r2plus1d_18(_clip: Clip) -> nn.Module:
    from torchvision.models.video import r2plus1d_18

    return r2plus1d_18(num_classes=400)


def x3d_m(clip: Clip) -> nn.Module:
    from pytorchvideo.models.x3d import create_x3d

    return create_x3d(input_clip_length=clip.frames, input_crop_size=clip.height, depth_factor=2.2)


def csn_r101(_clip: Clip) -> nn.Module:
    from pytorchvideo.models.csn import create_csn

    return create_csn(model_depth=101, model_num_class=400)


def timm_vit(clip: Clip) -> nn.Module:
    from timm import create_model

    return FrameByFrame(create_model("vit_base_patch16_224", img_size=clip.height, num_classes=400))
