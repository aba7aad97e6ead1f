"""What a quantization is: how many bits the numbers have that a training multiplies.

It gives the layers of a network their formats in place, when it is made, and changes them as the
training goes. :class:`~agc.training.step.Step` calls, in this order: ``begin_epoch`` before the
correction's, so that a full gradient has the precision of the epoch's steps; ``observe`` after
``backward``; ``round`` after the correction. Wherever a loss is asked for, ``loss`` gives it.

Everything is simulated: numbers are rounded, and multiplied in float32 (fake quantisation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from agc.cost.products import FLOAT_PRODUCTS, Products
from agc.cost.units import Cost
from agc.quantization.shared.formats import Formats
from agc.state import Stateful

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.methods.shared.hooks import Method


class Quantization(Stateful):
    """Leaves all numbers in float32; base of those that do not.

    Args:
        model: any network, not wrapped.
    """

    made_with: ClassVar[dict[str, str] | None] = {}

    off: ClassVar[dict[str, Any] | None] = {}
    """Options with which it changes nothing; None if there are none. The tests see to it that such
    a run has the bits of a plain one."""

    changes_precision: ClassVar[bool] = False
    """Whether the bits are others in some epochs than in others."""

    by_worker: bool = True
    """Whether the workers that share a batch may each compute their own share with it: it neither
    learns from the gradient of a step nor draws for it, and chooses no bits image by image."""

    simulated_passes: ClassVar[int] = 1
    """Forward passes through its layers that the simulation makes for one of the hardware's."""

    def __init__(self, model: Module) -> None:
        self.model = model
        self.formats = Formats()
        self.layers: dict[str, Module] = {}
        """The layers that are quantised, by name of their weight."""
        self.sparse: Method | None = None
        self.before_change: Callable[[], None] = lambda: None
        """Called before the bits change: whoever counts settles what they were."""

    @property
    def rounds(self) -> bool:
        """Whether :meth:`round` may change a gradient."""
        return False

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """Why this quantization makes no sense in ``cell``, or None; asked before anything runs."""
        return None

    def attach(self, sparse: Method, optimizer: Optimizer) -> None:
        """Know the sparse method, and so its masks, and the optimizer; called once."""
        self.sparse = sparse

    def begin_epoch(self) -> None:
        """Before an epoch, and before the correction's full gradient: bits change here alone."""

    def loss(self, loss: Callable[[Module, Any], Tensor], model: Module, batch: Any) -> Tensor:
        """The loss that is minimised, of the objective's ``loss(model, batch)``."""
        return loss(model, batch)

    def observe(self, loss: Tensor) -> None:
        """Look at the loss of a step and at the raw gradients, for the first gradient alone."""

    def round(self) -> None:
        """Round the corrected gradients of weights, in place."""

    def on_topology_update(self) -> None:
        """The sparse method has changed its masks."""

    def products(self) -> Mapping[str, Products]:
        """By name of a quantised weight, what its products cost in the mean since the last call of
        :meth:`settled`; the others' are :data:`FLOAT_PRODUCTS`.
        """
        return dict.fromkeys(self.layers, FLOAT_PRODUCTS)

    def settled(self) -> None:
        """What the products have cost until now has been counted."""

    def step_flops(self, active: Mapping[str, int]) -> float:
        """FLOPs of float32 that it adds to a step, with so many active weights by name."""
        return 0.0

    def diagnostics(self) -> dict[str, float]:
        """Numbers for the epoch's log, by name."""
        return {}

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """Declared cost beyond the products that it makes cheaper; the tests count and compare."""
        return Cost()
