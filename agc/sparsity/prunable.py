"""Which weights may be pruned, where a study wants other than the rule by module type.

The rule is that of SET, RigL and ITOP: weights of convolutions and linear layers, first layer and
classifier included; biases, normalisation and embeddings stay dense. The projections of torch's
attention are linear layers that are packed into one, and weights of recurrent layers are pruned
as in RigL's GRU and Selfish-RNN (arXiv 2101.09048). Some papers keep the first layer or the
classifier dense; patterns on the names of the weights say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from agc.errors import UserError, unknown
from agc.sparsity.masks import layer_fits, prunable_parameters

if TYPE_CHECKING:
    from torch.nn import Module, Parameter

FIRST, LAST = "@first", "@last"
"""Stand for the first and the last weight that the rule finds, in the order of the modules."""


def choose_prunable(
    model: Module, keep_dense: Sequence[str] = (), also_prune: Sequence[str] = ()
) -> dict[str, Parameter]:
    """Weights that may be pruned, by name, in the order of ``model.named_parameters``.

    Args:
        model: any network.
        keep_dense: patterns of names (as in file names: ``*``, ``?``, ``[...]``) that the rule
            finds and that stay dense; ``@first`` and ``@last`` are the first layer and the
            classifier.
        also_prune: patterns of names of further parameters of two dimensions or more, such as
            an embedding.

    Raises:
        UserError: a pattern that no name matches, which would be a silent mistake, or nothing is
            left.
    """
    found = prunable_parameters(model)
    if not keep_dense and not also_prune:
        return found
    ordered = list(found)
    ends = {FIRST: ordered[:1], LAST: ordered[-1:]}
    dense = {name for p in keep_dense for name in ends.get(p) or _matching(p, found, "prunable")}
    others = {
        name: parameter
        for name, parameter in model.named_parameters()
        if name not in found and parameter.ndim >= 2
    }
    added = {name for p in also_prune for name in _matching(p, others, "other")}
    chosen = (found.keys() - dense) | added
    if not chosen:
        raise UserError("keep_dense leaves no layer to prune")
    everything = {**dict(model.named_parameters()), **found}
    return {name: p for name, p in everything.items() if name in chosen}


def _matching(pattern: str, parameters: Mapping[str, Parameter], kind: str) -> list[str]:
    names = [name for name in parameters if layer_fits(name, pattern)]
    if not names:
        raise unknown(f"{kind} weight", pattern, parameters)
    return names
