"""SRigL: RigL with the same number of weights in each neuron."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.lazy import torch
from agc.methods.rigl import RigL
from agc.registry import METHODS
from agc.sparsity.distributions import InfeasibleSparsityError
from agc.sparsity.masks import prunable_parameters, top_mask, top_of_rows
from agc.sparsity.nan import of_layer
from agc.sparsity.neurons import neurons, row_shapes

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer


@METHODS.register(
    "srigl",
    family="structured",
    source="arXiv 2305.02299",
    needs="the dense gradient at updates",
)
class SRigL(RigL):
    """RigL with a constant fan-in: all neurons (filters) of a layer have the same number of active
    weights. Neurons with few salient weights are ablated, and the others share their weights.

    After the paper's section 3.1 and calgaryml/condensed-sparsity. An update ablates neurons, drops
    the smallest weights of a layer by raw magnitude, those of ablated neurons first, and each
    neuron that is left grows where its raw gradient is largest, up to the fan-in; it may take back
    what it has just dropped, which keeps value and momentum, as all of RigL's does. Grown weights
    start at zero with zero momentum, and the step of an update takes its optimizer step first. A
    weight is salient if a drop without ablation would keep it, or if its gradient is among as many
    of the layer's largest as are dropped.

    Departures. The source rounds the fan-in down, so a layer loses weights as neurons go, up to
    one for each neuron that is left; here the number stays: the neurons with the most salient
    weights get one more, until all are given. The fan-ins at the start are the whole numbers that
    bring the total nearest to the sparsity, and ``target`` says what that is. Where a neuron keeps
    more than its new fan-in, its largest weights stay (in the source, arbitrary ones). Initial
    weights are the network's own, not scaled by fan-in.

    Args:
        min_salient: a neuron with fewer salient weights than this fraction of the fan-in before
            any ablation, and than one, is ablated; an ablated neuron comes back with enough of
            them. The last layer is spared. 0.3 is the source's on ImageNet, 0.05 on CIFAR-10; 0
            ablates none.
    """

    exact = False

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        min_salient: Annotated[float, Field(ge=0, le=1)] = 0.3,
        **options: Any,
    ) -> None:
        super().__init__(model, optimizer, **options)
        self.min_salient = min_salient
        self.last = next(reversed(prunable_parameters(self.model)), None)

    @property
    def target(self) -> float:
        """Sparsity with a whole number of weights in each neuron."""
        total = sum(p.numel() for p in self.parameters.values())
        return 1 - sum(k * self.shapes[n][0] for n, k in self.fan_ins.items()) / total

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        """Random masks of constant fan-in, as near to ``counts`` as that allows."""
        self.layouts = neurons(self.model, self.parameters)
        self.shapes = row_shapes(self.layouts, self.parameters.items())
        self.fan_ins = constant_fan_ins(self.shapes, counts)
        generator = self.generator("mask")
        masks = {}
        for name, parameter in self.parameters.items():
            shape = self.shapes[name]
            scores = torch.rand(shape[0], math.prod(shape[1:]), generator=generator)
            mask = self.layouts[name].back(top_of_rows(scores, self.fan_ins[name]).reshape(shape))
            masks[name] = torch.empty_like(parameter, dtype=torch.bool).copy_(mask)
        return masks

    def replace(self, name: str, drop: int, grow: int | None = None) -> None:
        """Ablate neurons, drop the layer's smallest weights, and fill up the neurons left."""
        layout = self.layouts[name]
        mask = layout.rows(self.masks[name]).flatten(1)
        magnitude = layout.rows(self.drop_scores(name)).flatten(1)
        gradient = layout.rows(self.grow_scores(name)).flatten(1)
        gradient = gradient.clamp(max=torch.finfo(gradient.dtype).max)  # what is kept comes first
        active = self.active()[name]
        kept = mask & top_mask(torch.where(mask, magnitude, -1.0), active - drop)
        salient = (kept | top_mask(gradient, drop)).sum(dim=1)
        alive = self.alive(name, salient, active)
        # Numbers stay on the device, which nobody has to wait for.
        number = alive.sum()
        fan_in, more = active // number, active % number
        # Ablation comes first: what an ablated neuron had is among what is dropped.
        left = mask & alive.unsqueeze(1)
        kept = left & top_mask(torch.where(left, magnitude, -1.0), active - drop)
        counts = fan_in * alive + top_of_rows(torch.where(alive, salient, -1), more)
        counts = counts.unsqueeze(1)
        with of_layer(name):
            kept &= top_of_rows(torch.where(kept, magnitude, -1.0), counts)
            best = top_of_rows(torch.where(kept, torch.inf, gradient), counts)
        self.masks[name].copy_(layout.back(best.reshape(self.shapes[name])))
        self.note_active(name, active)
        self.explored[name] |= self.masks[name]

    def alive(self, name: str, salient: Tensor, active: int) -> Tensor:
        """Which neurons of a layer are left, [neurons], by their numbers of salient weights."""
        least = max(1, int(self.min_salient * self.fan_ins[name])) if self.min_salient else 0
        few = 0 if name == self.last else (salient < least).sum()
        room = math.prod(self.shapes[name][1:])
        left = torch.full_like(salient[0], len(salient)) - few
        return top_of_rows(salient, left.clamp(min=math.ceil(active / room)))


def constant_fan_ins(shapes: dict[str, tuple[int, ...]], counts: dict[str, int]) -> dict[str, int]:
    """Weights of each neuron by layer, whose sum over all neurons is nearest to that of ``counts``.

    Layers are rounded down, and up again in the order of what they lost, while that brings the
    total nearer.

    Raises:
        InfeasibleSparsityError: a layer has less than half a weight for each neuron.
    """
    fan_ins = {name: max(1, count // shapes[name][0]) for name, count in counts.items()}
    for name, count in counts.items():
        if 2 * count < shapes[name][0]:
            raise InfeasibleSparsityError(
                f"constant fan-in: this sparsity gives layer {name!r} {count} weights, and each of "
                f"its {shapes[name][0]} neurons needs one"
            )
    missing = sum(counts.values()) - sum(k * shapes[n][0] for n, k in fan_ins.items())
    for name in sorted(counts, key=lambda n: -(counts[n] / shapes[n][0] - fan_ins[n])):
        if shapes[name][0] < 2 * missing and fan_ins[name] < math.prod(shapes[name][1:]):
            fan_ins[name] += 1
            missing -= shapes[name][0]
    return fan_ins
