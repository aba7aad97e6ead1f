"""Passes of a network that are compiled by ``torch.compile``, as ``training.compiled`` asks for.

Losses and gradients of steps and of a correction's passes are, and attacks: nearly all of a
training's time. Everything else of a network goes on as it is: evaluation, statistics, costs. The
order of sums is the compiler's, so last bits differ from the usual ones; those of a repeated and of
a resumed run are the same, as each shape has kernels of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from agc import rng
from agc.errors import UserError
from agc.gradients.autocast import autocast
from agc.gradients.calls import PLACE
from agc.gradients.gradient import preserved_buffers
from agc.machine.memory import first_line, is_out_of_memory


class CompiledCalls:
    """Calls of a network that are compiled within :meth:`wanted`, and as usual elsewhere.

    A network that somebody has hooked since is called as usual too: the compiler would not notice
    the hook.

    Args:
        model: before anybody watches its calls.
    """

    def __init__(self, model: nn.Module) -> None:
        # What is kept of other networks counts towards the number of kernels that a call may have.
        torch.compiler.reset()
        options = {"deterministic": torch.are_deterministic_algorithms_enabled()}
        self.usual = model._call_impl
        self.compiled = torch.compile(self.usual, fullgraph=True, dynamic=False, options=options)
        self.modules = list(model.modules())
        self.hooks = self._hooks()
        self.on = self.off = False
        vars(model)[PLACE] = self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What ``Module.__call__`` calls.

        Raises:
            UserError: the network, or what the machine has, is not one to compile.
        """
        if self.off or not self.on or self._hooks() > self.hooks:
            return self.usual(*args, **kwargs)
        from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

        try:
            return self.compiled(*args, **kwargs)
        except (TorchDynamoException, FailOnRecompileLimitHit) as error:
            if is_out_of_memory(error):
                raise
            raise UserError(
                f"training.compiled: torch.compile gives up: {first_line(error)}"
            ) from error

    @contextmanager
    def wanted(self) -> Iterator[None]:
        """Have calls compiled within the block."""
        before, self.on = self.on, True
        try:
            yield
        finally:
            self.on = before

    @contextmanager
    def unwanted(self) -> Iterator[None]:
        """Have no call compiled within the block, whatever is wanted there: each of a few passes
        has something of its own, as scores and statistics of methods do.
        """
        before, self.off = self.off, True
        try:
            yield
        finally:
            self.off = before

    def try_out(self, model: nn.Module, images: Tensor, precision: str) -> None:
        """Compile a training pass and its gradient, before anything is trained; buffers and random
        streams stay as they are.

        Raises:
            UserError: it cannot be compiled.
        """
        weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
        with rng.preserved(), preserved_buffers(model):
            with autocast(images, precision), self.wanted():
                total = model(images).sum()
            torch.autograd.grad(total, weights, allow_unused=True)

    def _hooks(self) -> int:
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in self.modules)
