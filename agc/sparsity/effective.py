"""Whether the zeros of a mask are zeros where a network multiplies.

A mask zeroes a parameter. That is of no use where a layer multiplies with something that it
computes from the parameter and in which zeros do not survive, as under weight normalisation or
standardisation: the network would count as sparse and be dense. Such layers are refused by name,
before anything trains. Arithmetic that leaves zeros where they are, as a scale or a cast, is none
of this; it is tried out.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

from agc import rng
from agc.gradients.gradient import preserved_buffers
from agc.gradients.modes import evaluating
from agc.lazy import torch
from agc.sparsity.masks import weight_names

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

SHOWN = 4
"""So many weights are named, of those that have the same fault."""


class Reason(NamedTuple):
    """Why a weight cannot be pruned, and what would help."""

    what: str
    mend: str


COMPUTED = "which is computed from it"
TRANSFORMED = Reason(
    f"the network multiplies with something else, {COMPUTED}",
    "use a layer that multiplies with its weight",
)


def refuse_unseen(model: Module, parameters: Mapping[str, Tensor]) -> None:
    """Make sure that each layer multiplies with its weight, zeros included, as far as it tells
    without an input.

    Layers that compute their weight from other parameters are found by what they are; those of a
    class with a ``forward`` of its own are run by themselves, on a small input of ones. Random
    streams, modes, buffers and weights stay as they were. A warning says which cannot be run so.

    Args:
        model: the network.
        parameters: what is to be pruned, by name.

    Raises:
        ValueError: one does not. It names the layer, what it does, and what would work.
    """
    chosen = {id(parameter): name for name, parameter in parameters.items()}
    for refused in (_computed, _tried):
        reasons: dict[Reason, list[str]] = {}
        for prefix, module in model.named_modules():
            for name, reason in refused(prefix, module, chosen):
                reasons.setdefault(reason, []).append(name)
        _refuse(reasons)


def refuse_vanishing(
    model: Module, parameters: Mapping[str, Tensor], inputs: Any, run: Callable[[], Any]
) -> None:
    """Make sure, by a forward pass, that zeros of weights are zeros where the network multiplies.

    Args:
        model: see :func:`zeros_survive`, as for the others.
        parameters: the same.
        inputs: the same.
        run: the same.

    Raises:
        ValueError: some are not. It names the weights.
    """
    survive = zeros_survive(model, parameters, inputs, run)
    lost = [name for name, zeros in survive.items() if zeros is False]
    _refuse({TRANSFORMED: lost} if lost else {})


def zeros_survive(
    model: Module, parameters: Mapping[str, Tensor], inputs: Any, run: Callable[[], Any]
) -> dict[str, bool | None]:
    """Whether operations see zeros where weights have them; None if nothing multiplies with one.

    Args:
        model: in evaluation mode for the pass; its weights get random values with zeros, and their
            own ones back.
        parameters: weights by name.
        inputs: of the pass.
        run: makes the pass.
    """
    from agc.sparsity.operations import watching

    survive: dict[str, bool | None] = {}
    with rng.preserved(), preserved_buffers(model), evaluating(model), _marked(parameters):
        with watching(model, parameters, inputs, values=True) as operations:
            run()
        for name, weight in parameters.items():
            used, wrong = operations.used(name), operations.nonzero(name) & (weight == 0)
            survive[name] = None
            if used.any() or name in operations.mixed:
                survive[name] = bool(used.any() and not wrong.any())
    return survive


@contextmanager
def _marked(parameters: Mapping[str, Tensor]) -> Iterator[None]:
    """Random weights, half of them zero, for a while; then each is as before, to the bit."""
    generator = rng.generator(0, "effective weights")
    kept = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    try:
        with torch.no_grad():
            for parameter in parameters.values():
                values = torch.randn(parameter.shape, generator=generator)
                values *= torch.rand(parameter.shape, generator=generator) < 0.5
                parameter.copy_(values / math.sqrt(parameter[0].numel()))
        yield
    finally:
        with torch.no_grad():
            for name, values in kept.items():
                parameters[name].copy_(values)


def _computed(
    prefix: str, module: Module, chosen: Mapping[int, str]
) -> Iterator[tuple[str, Reason]]:
    """Weights that are no parameters of their layer, and parameters that only go into such ones."""
    dot = f"{prefix}." if prefix else ""
    names = {*chosen.values()}
    for key in weight_names(module):
        if key not in module._parameters and f"{dot}{key}" in names:
            yield f"{dot}{key}", _what_computes(module, key)
    for key, parameter in module._parameters.items():
        name = chosen.get(id(parameter))
        if name is None:
            continue
        if isinstance(module, torch.nn.utils.parametrize.ParametrizationList):
            kinds = ", ".join(type(kind).__name__ for kind in module)
            yield name, Reason(f"a weight is computed from it ({kinds})", "prune no such parameter")
        for ending in ("_g", "_v", "_orig"):
            weight = key.removesuffix(ending)
            if weight != key and weight not in module._parameters and hasattr(module, weight):
                yield name, Reason(f"{weight!r} is computed from it", "prune no such parameter")


def _what_computes(module: Module, key: str) -> Reason:
    utils = "torch.nn.utils"
    if torch.nn.utils.parametrize.is_parametrized(module, key):
        kinds = ", ".join(type(kind).__name__ for kind in module.parametrizations[key])
        return Reason(
            f"it is computed from other parameters ({kinds})",
            f"call {utils}.parametrize.remove_parametrizations(layer, {key!r}) before",
        )
    for hook in module._forward_pre_hooks.values():
        kind = type(hook).__name__
        if kind in ("WeightNorm", "SpectralNorm") and hook.name == key:
            remover = "remove_weight_norm" if kind == "WeightNorm" else "remove_spectral_norm"
            return Reason(
                f"it is computed from other parameters ({kind})",
                f"call {utils}.{remover}(layer, {key!r}) before",
            )
        if getattr(hook, "_tensor_name", None) == key:
            return Reason(
                f"{utils}.prune ({kind}) computes it from another parameter",
                f"call {utils}.prune.remove(layer, {key!r}) before",
            )
    return Reason("its layer computes it from something else", "make it a parameter")


def _tried(prefix: str, layer: Module, chosen: Mapping[int, str]) -> Iterator[tuple[str, Reason]]:
    """The weight of a layer that multiplies with something else, by running it alone."""
    name = chosen.get(id(getattr(layer, "weight", None)))
    if name is None or not _own_forward(layer):
        return
    weight, kind = layer.weight, type(layer).__name__
    if weight.is_meta:
        return  # it has no values
    inputs = torch.ones(_input_shape(layer), dtype=weight.dtype, device=weight.device)
    try:
        survive = zeros_survive(
            layer, {name: weight}, inputs, lambda: type(layer).forward(layer, inputs)
        )
        doubt = "nothing multiplies with it" if survive[name] is None else None
    except Exception as error:  # a user's code: what it needs may not be there
        survive, doubt = {}, next(iter(str(error).splitlines()), type(error).__name__)
    if doubt is not None:
        warnings.warn(
            f"cannot tell whether pruned weights of {name!r} ({kind}) are zero where it "
            f"multiplies, by running it on {tuple(inputs.shape)}: {doubt}; "
            f"keep_dense=[{name!r}] leaves it dense",
            stacklevel=2,
        )
    elif not survive[name]:
        yield name, TRANSFORMED._replace(what=f"{kind} multiplies with something else, {COMPUTED}")


def _own_forward(module: Module) -> bool:
    """Whether a convolution or linear layer computes its output in another way than torch's."""
    nn = torch.nn
    if not isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
        return False
    places = (nn.modules.linear.__name__, nn.modules.conv.__name__)
    known = next(kind for kind in type(module).__mro__ if kind.__module__ in places)
    keys = ("forward", "_conv_forward")
    return any(getattr(type(module), k, None) is not getattr(known, k, None) for k in keys)


def _input_shape(layer: Module) -> tuple[int, ...]:
    if isinstance(layer, torch.nn.Linear):
        return (2, layer.in_features)
    kernels = zip(layer.kernel_size, layer.dilation, layer.stride, strict=True)
    return (1, layer.in_channels, *(d * (k - 1) + 1 + s for k, d, s in kernels))


def _refuse(reasons: Mapping[Reason, list[str]]) -> None:
    for reason, names in reasons.items():
        listed = ", ".join(repr(name) for name in names[:SHOWN])
        more = f" and {len(names) - SHOWN} others" if len(names) > SHOWN else ""
        raise ValueError(
            f"cannot prune {listed}{more}: {reason.what}, so pruned weights would not be zero "
            f"where the network multiplies; {reason.mend}, or leave it dense with "
            f"keep_dense=[{listed}{', ...' if more else ''}] (* and ? stand for letters)"
        )
