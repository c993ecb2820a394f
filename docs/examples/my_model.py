"""A video model of one's own: `build(clip)` returns a module on `b c t h w`."""

from __future__ import annotations

from torch import Tensor, nn


class SmallVideoNet(nn.Module):
    """Tubelets of 2 x 16 x 16, a few encoder layers over all of them, the mean, a head."""

    def __init__(self, dim: int = 192, depth: int = 4) -> None:
        super().__init__()
        self.embed = nn.Conv3d(3, dim, (2, 16, 16), stride=(2, 16, 16))
        layer = nn.TransformerEncoderLayer(dim, nhead=3, dim_feedforward=4 * dim, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(dim, 400)

    def forward(self, video: Tensor) -> Tensor:
        return self.head(self.blocks(self.embed(video).flatten(2).transpose(1, 2)).mean(1))


def build(_clip: object) -> nn.Module:
    return SmallVideoNet()
