"""vbench: what video architectures cost, how that cost grows, and whether a published formula is true.

`from vbench import count, certify, measure, compare, fit`: see `vbench.api`, which is imported with the first of them.
"""

import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vbench.api import certify as certify
    from vbench.api import compare as compare
    from vbench.api import count as count
    from vbench.api import fit as fit
    from vbench.api import measure as measure

__version__ = "0.1.0"

_FROM_API = ("certify", "compare", "count", "fit")


class _Front(ModuleType):
    """The package: its attribute `measure` is the function; the room of that name is found by importing from it."""

    @property
    def measure(self) -> Any:
        """`vbench.api.measure`."""
        from vbench import api

        return api.measure

    @measure.setter
    def measure(self, room: ModuleType) -> None:
        """What the import system does when the room is imported; it finds it in `sys.modules` again."""


sys.modules[__name__].__class__ = _Front


def __getattr__(name: str) -> Any:
    if name not in _FROM_API:
        raise AttributeError(f"module 'vbench' has no attribute {name!r}")
    from vbench import api

    return getattr(api, name)
