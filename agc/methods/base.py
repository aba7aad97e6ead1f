"""What a sparse-training method is: the owner of the masks.

:class:`~agc.training.step.Step` enters and calls, in this order: ``begin`` once before the first
step; in each step ``updating`` around everything, ``shown`` around forward and backward pass, and
``observe``; ``end`` once after the last step. :mod:`agc.methods.shared.hooks` says what each is
for. Most entries override one or two, and ``advance``, with which ``updating`` ends.

- A method that ranks the weights once, before training: :mod:`agc.methods.shared.ranked`.
- One that replaces weights while it trains: :mod:`agc.methods.shared.drop_and_grow`.
- One that trains weights which the forward pass does not see: :mod:`agc.methods.shared.hidden`.

An option is a keyword-only argument of ``__init__``; ``**options`` passes those of the base on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, NamedTuple

from agc import rng
from agc.gradients.held import HeldParameters
from agc.gradients.lists import stacked
from agc.gradients.sparse_layout import refuse_sparse_gradients, refuse_sparse_layers
from agc.gradients.uninitialized import refuse_uninitialized
from agc.lazy import torch
from agc.methods.shared.hooks import Update
from agc.methods.shared.put_off import PutOff
from agc.processes.replicas import Replicas
from agc.registry import LATER
from agc.sparsity.distributions import active_counts
from agc.sparsity.effective import refuse_unseen
from agc.sparsity.masks import apply_masks, random_mask
from agc.sparsity.prunable import choose_prunable
from agc.sparsity.unmasked import Unmasked
from agc.sparsity.unprunable import nothing_to_prune
from agc.state import Stateful, unlike

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from torch.nn import Module, Parameter
    from torch.optim import Optimizer

    from agc.gradients.gradient import LossFunction

Distribution = Literal["erk", "er", "uniform", "global"] | dict[str, float]
"""How the sparsity is spread over layers; a map gives some layers their own sparsity."""


class Counted(NamedTuple):
    """How many ones a mask had, and how often it had been written to then; None if that is not
    known.
    """

    mask: Tensor
    version: int | None
    active: int


class SparseMethod(PutOff, Stateful):
    """Exact random masks, kept on the weights and on the optimizer's state.

    Args:
        model: weights of its linear maps are masked, at once: of convolutions, linear layers,
            attention and recurrent layers. It may be wrapped in DistributedDataParallel.
        optimizer: its per-weight tensors (momentum) are masked with the weights.
        sparsity: fraction of zeros among the prunable weights, in [0, 1).
        distribution: ``erk``, ``er``, ``uniform``, ``global`` (one ranking of all weights), or a
            map of layer names, with wildcards, to sparsities; layers it does not name share what
            is left by ERK.
        keep_dense: layers that are not pruned and do not count: names with wildcards, ``@first``
            and ``@last`` (the classifier).
        also_prune: other parameters that are pruned too, such as embeddings.
        seed: every random choice of the method derives from it.

    Raises:
        InfeasibleSparsityError: a layer would keep no weight.
        UserError: the network has nothing to prune, or a lazy layer has no weights yet.
        ValueError: an option is not allowed, or a layer multiplies with something else than its
            weight.
    """

    state = ("steps", "dense_gradients", "masks", "explored")
    made_with: ClassVar[dict[str, str] | None] = {
        "sparsity": "sparsity_wanted",
        "distribution": "distribution",
    }

    sparse: ClassVar[bool] = True
    """Whether cells of this method have a sparsity; ``dense`` has none."""

    exact: ClassVar[bool] = True
    """Whether the number of active weights is the target to the weight. A structure (channels,
    groups) may miss it; then ``target`` says what it can reach."""

    hides_weights: ClassVar[bool] = False
    """Whether pruned weights live on, unseen by the forward pass, with their optimizer state."""

    several_rounds: ClassVar[bool] = False
    """Whether it trains the network several times, from its first weights on."""

    adds_noise: ClassVar[bool] = False
    """Whether weights move by noise after each step, in proportion to the learning rate."""

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | None = None,
        *,
        sparsity: float,
        distribution: Distribution = "erk",
        keep_dense: Annotated[tuple[str, ...], LATER] = (),
        also_prune: Annotated[tuple[str, ...], LATER] = (),
        seed: int = 0,
    ) -> None:
        super().__init__(optimizer)
        self.replicas = Replicas(model)
        self.model = self.replicas.module
        self.sparsity_wanted = sparsity
        self.distribution = distribution
        self.seed = seed
        self.dense_gradients = 0
        """Number of steps whose gradient was needed at pruned weights too (a cost)."""
        refuse_uninitialized(self.model, type(self).__name__)
        self.parameters = choose_prunable(self.model, keep_dense, also_prune)
        if self.sparse and not self.parameters:
            raise nothing_to_prune(self.model)
        refuse_sparse_layers(self.model, self.parameters.values(), type(self).__name__)
        if self.sparse and sparsity:
            refuse_unseen(self.model, self.parameters)
        shapes = {name: tuple(p.shape) for name, p in self.parameters.items()}
        counts = active_counts(shapes, sparsity, distribution)
        self._counted: dict[str, Counted] = {}
        self.masks = self.initial_masks(counts)
        self.explored = {name: mask.clone() for name, mask in self.masks.items()}
        held = {**self.parameters, **self.touched()[0]}
        self.held = HeldParameters(self.model, held.values(), type(self).__name__)
        self.unmasked: Unmasked | None = Unmasked(*self.touched(), self.optimizer)
        """What the first masks zeroed; None from the first step on."""
        apply_masks(*self.touched(), self.optimizer, thorough=True)
        self.unmasked.masked()

    def named_tensors(self) -> dict[str, Tensor]:
        """The model's parameters and buffers."""
        return {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}

    def unfit(self, name: str, saved: Any) -> Iterator[str]:
        """What is kept for each layer is of these layers and of their shapes."""
        present, (parameters, masks) = getattr(self, name), self.touched()
        for tensors in (self.parameters, {key: parameters[key] for key in masks}):
            if isinstance(present, dict) and present and present.keys() == tensors.keys():
                yield from unlike(name, saved, tensors)
                return
        yield from super().unfit(name, saved)

    @property
    def target(self) -> float:
        """Sparsity that the finished network has."""
        return self.sparsity_wanted

    @property
    def rounds(self) -> int:
        """How often the learning-rate schedule runs from its start to its end."""
        return 1

    @classmethod
    def refuse(cls, cell: Any, **options: Any) -> str | None:
        """Why this method makes no sense in ``cell``, or None; asked before anything runs."""
        return None

    @classmethod
    def step_units(cls, **options: Any) -> float:
        """Units a batch that a step costs beyond the plain one (forward 1, backward 2)."""
        return 0.0

    def initial_masks(self, counts: dict[str, int]) -> dict[str, Tensor]:
        """Boolean masks with ``counts[name]`` ones each; random unless a method knows better."""
        generator = self.generator("mask")
        return {
            # In the memory format of the weight, so that their product reads both in order.
            name: torch.empty_like(p, dtype=torch.bool, requires_grad=False).copy_(
                random_mask(p.shape, counts[name], generator)
            )
            for name, p in self.parameters.items()
        }

    def touched(self) -> tuple[dict[str, Parameter], dict[str, Tensor]]:
        """The prunable weights; a method may mask other parameters too."""
        return self.parameters, self.masks

    def set_masks(self, masks: dict[str, Tensor]) -> None:
        """Take over new masks, in place, on weights and optimizer state too.

        Before the first step, weights come back that the first masks have zeroed and these keep.
        """
        if self.unmasked is not None:
            self.unmasked.put_back()
        for name, mask in masks.items():
            self.masks[name].copy_(mask)
            self.explored[name] |= self.masks[name]
        apply_masks(self.parameters, self.masks, self.optimizer, thorough=True)
        if self.unmasked is not None:
            self.unmasked.masked()

    @contextmanager
    def shown(self, batch: Any, loss_fn: LossFunction) -> Iterator[None]:
        """Have the model sparse; see :meth:`agc.methods.shared.hooks.Method.shown`.

        Raises:
            UserError: the gradient of a prunable weight has torch's sparse layout.
        """
        with super().shown(batch, loss_fn):
            yield
            gradients = {n: p.grad for n, p in self.parameters.items() if p.grad is not None}
            refuse_sparse_gradients(gradients, type(self).__name__)

    @contextmanager
    def updating(self) -> Iterator[Update]:
        """Let the optimizer change the weights, then mask them and update the topology when due.

        From the first step on, what the first masks zeroed is gone.

        Raises:
            RuntimeError: the model has other parameters now than those that are masked.
        """
        self.held.check()
        self.unmasked = None
        with super().updating() as update:
            yield update

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` gave, as a copy, and mask the weights by it.

        Before the first step it does not matter whether model and optimizer have been loaded
        before the method was made, and so masked at random, or since.

        Raises:
            KeyError: an attribute is missing.
            RuntimeError: the model has other parameters now than those that are masked.
            ValueError: the state is that of another method, sparsity or network.
        """
        self.held.check()
        self.check_state(state)
        back = [] if self.unmasked is None else self.unmasked.put_back()
        super().load_state_dict(state)
        parameters, masks = self.touched()
        apply_masks(parameters, masks)
        with torch.no_grad():
            for one in back:
                if one.slot is not None:
                    one.tensor.mul_(masks[one.name])
        if self.unmasked is not None:
            self.unmasked.masked()

    def generator(self, purpose: str, device: torch.device | str = "cpu") -> Generator:
        """Generator for one purpose at the present step.

        What is drawn once, as the first masks, is drawn on the CPU and the same on every device.
        What is drawn for each weight again and again is drawn where the weights are.
        """
        return rng.generator(self.seed, f"method/{purpose}", step=self.steps, device=str(device))

    def active(self) -> dict[str, int]:
        """Number of active weights by layer.

        Counted where a mask has changed and nobody has said to how many weights: then it waits for
        the device, once.
        """
        stale = [name for name, mask in self.masks.items() if not self._is_counted(name, mask)]
        if stale:
            counts = stacked(self.masks[name].sum() for name in stale).tolist()
            for name, count in zip(stale, counts, strict=True):
                self.note_active(name, count)
        return {name: self._counted[name].active for name in self.masks}

    def note_active(self, name: str, active: int) -> None:
        """Know how many weights of a layer are active, until its mask changes."""
        mask = self.masks[name]
        self._counted[name] = Counted(mask, None if mask.is_inference() else mask._version, active)

    def _is_counted(self, name: str, mask: Tensor) -> bool:
        found = self._counted.get(name)
        if found is None or found.mask is not mask or found.version is None:
            return False
        return found.version == mask._version

    def gradient_active(self) -> dict[str, int]:
        """Number of weights by layer whose gradient every step needs (a cost)."""
        return self.active()

    def sparsity(self) -> float:
        """Fraction of zeros among the prunable weights, counted: those of ``parameters``, which are
        not all of the network's, and which operations multiply with as they are; 0 if there are
        none, as may be where nothing is pruned.
        """
        total = sum(mask.numel() for mask in self.masks.values())
        return 1.0 - sum(self.active().values()) / total if total else 0.0

    def exploration_rate(self) -> float:
        """Fraction of the prunable weights that have ever been active (R_s of ITOP,
        arXiv 2102.02887); 1 if there are none.
        """
        total = sum(mask.numel() for mask in self.explored.values())
        if not total:
            return 1.0
        explored = stacked(mask.sum() for mask in self.explored.values()).sum().item()
        return explored / total
