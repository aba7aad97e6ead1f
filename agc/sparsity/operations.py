"""What a forward pass multiplies with: the operands of each operation, traced to the parameters.

The name of a layer says little: a weight may be used by another module, in slices, twice, after a
cast or not at all, and what is multiplied may be computed from it. So the operations themselves
are watched, below autograd, where every one of them passes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._ops import HigherOrderOperator
from torch.nn import Module, RNNBase
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from agc.sparsity.origins import Origins, tensors

aten = torch.ops.aten

WITH_A_SUMMAND = {aten.addmm, aten.baddbmm, aten.addmv}
"""Products whose first operand is added, not multiplied."""

UNCOUNTED = {aten.mv, aten.addmv}
"""Products for which torch has no formula."""


class Operations(TorchDispatchMode):
    """FLOPs of operations by the parameters that they multiply with, and which entries they see.

    A parameter is recognised in its views, casts and copies, and also behind arithmetic that
    keeps each entry in its place, such as a scale.

    Args:
        parameters: tensors to follow, by name.
        inputs: of the network. What depends on them is no parameter.
        values: whether to follow single entries, and to look whether they are zero.

    Attributes:
        flops: by name, by torch's formulas; a multiply-add is two. Of an operation with several
            parameters, each has its share by size.
        total: those of all operations, also where no parameter is an operand.
        mixed: names that met an operation after their entries had been mixed, as by a sum.
    """

    supports_higher_order_operators = True

    def __init__(self, parameters: Mapping[str, Tensor], inputs: Any, values: bool = False) -> None:
        super().__init__()
        self.parameters = dict(parameters)
        self.origins = Origins(parameters, inputs, values)
        self.values = values
        self.flops = dict.fromkeys(parameters, 0.0)
        self.total = 0
        self.mixed: set[str] = set()
        if values and self.parameters:
            device = next(iter(self.parameters.values())).device
            self._used = torch.zeros(self.origins.size, dtype=torch.bool, device=device)
            self._nonzero = torch.zeros_like(self._used)

    def used(self, name: str) -> Tensor:
        """Entries of a parameter that an operation has multiplied with: boolean, of its shape."""
        return self._part(self._used, name)

    def nonzero(self, name: str) -> Tensor:
        """Those of them that were not zero there, at least once."""
        return self._part(self._nonzero, name)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Do the operation, or the ones that it consists of, and look at operands and results."""
        kwargs = kwargs or {}
        if func is torch.ops.higher_order.cond:
            chosen, yes, no, operands = args
            with self:
                return (yes if chosen else no)(*operands)
        packet = getattr(func, "_overloadpacket", func)
        formula = flop_registry.get(packet)
        if isinstance(func, HigherOrderOperator):
            if formula is None:
                return NotImplemented
        elif formula is None and func is not torch.ops.prim.device.default:
            with self:
                parts = func.decompose(*args, **kwargs)
                if parts is not NotImplemented:
                    return parts
        out = func(*args, **kwargs)
        product = formula is not None or packet in UNCOUNTED
        if product:
            spent = 0 if formula is None else formula(*args, **kwargs, out_val=out)
            self.total += spent
            first = packet in WITH_A_SUMMAND
            self._multiplied(spent, tensors(args[first:3]))
        self.origins.follow(packet, args, kwargs, out, product)
        return out

    def _multiplied(self, flops: int, operands: list[Tensor]) -> None:
        sizes: dict[str, int] = {}
        for operand in operands:
            names, entrywise = self.origins.of(operand)
            if not entrywise:
                self.mixed |= names
                continue
            sizes |= {name: self.parameters[name].numel() for name in names}
            if self.values:
                ids = self.origins.ids(operand).reshape(-1)
                known = ids >= 0
                self._used[ids[known]] = True
                self._nonzero[ids[known & (operand.reshape(-1) != 0)]] = True
        for name, size in sizes.items():
            self.flops[name] += flops if len(sizes) == 1 else flops * size / sum(sizes.values())

    def _part(self, flags: Tensor, name: str) -> Tensor:
        parameter, start = self.parameters[name], self.origins.starts[name]
        return flags[start : start + parameter.numel()].reshape(parameter.shape)


@contextmanager
def watching(
    model: Module, parameters: Mapping[str, Tensor], inputs: Any, values: bool = False
) -> Iterator[Operations]:
    """Watch all operations within the block, without gradients.

    Kernels that do a whole layer at once, such as torch's fast path for attention and those for
    recurrent layers, are switched off meanwhile: the same is computed operation by operation.

    Args:
        model: which is going to run.
        parameters: see :class:`Operations`, as for the others.
        inputs: the same.
        values: the same.
    """
    with ExitStack() as stack:
        fast = torch.backends.mha.get_fastpath_enabled()
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast)
        torch.backends.mha.set_fastpath_enabled(False)
        if any(isinstance(module, RNNBase) for module in model.modules()):
            for backend in (torch.backends.mkldnn, torch.backends.cudnn):
                stack.callback(setattr, backend, "enabled", backend.enabled)
                backend.enabled = False
        stack.enter_context(torch.no_grad())
        yield stack.enter_context(Operations(parameters, inputs, values))
