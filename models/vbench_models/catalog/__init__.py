"""Every system by its key. Cards are data; `vbench_models.load` finds the code that a card names.

One file a group of families; a dict here, which can be read aloud, sets their order.
"""

from vbench_models.card import Card
from vbench_models.catalog import (
    convolutional,
    hybrids,
    multiview,
    pyramids,
    segmentation,
    self_supervised,
    small,
    state_space,
    streaming,
    tracking,
    vision_transformers,
)
from vbench_models.catalog.backbone import BACKBONES
from vbench_models.catalog.modules import MODULES
from vbench_models.catalog.patterns import PATTERNS

ARCHITECTURES: dict[str, Card] = {
    **convolutional.CARDS,
    **vision_transformers.CARDS,
    **multiview.CARDS,
    **pyramids.CARDS,
    **streaming.CARDS,
    **state_space.CARDS,
    **hybrids.CARDS,
    **tracking.CARDS,
    **segmentation.CARDS,
    **self_supervised.CARDS,
    **small.CARDS,
}

__all__ = ["ARCHITECTURES", "BACKBONES", "MODULES", "PATTERNS"]
