"""What an optimizer is here: one of torch's, whose class exists before torch is imported.

Its arguments ``lr``, ``momentum``, ``nesterov`` and ``weight_decay`` come from the recipe, as far
as it has them, and ``seed`` from the cell; every other keyword-only argument is an option of its
own. Tensors in ``self.state`` that have a weight's shape are masked with the weight
(:mod:`agc.sparsity.masks`).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from agc.cost.units import Cost
from agc.errors import UserError
from agc.lazy import torch
from agc.registry import OPTIMIZERS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer as _Optimizer
else:
    _Optimizer = object


class TorchOptimizer(_Optimizer):
    """Base of the entries: write one as you would a ``torch.optim.Optimizer``.

    Planning reads every entry and must not wait for torch, so torch's class joins when the first
    instance is made: it comes after the entry in the order of bases, where ``super()`` finds it.
    """

    parent: ClassVar[str] = "Optimizer"
    """The class of ``torch.optim`` behind it."""

    probes: ClassVar[bool] = False
    """Whether ``step(closure, probe)`` may ask ``probe()``, too: the loss of the step's batch at
    the weights of the moment, whose slope is the gradient that ``closure()`` leaves."""

    keeps_buffers: bool = True
    """Whether a probe is to leave running statistics as they were."""

    def __new__(cls, *args: Any, **kwargs: Any) -> TorchOptimizer:
        """An instance of the entry that is torch's optimizer too."""
        return object.__new__(_joined(cls))

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies and pickles name the entry's class, as the joined one is in no module."""
        return _blank, (type(self).__bases__[0],), self.__getstate__()

    def begin_epoch(self) -> None:
        """Be told that an epoch begins."""

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """Why this optimizer makes no sense in ``cell``, or None; asked before anything runs."""
        return None

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """Declared cost beyond the gradient and torch's SGD with momentum."""
        return Cost()


def _blank(entry: type[TorchOptimizer]) -> TorchOptimizer:
    """An instance without its state, for copies and pickles."""
    return entry.__new__(entry)


@cache
def _joined(entry: type[TorchOptimizer]) -> type[TorchOptimizer]:
    parent = getattr(torch.optim, entry.parent)
    if issubclass(entry, parent):
        return entry
    return type(entry.__name__, (entry, parent), {"__doc__": entry.__doc__})


def make_optimizer(
    name: str, parameters: Iterable[Tensor], options: dict[str, Any], **shared: Any
) -> torch.optim.Optimizer:
    """The optimizer of a name over ``parameters``.

    Args:
        name: ours or timm's.
        parameters: what it trains.
        options: its own.
        shared: ``lr``, ``momentum``, ``nesterov``, ``weight_decay`` and ``seed``, of which it gets
            those that it takes.

    Raises:
        UserError: no such optimizer, or it refuses the settings.
    """
    try:
        return OPTIMIZERS.create(name, parameters, options=options, **shared)
    except (AssertionError, ValueError, TypeError, RuntimeError, ImportError) as error:
        raise UserError(f"optimizer {name!r}: {error}") from error


def optimizer_cost(name: str, options: dict[str, Any]) -> Cost:
    """Declared cost of an optimizer; timm's declare none."""
    target = OPTIMIZERS[name].target
    known = OPTIMIZERS.resolve(name, options)
    return target.cost(**known) if hasattr(target, "cost") else Cost()
