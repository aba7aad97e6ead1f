"""Masks: which tensors may be pruned, exact random masks, and keeping what is pruned at zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from agc.lazy import torch

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer


def prunable_parameters(model: Module, keep_dense: Sequence[str] = ()) -> dict[str, Parameter]:
    """Weights of convolutions and linear layers, by name.

    Biases, normalisation and embeddings stay dense, as in SET, RigL and ITOP. A weight that two
    layers share appears once, under the name that ``named_parameters`` gives it.

    Args:
        model: any module.
        keep_dense: layers to leave out: names of modules with wildcards, ``first`` for the first
            one found and ``classifier`` for the last.

    Raises:
        ValueError: a name fits no layer, or none is left.
    """
    kinds = (torch.nn.Linear, torch.nn.modules.conv._ConvNd)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found: dict[str, Parameter] = {}
    for prefix, module in model.named_modules():
        if isinstance(module, kinds):
            name = names.get(id(module.weight), f"{prefix}.weight" if prefix else "weight")
            found.setdefault(name, module.weight)
    return _without(found, keep_dense) if keep_dense else found


def _without(found: dict[str, Parameter], patterns: Sequence[str]) -> dict[str, Parameter]:
    names = list(found)
    ends = {"first": names[:1], "classifier": names[-1:]}
    left_out: set[str] = set()
    for pattern in patterns:
        fits = ends.get(pattern) or [n for n in names if layer_fits(n, pattern)]
        if not fits:
            raise ValueError(f"keep_dense: no layer is called {pattern!r} (there are {names})")
        left_out.update(fits)
    if len(left_out) == len(names):
        raise ValueError("keep_dense leaves no layer to prune")
    return {name: p for name, p in found.items() if name not in left_out}


def layer_fits(name: str, pattern: str) -> bool:
    """Whether a weight belongs to the layers that ``pattern`` names, with wildcards."""
    return fnmatchcase(name, pattern) or fnmatchcase(name.removesuffix(".weight"), pattern)


def random_mask(shape: Iterable[int], active: int, generator: Generator) -> Tensor:
    """Boolean mask with exactly ``active`` ones at places drawn without replacement.

    Drawn on the generator's device; the caller moves it.
    """
    mask = torch.zeros(tuple(shape), dtype=torch.bool, device=generator.device)
    order = torch.randperm(mask.numel(), generator=generator, device=generator.device)
    mask.reshape(-1)[order[:active]] = True
    return mask


def top_mask(scores: Tensor, active: int) -> Tensor:
    """Boolean mask of the ``active`` largest scores; of equal ones, the first."""
    order = torch.argsort(scores.reshape(-1), descending=True, stable=True)
    mask = torch.zeros(scores.numel(), dtype=torch.bool, device=scores.device)
    mask[order[:active]] = True
    return mask.reshape(scores.shape)


def apply_masks(
    parameters: Mapping[str, Parameter],
    masks: Mapping[str, Tensor],
    optimizer: Optimizer | None = None,
) -> None:
    """Zero what is masked in the weights and in every optimizer tensor of their shape.

    In place: storages are never replaced, so views, compiled graphs and memory formats survive.
    """
    with torch.no_grad():
        for name, mask in masks.items():
            parameter = parameters[name]
            parameter.mul_(mask)
            if optimizer is None:
                continue
            for state in optimizer.state.get(parameter, {}).values():
                if torch.is_tensor(state) and state.shape == parameter.shape:
                    state.mul_(mask)
