"""VR-PGE: channel masks learnt by variance-reduced policy gradient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from agc.gradients.gradient import loss_and_gradient
from agc.lazy import torch
from agc.methods.shared.hidden import HiddenWeights
from agc.registry import LATER, METHODS
from agc.sparsity.bernoulli import Preconditioner, policy_gradient, project
from agc.sparsity.channels import removable_channels
from agc.sparsity.distributions import InfeasibleSparsityError
from agc.sparsity.masks import multiplied
from agc.sparsity.schedules import cosine
from agc.state import unlike

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction

FINETUNE = 0.1


@METHODS.register(
    "vr-pge",
    family="structured",
    source="arXiv 2111.05685",
    needs="a second forward and backward pass at each step",
)
class VRPGE(HiddenWeights):
    """Learns which channels to keep by policy gradient: forward and backward passes are sparse.

    Each channel has a probability. A step draws two masks of all channels; the weights take the
    mean gradient of both, and the probabilities an Adam step along a policy gradient that needs
    their two losses alone, then the nearest point whose sum is within the budget of channels. The
    last steps fine-tune the best subnet. After x-zho14/VRPGE-Sparse-Training.

    Only channels that can leave the network without a trace are learnt: those that meet nothing
    but batch norms, activations and pooling before the next layers, hence none that is added to
    another. With a channel go its bias, and its batch norm's weight and bias. Weights of dropped
    channels live on: they get no gradient, but momentum and weight decay, and come back as they
    are. Between steps the model is the best subnet: the most probable channels, at least one of
    each layer, as many as the sparsity allows; of the next one the largest weights by magnitude,
    so that the number of active weights is exact at every step. Gradients are raw; the optimizer
    steps first, then the probabilities. Both samples count for the running statistics.

    Departures. The budget, a number of channels, follows from the sparsity, a fraction of weights:
    it would be met with the same share of each layer's channels, and all probabilities start at
    that share. In the end the most probable subnet is taken, where the source draws one or the
    best of ten. The policy gradient is clipped by itself, not together with that of the weights.

    Args:
        total_steps: optimizer steps of the whole training.
        score_lr: Adam's learning rate for the probabilities, which falls along a cosine.
        preconditioner: of the policy gradient: ``sqrt`` is the official code's, ``none`` is exact.
        clip: largest norm of the policy gradient.
        finetune: fraction of the training, at its end, in which the subnet is fixed.

    Raises:
        InfeasibleSparsityError: one channel in each layer leaves more weights than that.
        ValueError: the network cannot be traced, or has no such channels.
    """

    keeps_counts = False
    repeatable = False  # each gradient that it is asked for is one of two samples

    state = ("vectors", "adam", "probabilities")

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        sparsity: float,
        total_steps: int,
        score_lr: Annotated[float, Field(gt=0)] = 0.012,
        preconditioner: Preconditioner = "sqrt",
        clip: Annotated[float, Field(gt=0)] = 3.0,
        finetune: Annotated[float, Field(ge=0, lt=1)] = FINETUNE,
        keep_dense: Annotated[tuple[str, ...], LATER] = (),
        seed: int = 0,
    ) -> None:
        self.vectors: dict[str, Tensor] = {}
        """Masks of biases and batch norms, at rest."""
        options: dict[str, Any] = {"distribution": "global", "keep_dense": keep_dense}
        super().__init__(model, optimizer, sparsity=sparsity, seed=seed, **options)
        self.learn_steps = int((1 - finetune) * total_steps)
        self.score_lr = score_lr
        self.preconditioner = preconditioner
        self.clip = clip
        self.adam = torch.optim.Adam([self.probabilities])
        self.drawn: list[dict[str, Tensor]] = []
        """Masks of both samples of this step."""
        self.losses: Tensor | None = None
        """Of both samples of this step, [2]."""

    def unfit(self, name: str, saved: Any) -> Iterator[str]:
        """The channels are as many."""
        if name == "vectors":
            yield from unlike(name, saved, {key: self.channels[key] for key in self.vectors})
        elif name == "probabilities":
            yield from unlike("state", {name: saved}, {name: self.probabilities})
        else:
            yield from super().unfit(name, saved)

    @classmethod
    def step_units(cls, *, finetune: float = FINETUNE, **options: Any) -> float:
        """The second sample's forward and backward pass, while channels are learnt."""
        return 3.0 * (1 - finetune)

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        """The same share of each layer's channels, at random."""
        from agc.sparsity.channel_budget import ChannelBudget

        trained = {n for n, p in self.model.named_parameters() if p.requires_grad}
        channels = {
            name: group
            for name, group in removable_channels(self.model).items()
            if {*group.weights(), *group.vectors(self.model)} <= trained
            and self.parameters.keys() >= {*group.weights()}
        }
        frozen = [name for name, p in self.parameters.items() if not p.requires_grad]
        hint = f"; frozen layers keep theirs: {', '.join(frozen)}" if frozen else ""
        if not channels:
            raise ValueError(
                f"this network has no channels that can be removed without a trace{hint}"
            )
        active = sum(counts.values())
        generator = self.generator("ranks")
        try:
            self.budget = ChannelBudget(self.model, channels, self.parameters, active, generator)
        except InfeasibleSparsityError as error:
            raise InfeasibleSparsityError(f"{error}{hint}") from error
        size, self.share = len(self.budget.layer), self.budget.share()
        self.probabilities = torch.full((size,), self.share, dtype=torch.float64)
        everything = dict(self.model.named_parameters())
        masks = self.budget.best(self.probabilities, everything)
        self.channels = {name: everything[name] for name in masks}
        self.vectors = {name: m for name, m in masks.items() if name not in self.parameters}
        return {
            name: masks.get(name, torch.ones_like(p, dtype=torch.bool))
            for name, p in self.parameters.items()
        }

    def touched(self) -> tuple[dict[str, Parameter], dict[str, Tensor]]:
        """All that channels consist of."""
        masks = self.masks | self.vectors
        return self.channels, {name: masks[name] for name in self.channels}

    def update_due(self, step: int) -> bool:
        """Every step that learns may change the best subnet."""
        return step <= self.learn_steps

    def learns(self) -> bool:
        """While one of these layers is frozen, nothing is learnt and the subnet stays."""
        trains = all(p.requires_grad for p in self.channels.values())
        return trains and self.update_due(self.steps + 1)

    @contextmanager
    def shown(self, batch: Any, loss_fn: LossFunction) -> Iterator[None]:
        """Draw two masks, take loss and gradient of the second, and show the model the first."""
        if not self.whole:
            with super().shown(batch, loss_fn):
                yield
            return
        draws = torch.rand(2, len(self.probabilities), generator=self.generator("samples"))
        self.samples = draws < self.probabilities
        self.drawn = [self.budget.masks(sample) for sample in self.samples]
        if torch.is_grad_enabled():
            self.losses = None
            with self._sample(1):
                trained = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
                loss, gradient = loss_and_gradient(self.model, trained, batch, loss_fn)
            self.second = self.replicas.mean({"": loss, **gradient})
        with self._sample(0):
            yield

    @contextmanager
    def _sample(self, number: int) -> Iterator[None]:
        with multiplied(self.channels, self.drawn[number]):
            yield

    def observe(self, loss: Tensor | None = None) -> None:
        """Leave the mean gradient of both samples; a dropped channel has none.

        Raises:
            ValueError: the loss is not given.
        """
        if not self.whole:
            return
        if loss is None:
            raise ValueError("vr-pge learns from the loss of each step: call observe(loss)")
        self.losses = torch.stack([self.replicas.mean({"": loss})[""], self.second.pop("")])
        first, second = self.drawn
        for name, parameter in self.model.named_parameters():
            if name not in self.second:
                continue
            other = self.second[name] * second.get(name, 1)
            if parameter.grad is None:
                parameter.grad = other / 2
            else:
                parameter.grad.mul_(first.get(name, 1)).add_(other).div_(2)

    def choose(self) -> bool:
        """Learn the probabilities, unless the optimizer left the step out, and take the best
        subnet.
        """
        if self.left_out():
            return False
        for drawn in self.drawn:
            for name in drawn.keys() & self.explored.keys():
                self.explored[name] |= drawn[name]
        if self.losses is not None:
            with torch.no_grad():
                self._learn(self.losses)
            for name, mask in [pair for masks in self.drawn for pair in masks.items()]:
                if name in self.explored:
                    self.explored[name] |= mask
        return super().choose()

    def advance(self) -> bool:
        """Learn the probabilities, and hide what is not of the best subnet."""
        changed = super().advance()
        if self.steps == self.learn_steps:
            self.rest()  # from here on the optimizer's state is masked too
        return changed

    def forward_masks(self) -> dict[str, Tensor]:
        """The best subnet."""
        return self.budget.best(self.probabilities, self.channels)

    def _learn(self, losses: Tensor) -> None:
        gradient = policy_gradient(
            self.probabilities, self.samples, losses.cpu().double(), self.preconditioner
        )
        norm = gradient.norm().item()
        self.probabilities.grad = gradient * (self.clip / norm if norm > self.clip else 1.0)
        budget = self.share * len(self.probabilities)
        progress = (self.steps - 1) / self.learn_steps
        self.adam.param_groups[0]["lr"] = cosine(self.score_lr, progress)
        self.adam.step()
        self.probabilities.copy_(project(self.probabilities, budget))
