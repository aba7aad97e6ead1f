"""Masks: which tensors may be pruned, exact random masks, and keeping what is pruned at zero."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any

from agc.gradients.lists import clones, copy_to, unique_places
from agc.lazy import torch
from agc.sparsity.nan import refuse_nan

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer


def prunable_parameters(model: Module) -> dict[str, Parameter]:
    """Weights of linear maps, by name: of convolutions, linear layers, attention's projections
    (``MultiheadAttention``) and recurrent layers.

    Biases, normalisation and embeddings stay dense, as in SET, RigL and ITOP. A weight that two
    layers share appears once, under the name that ``named_parameters`` gives it. What a layer
    computes anew from other parameters is here too, though masks are of no use to it:
    :mod:`agc.sparsity.effective` refuses it.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found: dict[str, Parameter] = {}
    for prefix, module in model.named_modules():
        for key in weight_names(module):
            weight = getattr(module, key)
            found.setdefault(names.get(id(weight), f"{prefix}.{key}" if prefix else key), weight)
    return found


def weight_names(module: Module) -> list[str]:
    """Names of the weights that a module itself multiplies its input with, none for most."""
    nn = torch.nn
    if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
        return ["weight"]
    if isinstance(module, nn.MultiheadAttention):
        packed = ["in_proj_weight"]
        return packed if module._qkv_same_embed_dim else [f"{k}_proj_weight" for k in "qkv"]
    if isinstance(module, nn.RNNBase):
        return [name for name in module._flat_weights_names if name.startswith("weight")]
    if isinstance(module, nn.RNNCellBase):
        return ["weight_ih", "weight_hh"]
    return []


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
    with unique_places():
        mask[order[:active]] = True
    return mask.reshape(scores.shape)


def top_of_rows(scores: Tensor, count: int | Tensor) -> Tensor:
    """Boolean mask of the ``count`` largest scores along the last dimension; of equal ones, the
    first.

    Args:
        scores: [..., n].
        count: of all rows, or one for each, [..., 1].

    Raises:
        FloatingPointError: a score is NaN.
    """
    refuse_nan(scores)
    order = torch.argsort(scores, dim=-1, descending=True, stable=True)
    return torch.argsort(order, dim=-1) < count


def apply_masks(
    parameters: Mapping[str, Parameter],
    masks: Mapping[str, Tensor],
    optimizer: Optimizer | None = None,
    *,
    thorough: bool = False,
) -> None:
    """Zero what is masked in the weights and in every optimizer tensor of their shape.

    In place: storages are never replaced, so views, compiled graphs and memory formats survive.

    Args:
        parameters: by name.
        masks: boolean, or factors.
        optimizer: of the parameters.
        thorough: zero what is infinite or NaN too, which a product leaves NaN. Twice the work, so
            it is for the start and for updates; float16, which overflows, always has it.
    """
    pairs: list[tuple[Tensor, Tensor]] = []
    for name, mask in masks.items():
        parameter = parameters[name]
        pairs.append((parameter, mask))
        if optimizer is not None:
            state = optimizer.state.get(parameter, {}).values()
            alike = (t for t in state if torch.is_tensor(t) and t.shape == parameter.shape)
            pairs += [(tensor, mask) for tensor in alike]
    if not pairs:
        return
    with torch.no_grad():
        torch._foreach_mul_([tensor for tensor, _ in pairs], [_factor(m, t) for t, m in pairs])
        for tensor, mask in pairs:
            if thorough or tensor.dtype == torch.float16:
                tensor.masked_fill_((mask == 0) & tensor.isnan(), 0.0)


def masked(tensors: list[Tensor], masks: list[Tensor]) -> list[Tensor]:
    """Each tensor times its mask."""
    if not tensors:
        return []
    factors = [_factor(mask, tensor) for mask, tensor in zip(masks, tensors, strict=True)]
    return list(torch._foreach_mul(tensors, factors))


def _factor(mask: Tensor, tensor: Tensor) -> Tensor:
    """A mask as what multiplies ``tensor``.

    An accelerator multiplies a list in one kernel if types and memory formats are the same. There
    a copy of each mask is kept that is like its tensor, until the mask changes.
    """
    if tensor.device.type == "cpu" or mask.dtype != torch.bool or mask.is_inference():
        return mask
    kind = (tensor.dtype, tensor.stride())
    version, found = _factors().get(mask, (-1, {}))
    if version != mask._version:
        _factors()[mask] = mask._version, (found := {})
    if kind not in found:
        found[kind] = torch.empty_like(tensor, requires_grad=False).copy_(mask)
    return found[kind]


@cache
def _factors() -> MutableMapping[Tensor, tuple[int, dict[Any, Tensor]]]:
    """Copies of masks, kept beside them: what hangs on a tensor goes into checkpoints with it."""
    from torch.utils.weak import WeakTensorKeyDictionary

    return WeakTensorKeyDictionary()


@contextmanager
def multiplied(
    parameters: Mapping[str, Parameter], factors: Mapping[str, Tensor]
) -> Iterator[None]:
    """Weights times masks, or other factors, for a while; then each is as before, to the bit."""
    tensors = [parameters[name] for name in factors]
    kept = clones(tensors)
    try:
        apply_masks(parameters, factors)
        yield
    finally:
        copy_to(tensors, kept)
