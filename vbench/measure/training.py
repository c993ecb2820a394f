"""One step of training, as short as it can be: forward, loss, backward, clipped gradients, AdamW.

Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, https://arxiv.org/abs/1711.05101. Classifiers
learn by cross-entropy with smoothed labels; a network that returns a loss of its own by that; any other, such as a
layer, by the sum of squares of what it returns, which has a gradient everywhere. In two halves, so that what each needs
can be told apart. With accumulation a step is that many forwards and backwards on batches of the cell's size, and one
update; of several ranks each keeps its gradients to itself until the last of these backwards. In fp16 gradients are
scaled, since most would be too small for the type (Micikevicius et al., "Mixed Precision Training", ICLR 2018,
sec. 3.2, https://arxiv.org/abs/1710.03740).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._pytree import tree_leaves

from vbench.errors import AxisError
from vbench.measure.mixing import Mixing, mixed, own_share, soft_targets

LEARNING_RATE, WEIGHT_DECAY = 1e-4, 0.05
LABEL_SMOOTHING = 0.1
LARGEST_GRADIENT_NORM = 1.0


class TrainingStep:
    """The step of one network in training mode on one input, to be called again and again.

    `network` is called with `inputs`; `precision` is the context of the forward and the loss, autocast or none.
    """

    def __init__(
        self,
        network: Callable[..., Any],
        parameters: Iterable[Tensor],
        inputs: tuple[Any, ...],
        precision: AbstractContextManager[object] | None = None,
        *,
        accumulation: int = 1,
        scales_gradients: bool = False,
        mixing: Mixing | None = None,
    ) -> None:
        self._network, self._inputs = network, inputs
        self._precision = precision or nullcontext()
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._optimizer = adamw(self._parameters)
        self._accumulation, self._mixing = accumulation, mixing
        self._keeping: Callable[[], AbstractContextManager[None]] = nullcontext
        if isinstance(network, DistributedDataParallel):
            self._keeping = network.no_sync
        device = self._parameters[0].device.type
        self._scaler = torch.amp.GradScaler(device, enabled=scales_gradients)

    def __call__(self) -> None:
        """Do the whole step; the gradients are gone after it, the optimiser's state is not."""
        self.find_gradients()
        self.update()

    def forward(self) -> object:
        """What the network returns in training, without loss and backward."""
        with self._precision:
            return self._network(*self._fed())

    def find_gradients(self) -> None:
        """Forward, loss and backward, as often as gradients are accumulated; the gradients are clipped."""
        for left in reversed(range(self._accumulation)):
            with self._keeping() if left else nullcontext():
                self._scaler.scale(self._loss() / self._accumulation).backward()
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self._parameters, LARGEST_GRADIENT_NORM)

    def _loss(self) -> Tensor:
        with self._precision:
            output = self._network(*self._fed())
            return loss_of(output, own_share(self._inputs[0], self._mixing) if self._mixing else 1.0)

    def _fed(self) -> tuple[Any, ...]:
        """The inputs, their video mixed where clips are mixed."""
        return (mixed(self._inputs[0], self._mixing), *self._inputs[1:]) if self._mixing else self._inputs

    def update(self) -> None:
        """Move the parameters and let go of the gradients."""
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad(set_to_none=True)

    def state(self) -> Iterator[Tensor]:
        """What the optimiser remembers between two steps; nothing before the first."""
        return (leaf for leaf in tree_leaves(list(self._optimizer.state.values())) if isinstance(leaf, Tensor))


def check_trainable(parameters: Iterable[Tensor]) -> None:
    """Refuse a network without parameters that learn.

    Raises:
        AxisError: there is none.
    """
    if not any(parameter.requires_grad for parameter in parameters):
        raise AxisError("mode 'train' needs parameters, and this network has none; it takes infer")


def adamw(parameters: list[Tensor]) -> torch.optim.AdamW:
    """AdamW as torch runs it by default: all parameters at once on CUDA, one after another elsewhere.

    Torch's own default looks at the tensors' type, too, and would choose otherwise for fake ones.
    """
    at_once = all(parameter.device.type == "cuda" for parameter in parameters)
    return torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, foreach=at_once)


def loss_of(output: Any, share: float = 1.0) -> Tensor:
    """A scalar to go down from: the output's own loss, cross-entropy of `b classes` logits, or a sum of squares.

    Where clips are mixed, `share` of each is its own, and its target is mixed as it is.
    """
    own = getattr(output, "loss", None)
    if isinstance(own, Tensor):
        return own
    logits = getattr(output, "logits", output)
    if isinstance(logits, Tensor) and logits.ndim == 2:
        first_class = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        targets = first_class if share == 1 else soft_targets(logits, share)
        return F.cross_entropy(logits, targets, label_smoothing=LABEL_SMOOTHING)
    return torch.stack([leaf.float().square().sum() for leaf in differentiable(output)]).sum()


def differentiable(output: object) -> Iterable[Tensor]:
    """The tensors of an output that a loss can be made of."""
    return [leaf for leaf in tree_leaves(output) if isinstance(leaf, Tensor) and leaf.requires_grad]
