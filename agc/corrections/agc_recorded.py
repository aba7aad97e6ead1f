"""Gradient correction (AGC) at the cost of a plain step: the older gradients are recorded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from agc.corrections.base import Correction
from agc.cost.units import Cost
from agc.errors import UserError
from agc.gradients.lists import add_to, copy_to, scale, subtract, sums, unique_places
from agc.gradients.loss_scale import LossScale
from agc.lazy import torch
from agc.registry import CORRECTIONS
from agc.sparsity.places import active_places

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from agc.gradients.gradient import LossFunction

LARGEST = 65504.0
"""Largest number of half precision."""


@CORRECTIONS.register("agc-recorded", source="after arXiv 2301.03573 and SAGA, arXiv 1407.0202")
class RecordedAGC(Correction):
    """g + γ c (u - r): r is the gradient that this very batch had at its last visit, u the mean of
    all recorded gradients, updated as in SAGA, and c regressed by tensor from what is at hand.

    No second network, no extra pass: 3 units a batch. It needs batches of fixed composition, and
    memory for one gradient a batch, which sparsity makes affordable: only active weights are kept,
    in half precision. A weight that is grown starts with a record of zero. A batch says which one
    it is by its attribute ``index``, from 0 on; on several processes it is the global batch's.

    Args:
        gamma: scale of the coefficient.
        memory: of the estimate of c: weight of the past at each step.
        limit: gigabytes that the records may take.
    """

    off: ClassVar[dict[str, Any] | None] = {"gamma": 0.0}
    sparse_gradients = False
    state = ("places", "records", "mean", "seen", "products", "squares")

    fixed_batches = True
    spans_epochs = True

    def __init__(
        self,
        model: Module,
        *,
        gamma: Annotated[float, Field(ge=0)] = 1.0,
        memory: Annotated[float, Field(ge=0, lt=1)] = 0.9,
        limit: Annotated[float, Field(gt=0)] = 4.0,
    ) -> None:
        super().__init__(model)
        self.scale = LossScale(*self.replicas.ways)
        self.gamma = gamma
        self.memory = memory
        self.limit = limit
        self.places: dict[str, Tensor] = {}
        self.records: dict[str, Tensor] = {}
        self.mean: dict[str, Tensor] = {}
        self.seen: list[int] = []
        self.products: dict[str, Tensor] = {}
        self.squares: dict[str, Tensor] = {}

    def unfit(self, name: str, saved: Any) -> Iterator[str]:
        """Records are of this network's weights."""
        yield from super().unfit(name, saved)
        for key, places in saved.items() if name == "places" else ():
            if key not in self._named:
                yield f"{name}[{key!r}] is of nothing that is known here"
            elif len(places) and int(places.max()) >= self._named[key].numel():
                count = self._named[key].numel()
                yield f"{name}[{key!r}] is of a larger weight, this one's has {count} elements"

    def begin_epoch(self, batches: Iterable[Any], loss_fn: LossFunction) -> None:
        """Make room for the records, once; those of a tensor unfrozen later start at zero.

        Raises:
            UserError: they would not fit, or a weight is complex.
        """
        parameters = self.parameters
        added = [name for name in parameters if name not in self.records]
        if not added:
            return
        self.places |= active_places({name: parameters[name] for name in added}, self.masks)
        count = len(batches)
        for name in added:
            if parameters[name].is_complex():
                raise UserError(f"agc-recorded keeps float16 records, and {name!r} is complex")
        values = sum(len(place) for place in self.places.values())
        gigabytes = 2e-9 * count * values
        if gigabytes > self.limit:
            raise UserError(
                f"agc-recorded: {count} gradients of {values} active weights take "
                f"{gigabytes:.1f} GB, more than limit = {self.limit:g}"
            )
        for name in added:
            parameter, place = parameters[name], self.places[name]
            self.records[name] = parameter.new_zeros(count, len(place), dtype=torch.float16)
            self.mean[name] = parameter.new_zeros(len(place), dtype=torch.float32)
            self.products[name] = parameter.new_zeros((), dtype=torch.float64)
            self.squares[name] = parameter.new_zeros((), dtype=torch.float64)

    def correct(self, batch: Any, loss_fn: LossFunction) -> None:
        """Correct by the batch's record, then record the present gradient.

        Raises:
            UserError: the batch does not say which one it is.
        """
        index = getattr(batch, "index", -1)
        # A plain tuple or list has a method of that name.
        if not isinstance(index, int) or index < 0:
            raise UserError("agc-recorded needs batches with an index: fixed batches")
        present = self.gradients()
        if self.scale.overflowed(present.values()):
            return
        known = index in self.seen
        recorded = {name: g for name, g in present.items() if name in self.records}
        if recorded:
            with torch.no_grad():
                self._correct(recorded, index, known)
        if not known:
            self.seen.append(index)

    def _correct(self, gradients: dict[str, Tensor], index: int, known: bool) -> None:
        names = list(gradients)
        raw = [g.reshape(-1)[self.places[name]].float() for name, g in gradients.items()]
        records = [self.records[name][index] for name in names]
        old, means = _floats(records), [self.mean[name] for name in names]
        visited = len(self.seen) if known else len(self.seen) + 1
        if known:
            differences = subtract(means, old)
            factors = self.gamma * self._estimates(names).float()
            self._regress(names, raw, differences)
            self._add(gradients, scale(differences, factors.unbind()))
        # An infinite record would make the mean infinite for good.
        within = torch._foreach_clamp_max(torch._foreach_clamp_min(raw, -LARGEST), LARGEST)
        copy_to(records, within)
        changes = subtract(_floats(records), old if known else means)
        add_to(means, torch._foreach_div(changes, visited))

    def _estimates(self, names: list[str]) -> Tensor:
        """c of each tensor, [tensors]; 0 where nothing has been observed."""
        products = torch.stack([self.products[name] for name in names])
        squares = torch.stack([self.squares[name] for name in names])
        return torch.where(squares > 0, products / squares, torch.zeros_like(products))

    def _add(self, gradients: dict[str, Tensor], changes: list[Tensor]) -> None:
        """Correct in the gradient's own precision, so that a scale of 0 changes no bit."""
        with unique_places():
            for (name, gradient), change in zip(gradients.items(), changes, strict=True):
                flat, place = gradient.reshape(-1), self.places[name]
                flat[place] = (flat[place] + change).to(flat.dtype)
                if flat.data_ptr() != gradient.data_ptr():
                    gradient.copy_(flat.reshape(gradient.shape))

    def _regress(self, names: list[str], raw: list[Tensor], differences: list[Tensor]) -> None:
        """Add one step to Σ <g, r - u> and Σ |r - u|², the past fading."""
        products = -sums(torch._foreach_mul(raw, differences))
        squares = sums(torch._foreach_mul(differences, differences), signed=False)
        for total, new in ((self.products, products), (self.squares, squares)):
            past = torch.stack([total[name] for name in names])
            total.update(zip(names, (self.memory * past + new).unbind(), strict=True))

    def on_topology_update(self, masks: dict[str, Tensor]) -> None:
        """Move the records to the new places; those of dropped weights go."""
        known = [name for name in masks if name in self.places]
        if not known:
            return
        for name, new in active_places({name: masks[name] for name in known}, masks).items():
            old = self.places[name]
            where = torch.full((masks[name].numel(),), -1, dtype=torch.long, device=new.device)
            with unique_places():
                where[old] = torch.arange(len(old), device=new.device)
            source = where[new]
            for table in (self.records, self.mean):
                after = table[name][..., source.clamp(min=0)]
                table[name] = after.masked_fill_(source < 0, 0)
            self.places[name] = new

    def diagnostics(self) -> dict[str, float]:
        """Mean coefficient over tensors."""
        known = [
            (p / s).item()
            for p, s in zip(self.products.values(), self.squares.values(), strict=True)
            if s > 0
        ]
        mean = sum(known) / len(known) if known else 0.0
        return {"tau": mean, "coefficient": self.gamma * mean}

    @classmethod
    def cost(cls, **options: Any) -> Cost:
        """No pass. The records are not of a parameter's size: see the docstring."""
        return Cost(tensors=1)


def _floats(tensors: list[Tensor]) -> list[Tensor]:
    """Copies in single precision."""
    copies = [torch.empty_like(tensor, dtype=torch.float32) for tensor in tensors]
    copy_to(copies, tensors)
    return copies
