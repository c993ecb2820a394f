"""Reference implementations of video architectures and attention patterns, to be read and to be measured.

`load(name)` turns a catalog key into a builder, `load_checkpoint(name, path)` into a network with published weights.
Importing this package imports no torch.
"""

from vbench_models.loading import card_of, load, load_checkpoint
from vbench_models.video import Clip, ModelError, TokenGrid, UnknownModelError, UnsupportedClipError

__all__ = [
    "Clip",
    "ModelError",
    "TokenGrid",
    "UnknownModelError",
    "UnsupportedClipError",
    "card_of",
    "load",
    "load_checkpoint",
]
