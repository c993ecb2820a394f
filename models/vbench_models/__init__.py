"""Reference implementations of video architectures and attention patterns, to be read and to be measured.

`load(name)` turns a catalog key into a builder. Importing this package imports no torch.
"""

from vbench_models.loading import card_of, load
from vbench_models.video import Clip, ModelError, TokenGrid, UnknownModelError, UnsupportedClipError

__all__ = ["Clip", "ModelError", "TokenGrid", "UnknownModelError", "UnsupportedClipError", "card_of", "load"]
