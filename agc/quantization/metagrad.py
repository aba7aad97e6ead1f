"""MetaGrad (Xu et al., ICASSP 2023): a hypernetwork refines quantised gradients.

A re-implementation from the abstract: the paper's body could not be read, and there is no code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from agc import rng
from agc.cost.units import Cost
from agc.lazy import torch
from agc.quantization.shared.affine import nearest, symmetric_grid
from agc.quantization.shared.formats import Bits, Formats
from agc.quantization.shared.gateable import unseen_weights
from agc.quantization.shared.layerwise import Layerwise
from agc.registry import CORRECTIONS, OBJECTIVES, QUANTIZATIONS
from agc.sparsity.places import active_places

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Generator, Tensor
    from torch.nn import Module
    from torch.optim import Optimizer

    from agc.methods.shared.hooks import Method
    from agc.quantization.shared.hypernetwork import Form

PASSES = 4
"""Of the hypernetwork in a step, in forward passes: one, and another with its gradient."""


ORIGIN = "re-implementation from the abstract"


@QUANTIZATIONS.register("metagrad", source=f"arXiv 2303.02347, {ORIGIN}", remark=ORIGIN)
class MetaGrad(Layerwise):
    """Re-implementation from the abstract: rounds the weight gradients, and learns what to make of
    them from the loss of the next step.

    The step is w' = w - lr ĝ, where ĝ = H(Q(g), w; φ) of the corrected gradient g. The loss L at w'
    then has dL/dφ = -lr <dL/dw', ∂ĝ/∂φ>, by which Adam moves φ: the backward pass of the next step
    gives the first factor, so no graph goes through the network twice. With Nesterov's momentum μ
    the step moves by lr (1 + μ) ĝ. H acts on active coordinates alone, so its cost falls with the
    density.

    Args:
        model: its layers are converted in place.
        bits: of weight gradients, on a grid that is symmetric around 0.
        rounding: to the ``nearest`` point, at chance (``stochastic``), or towards 0 (``floor``).
        form: of H (:class:`~agc.quantization.shared.hypernetwork.Hypernetwork`), or ``none``.
        hidden: units of H.
        meta_lr: of Adam.
        forward: bits of activations and weights.
        errors: bits of errors.
        seed: of H's first weights and of rounding.
        options: of all policies of this kind (:class:`Layerwise`).
    """

    off: ClassVar[dict[str, Any] | None] = {"bits": 32, "form": "none"}
    by_worker = False
    state = ("hyper", "adam", "taken")

    def __init__(
        self,
        model: Module,
        *,
        bits: Bits = 4,
        rounding: Literal["nearest", "stochastic", "floor"] = "stochastic",
        form: Literal["multiply", "add", "gain", "none"] = "multiply",
        hidden: Annotated[int, Field(ge=1)] = 16,
        meta_lr: Annotated[float, Field(gt=0)] = 1e-3,
        forward: Bits = 32,
        errors: Bits = 32,
        keep_float: tuple[str, ...] = ("@last",),
        momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        seed: int = 0,
    ) -> None:
        shared = {"keep_float": keep_float, "momentum": momentum, "seed": seed}
        super().__init__(model, Formats(forward, forward, errors), weight_gradients=bits, **shared)
        self.rounding = rounding
        self.hidden = hidden
        self.optimizer: Optimizer | None = None
        self.hyper: Module | None = None
        self.adam: Optimizer | None = None
        if form != "none":
            self.hyper, self.adam = self._learner(form, meta_lr)
        self.taken: dict[str, Any] = {}
        """What the last step was made of: Q, its scale and the weights, all active coordinates of
        a layer after another, and by how much the step moves for a change of ĝ."""
        self.places: dict[str, Tensor] | None = None
        """The active coordinates of each layer; None if they have changed."""

    def _learner(self, form: Form, meta_lr: float) -> tuple[Module, Optimizer]:
        from agc.quantization.shared.hypernetwork import Hypernetwork

        device = next(self.model.parameters()).device
        with rng.isolated(rng.derive(self.seed, "quantization/hypernetwork")):
            hyper = Hypernetwork(form, self.hidden).to(device)
        return hyper, torch.optim.Adam(hyper.parameters(), lr=meta_lr)

    @property
    def rounds(self) -> bool:
        """If it rounds or refines."""
        return super().rounds or self.hyper is not None

    def attach(self, sparse: Method, optimizer: Optimizer) -> None:
        """Know masks, and the optimizer, whose learning rate dL/dφ has."""
        super().attach(sparse, optimizer)
        self.optimizer = optimizer

    def on_topology_update(self) -> None:
        """Other coordinates are active; what the last step was made of has lost its places."""
        self.places, self.taken = None, {}

    def observe(self, loss: Tensor) -> None:
        """Move φ along dL/dφ, of the raw gradient of this step and the ĝ of the last one."""
        super().observe(loss)
        if self.hyper is None or not self.taken:
            return
        gradients = dict(zip(self.hyper.parameters(), self.meta_gradients(), strict=True))
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
        self.adam.step()

    def meta_gradients(self) -> list[Tensor]:
        """dL/dφ at the present weights, in the order of H's parameters."""
        taken = self.taken
        with torch.enable_grad():
            refined = self.hyper(taken["gradient"], taken["scale"], taken["weight"])
            slope = self.gathered({n: layer.weight.grad for n, layer in self.layers.items()})
            outer = -taken["rate"] * slope
            return list(torch.autograd.grad(refined, list(self.hyper.parameters()), outer))

    def round(self) -> None:
        """Round the gradients of the quantised weights, and refine them."""
        super().round()
        if self.hyper is None:
            return
        with torch.no_grad():
            gradients = {n: layer.weight.grad for n, layer in self.layers.items()}
            values = self.gathered(gradients)
            scale = self.scales(gradients)
            weights = {n: layer.weight for n, layer in self.layers.items()}
            weight = self.gathered(weights) / self.scales(weights)
            self.taken = {"gradient": values, "scale": scale, "weight": weight}
            self.taken["rate"] = self.step_of_one()
            refined = self.hyper(values, scale, weight)
            start = 0
            for name, places in self.active_places().items():
                part = refined[start : start + len(places)]
                gradient = gradients[name]
                # A gradient in channels_last is not flattened in place.
                flat = gradient.reshape(-1).index_copy(0, places, part)
                gradient.copy_(flat.view(gradient.shape))
                start += len(places)

    def step_of_one(self) -> float:
        """By how much the optimizer moves a weight for a change of 1 in its gradient."""
        group = self.optimizer.param_groups[0]
        return group["lr"] * (1 + group["momentum"] * group["nesterov"])

    def rounded(self, name: str, gradient: Tensor, draws: Generator) -> Tensor:
        """A gradient on its grid."""
        if self.rounding == "stochastic":
            return super().rounded(name, gradient, draws)
        active = self.active(name, gradient)
        grid = symmetric_grid(active.abs().amax(), self.weight_gradients)
        if self.rounding == "floor":
            active = (active / grid.step).trunc() * grid.step
        return nearest(active, grid)

    def active_places(self) -> dict[str, Tensor]:
        """By name of a layer, its active coordinates in the flattened weight."""
        if self.places is None:
            masks = {} if self.sparse is None else self.sparse.masks
            weights = {name: layer.weight for name, layer in self.layers.items()}
            self.places = active_places(weights, masks)
        return self.places

    def gathered(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The active coordinates of all layers, [A]."""
        parts = [tensors[n].reshape(-1)[places] for n, places in self.active_places().items()]
        return torch.cat(parts)

    def scales(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """The root mean square of each coordinate's layer over its active ones, [A]."""
        found = []
        for name, places in self.active_places().items():
            part = tensors[name].reshape(-1)[places]
            rms = part.square().mean().sqrt().clamp(min=torch.finfo(part.dtype).tiny)
            found.append(rms.expand(len(places)))
        return torch.cat(found)

    def step_flops(self, active: Mapping[str, int]) -> float:
        """Of H, at each active coordinate."""
        if self.hyper is None or self.hyper.form == "gain":
            return 0.0
        count = sum(active.get(n, layer.weight.numel()) for n, layer in self.layers.items())
        return float(PASSES * 2 * (2 * self.hidden + self.hidden) * count)

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """What moves the weights otherwise than by SGD from the gradient that was rounded."""
        training, correction = cell.training, cell.correction.name
        if training.optimizer.name != "sgd":
            return (
                "what it learns is that of a step of SGD, so training.optimizer must be 'sgd', got "
                f"{training.optimizer.name!r}"
            )
        if training.clip_norm is not None:
            return "training.clip_norm would change the refined gradient, and must be null"
        if training.devices > 1:
            return f"it trains on one device, got training.devices: {training.devices}"
        if reason := unseen_weights(cell.method.name):
            return reason
        if not CORRECTIONS[correction].target.searchable:
            return (
                f"the gradient that correction {correction!r} leaves is not that of the batch's "
                "loss at the present weights and a constant, and the next loss is learnt from"
            )
        if OBJECTIVES[cell.objective.name].target.state_names():
            return f"objective {cell.objective.name!r} changes with each gradient"
        return None

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """No pass; Q, its scale and the weights of the last step."""
        return Cost(tensors=0 if options["form"] == "none" else 3)
