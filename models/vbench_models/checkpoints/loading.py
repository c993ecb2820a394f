"""From a catalog key and a file to a network with the file's weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from vbench_models.checkpoints import mvit, timesformer, video_swin, videomae, vivit
from vbench_models.checkpoints.files import read_tensors
from vbench_models.checkpoints.layout import Layout, Part
from vbench_models.loading import card_of, load
from vbench_models.video import Clip, ModelError

LAYOUTS: dict[str, tuple[Layout, ...]] = {
    **timesformer.LAYOUTS,
    **vivit.LAYOUTS,
    **video_swin.LAYOUTS,
    **mvit.LAYOUTS,
    **videomae.LAYOUTS,
}
SHOWN = 3  # names in a message; the rest is counted


def load_checkpoint(name: str, path: str | Path, clip: Clip | None = None) -> nn.Module:
    """The network `name` for `clip`, else for its card's clip, in evaluation mode, with the weights in `path`.

    Raises:
        UnknownModelError: no such name.
        UnsupportedClipError: the network does not take the clip.
        ModelError: no publisher's names are known for it, or the file cannot be read or is not its checkpoint.
    """
    card = card_of(name)
    if name not in LAYOUTS:
        raise ModelError(f"no public checkpoint is known for {name!r}; known: {', '.join(LAYOUTS)}")
    tensors = read_tensors(Path(path))
    network: nn.Module = load(name)(clip or card.default_clip)
    wanted = network.state_dict()
    best = min((fit(wanted, tensors, layout) for layout in LAYOUTS[name]), key=lambda found: found.faults)
    if best.faults:
        raise ModelError(f"{Path(path).name} is no checkpoint of {name}: {best}")
    network.load_state_dict(best.tensors)
    return network.eval()


@dataclass(kw_only=True)
class Fit:
    """How a file meets a network under one layout: our tensors, and whatever does not fit."""

    layout: Layout
    tensors: dict[str, Tensor] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    misshapen: list[str] = field(default_factory=list)
    unplaced: list[str] = field(default_factory=list)

    @property
    def faults(self) -> int:
        """Names, theirs or ours, that keep the file from being loaded."""
        return len(self.missing) + len(self.misshapen) + len(self.unplaced)

    def __str__(self) -> str:
        kinds = {
            "of its keys do not fit": self.unplaced,
            "keys are missing": self.missing,
            "tensors have another shape": self.misshapen,
        }
        faults = "; ".join(f"{len(names)} {kind} ({_shown(names)})" for kind, names in kinds.items() if names)
        return f"by the names of {self.layout.publisher}, {faults}"


def fit(wanted: Mapping[str, Tensor], tensors: Mapping[str, Tensor], layout: Layout) -> Fit:
    """Each of our tensors out of theirs, and what is left over on either side."""
    found = Fit(layout=layout)
    used = {name for name in tensors if layout.is_structure(name)}
    for ours, target in wanted.items():
        parts = layout.sources(ours)
        used.update(part.name for part in parts)
        absent = [part.name for part in parts if part.name not in tensors]
        if parts and not absent:
            _place(found, ours, target.shape, [_cut(tensors[part.name], part) for part in parts])
        else:
            found.missing += absent or [ours]
    found.missing = list(dict.fromkeys(found.missing))  # one that we cut into parts is missing once
    found.unplaced = [name for name in tensors if name not in used]
    return found


def _cut(tensor: Tensor, part: Part) -> Tensor:
    return tensor.chunk(part.of)[part.which]


def _place(found: Fit, ours: str, wanted: torch.Size, parts: Sequence[Tensor]) -> None:
    """Stacked, and with axes of length 1 added or dropped: a 2D kernel is a 3D one over a single frame."""
    value = torch.cat(tuple(parts)) if len(parts) > 1 else parts[0]
    if _without_ones(value.shape) == _without_ones(wanted):
        found.tensors[ours] = value.reshape(wanted)
    else:
        found.misshapen.append(f"{ours}: {_by(value.shape)}, wanted {_by(wanted)}")


def _without_ones(shape: torch.Size) -> list[int]:
    return [size for size in shape if size != 1]


def _by(shape: torch.Size) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
