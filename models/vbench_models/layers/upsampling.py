"""The way back from coarse features to a map of the image's size: enlarge, join what an encoder kept, convolve.

Ronneberger et al., "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015, sec. 2,
https://arxiv.org/abs/1505.04597. Differs from it: bilinear enlargement to exactly the size of what is joined, so that
any image size goes through; zero padding; batch norm.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class DoubleConv(nn.Sequential):
    """Two 3 x 3 convolutions, each with a norm and a ReLU."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )


class UpStep(nn.Module):
    """Coarse features enlarged to the size of finer ones, both side by side, then convolved."""

    def __init__(self, coarse_channels: int, fine_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = DoubleConv(coarse_channels + fine_channels, out_channels)

    def forward(
        self, coarse: Float[Tensor, "b c h w"], fine: Float[Tensor, "b fine_c fine_h fine_w"]
    ) -> Float[Tensor, "b out_c fine_h fine_w"]:
        """Features of the finer size."""
        out: Tensor = self.conv(torch.cat((enlarged(coarse, (fine.shape[2], fine.shape[3])), fine), dim=1))
        return out


class Decoder(nn.Module):
    """One step for each finer level, from the coarsest; then a map of `out_channels` at the finest level's size."""

    def __init__(self, coarse_channels: int, fine_channels: tuple[int, ...], out_channels: int = 1) -> None:
        super().__init__()
        widths = (coarse_channels, *fine_channels)
        self.steps = nn.ModuleList(
            UpStep(coarse, fine, fine) for coarse, fine in zip(widths[:-1], fine_channels, strict=True)
        )
        self.head = nn.Conv2d(widths[-1], out_channels, 1)

    def forward(
        self, coarse: Float[Tensor, "b c h w"], fine: tuple[Float[Tensor, "b _c _h _w"], ...]
    ) -> Float[Tensor, "b out_c fine_h fine_w"]:
        """The map; `fine` has the levels in the order of the steps, the finest last."""
        x = coarse
        for step, level in zip(self.steps, fine, strict=True):
            x = step(x, level)
        out: Tensor = self.head(x)
        return out


def enlarged(x: Float[Tensor, "b c h w"], size: tuple[int, int]) -> Float[Tensor, "b c h2 w2"]:
    """`x` at another (height, width), bilinear."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
