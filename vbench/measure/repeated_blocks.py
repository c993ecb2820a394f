"""The repeated blocks of a network, found without knowing the network.

A deep network is a list of blocks of one class: `nn.ModuleList` or `nn.Sequential`, in one piece or one a stage. Of all
classes of which such lists are made, the most frequent one is the block: in Video Swin the twelve blocks, not the four
stages that hold them. Lists of single layers (a convolution, an activation) are no blocks.
"""

from __future__ import annotations

from collections import defaultdict

from torch import nn

LISTS = (nn.ModuleList, nn.Sequential)


def repeated_blocks(network: nn.Module) -> list[nn.Module]:
    """The blocks in the order in which the network holds them; none where no class is repeated."""
    found: dict[type[nn.Module], list[nn.Module]] = defaultdict(list)
    for holder in network.modules():
        if isinstance(holder, LISTS):
            members = list(holder.children())
            if members and _are_blocks(members):
                found[type(members[0])] += members
    blocks = list(dict.fromkeys(max(found.values(), key=len) if found else ()))
    return blocks if len(blocks) > 1 else []


def _are_blocks(members: list[nn.Module]) -> bool:
    """Whether all are of one class, and that is neither a single layer nor itself a list."""
    first = members[0]
    is_layer = next(first.children(), None) is None
    return not is_layer and not isinstance(first, LISTS) and all(type(each) is type(first) for each in members)
