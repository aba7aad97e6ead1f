"""Where the output channels of a layer go, read from a torch.fx trace."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agc.lazy import torch

if TYPE_CHECKING:
    from torch.fx import Graph, Node
    from torch.nn import Module

    Modules = dict[str, Module]

ACTIVATIONS = {
    *("relu", "relu6", "leakyrelu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish"),
    *("tanh", "tanhshrink", "softsign", "identity", "contiguous"),
    *("dropout", "dropout1d", "dropout2d", "dropout3d"),
}
"""What acts on each number and keeps zero: modules, functions and methods, without underscores."""

POOLINGS = {
    *(f"{kind}pool{d}d" for kind in ("max", "avg") for d in (1, 2, 3)),
    *(f"adaptive{kind}pool{d}d" for kind in ("max", "avg") for d in (1, 2, 3)),
    # How torch names its functions that may return indices too: all of them are poolings.
    "booleandispatch",
}
"""What acts on each channel and keeps zero."""


def traced(model: Module) -> Graph:
    """The network's graph, with torch's layers and all batch norms as nodes.

    Raises:
        ValueError: torch.fx cannot trace it, for example because its path depends on the data.
    """
    from timm.models import get_notrace_modules

    leaves = (torch.nn.modules.batchnorm._BatchNorm, *get_notrace_modules())

    class Tracer(torch.fx.Tracer):
        within = ""

        def is_leaf_module(self, module: Module, name: str) -> bool:
            whole = isinstance(module, leaves) or _keeps_channels(module)
            return whole or super().is_leaf_module(module, name)

        def call_module(self, module: Module, forward: Any, args: Any, kwargs: Any) -> Any:
            outer, self.within = self.within, self.path_of_module(module)
            found = super().call_module(module, forward, args, kwargs)
            self.within = outer  # not if it raises: then it says where
            return found

    tracer = Tracer()
    try:
        return tracer.trace(model)
    except Exception as error:  # a forward pass may raise anything when it meets a proxy
        reason = str(error).partition("\n")[0]
        layer = f"{tracer.within!r} of " if tracer.within else ""
        raise ValueError(
            f"the channels of {layer}this network cannot be followed: {reason}"
        ) from error


def follow(
    node: Node, graph: Graph, modules: Modules
) -> tuple[tuple[str, ...], dict[str, int]] | None:
    """Batch norms that a layer's output passes, and the layers that read it, with their inputs a
    channel; None if the node is no such layer, or its channels meet anything else.

    Args:
        node: any node.
        graph: it belongs to.
        modules: of the network, by all their names.
    """
    if not is_layer(node, graph, modules):
        return None
    producer = modules[str(node.target)]
    size = len(producer.weight)
    dense = isinstance(producer, torch.nn.Linear)
    norms: list[str] = []
    readers: dict[str, int] = {}
    # Flat means that channels are the last dimension, as a linear layer wants them.
    todo = [(user, node, dense) for user in node.users]
    while todo:
        node, source, flat = todo.pop()
        if node.all_input_nodes != [source] or node.args[:1] != (source,):
            return None
        name, kind = str(node.target), kind_of(node, modules)
        if is_layer(node, graph, modules):
            inputs, rest = divmod(modules[name].weight.shape[1], size)
            reads_last = isinstance(modules[name], torch.nn.Linear)
            # A linear layer's output has no image that could be flattened.
            if rest or reads_last != flat or (inputs > 1 and (dense or not reads_last)):
                return None
            readers[name] = inputs
            continue
        if is_norm(node, graph, modules) and modules[name].num_features == size:
            norms.append(name)
        elif kind == "flatten" and flattens_all(node, modules):
            flat = True
        elif kind == "mean" and not flat and averages(node, producer.weight.ndim):
            flat = not node.kwargs.get("keepdim", False)
        elif kind not in ACTIVATIONS and (flat or kind not in POOLINGS):
            return None
        todo += [(user, node, flat) for user in node.users]
    return (tuple(norms), readers) if readers else None


def kind_of(node: Node, modules: Modules) -> str:
    """A name for what a module, function or method of torch does; empty for all others."""
    if node.op == "call_method":
        name, home = str(node.target), "torch"
    elif node.op == "call_module":
        kind = type(modules[str(node.target)])
        name, home = kind.__name__, kind.__module__
    elif node.op == "call_function":
        name = getattr(node.target, "__name__", "")
        home = getattr(node.target, "__module__", None) or "torch"
    else:
        return ""
    return name.lower().replace("_", "") if home.split(".")[0] == "torch" else ""


def _keeps_channels(module: Module) -> bool:
    """Whether each output of this layer comes of its own row of weights, as those of torch do."""
    return getattr(module, "keeps_channels", False) is True


def is_layer(node: Node, graph: Graph, modules: Modules) -> bool:
    """A convolution without groups or a linear layer, used once, with a weight of its own.

    Not of a subclass, unless it says that it keeps channels: some compute their weight from all of
    their parameter.
    """
    nn = torch.nn
    if not _is_used_once(node, graph):
        return False
    module = modules[str(node.target)]
    plain = type(module) in (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    if not plain and not _keeps_channels(module):
        return False
    own = [p for m in modules.values() for p in m.parameters(recurse=False) if p is module.weight]
    return len(own) == 1 and getattr(module, "groups", 1) == 1


def is_norm(node: Node, graph: Graph, modules: Modules) -> bool:
    """A batch norm, used once; timm's have an activation inside."""
    if not _is_used_once(node, graph):
        return False
    module = modules[str(node.target)]
    inside = {type(child).__name__.lower() for child in module.children()}
    return isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and inside <= ACTIVATIONS


def _is_used_once(node: Node, graph: Graph) -> bool:
    if node.op != "call_module":
        return False
    name = str(node.target)
    uses = [n for n in graph.nodes if n.target == name or str(n.target).startswith(f"{name}.")]
    return len(uses) == 1


def flattens_all(node: Node, modules: Modules) -> bool:
    """Whether all dimensions after the batch's become one."""
    if node.op == "call_module":
        module = modules[str(node.target)]
        return (module.start_dim, module.end_dim) == (1, -1)
    given = dict(zip(("start_dim", "end_dim"), node.args[1:], strict=False)) | node.kwargs
    return given.get("start_dim", 0) == 1 and given.get("end_dim", -1) == -1


def averages(node: Node, dimensions: int) -> bool:
    """Whether a mean goes over the whole image: all dimensions but batch and channels."""
    over = node.args[1] if len(node.args) > 1 else node.kwargs.get("dim")
    over = (over,) if isinstance(over, int) else over
    if not isinstance(over, tuple | list) or len(node.args) > 2:
        return False
    return {d % dimensions for d in over} == set(range(2, dimensions))
