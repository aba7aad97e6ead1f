"""Where tensors of a forward pass come from: from which entries of which parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._pytree import tree_leaves, tree_map

aten = torch.ops.aten

MOVES = {
    *(aten.cat, aten.constant_pad_nd, aten.flip, aten.gather, aten.index, aten.index_select),
    *(aten.repeat, aten.roll, aten.stack),
}
"""Operations that bring entries to other places, and can do the same to the entries' numbers."""


@dataclass(frozen=True)
class Origin:
    """Where the entries of a storage come from that was computed from parameters alone.

    Attributes:
        names: of those parameters.
        entrywise: whether each entry comes from one of theirs; if not, entries were mixed.
        ids: number of that entry for each entry of the storage, -1 for none; None where single
            entries are not followed.
        kind: of the storage's entries.
        storage: kept, so that no other one takes its address.
    """

    names: frozenset[str]
    entrywise: bool
    ids: Tensor | None
    kind: torch.dtype
    storage: UntypedStorage


class Origins:
    """Follows parameters through views, casts, copies and arithmetic, operation by operation.

    What depends on an input is no parameter any more.

    Args:
        parameters: tensors to follow, by name.
        inputs: of the network.
        values: whether to follow single entries. They are numbered through all parameters.
    """

    def __init__(self, parameters: Mapping[str, Tensor], inputs: Any, values: bool) -> None:
        self.parameters = dict(parameters)
        self.values = values
        self.starts: dict[str, int] = {}
        """Number of the first entry of each parameter."""
        self.size = 0
        self.homes: dict[int, list[str]] = {}
        """By storage. Several parameters may share one, as those of recurrent layers do."""
        self.derived: dict[int, Origin] = {}
        self.dependent: dict[int, StorageWeakRef] = {}
        """Storages that depend on the inputs; a weak reference keeps their address theirs."""
        for name, parameter in self.parameters.items():
            self.starts[name], self.size = self.size, self.size + parameter.numel()
            self.homes.setdefault(_key(parameter), []).append(name)
        for tensor in tensors(inputs):
            self._depends(tensor)

    def of(self, tensor: Tensor) -> tuple[frozenset[str], bool]:
        """Names of the parameters that a tensor comes from, and whether entry by entry."""
        key = _key(tensor)
        if key in self.derived:
            origin = self.derived[key]
            return origin.names, origin.entrywise and origin.kind is tensor.dtype
        if key not in self.homes:
            return frozenset(), False
        names = [name for name in self.homes[key] if _overlap(tensor, self.parameters[name])]
        whole = all(self.parameters[name].dtype is tensor.dtype for name in names)
        return frozenset(names), bool(names) and whole

    def ids(self, tensor: Tensor) -> Tensor:
        """Number of the entry that each entry of a tensor comes from, which comes entrywise."""
        key = _key(tensor)
        if key in self.derived:
            return _view(self.derived[key].ids, tensor)
        size = tensor.untyped_storage().nbytes() // tensor.element_size()
        flat = torch.full((size,), -1, device=tensor.device)
        for name in self.homes[key]:
            parameter, start = self.parameters[name], self.starts[name]
            numbers = torch.arange(start, start + parameter.numel(), device=tensor.device)
            _view(flat, parameter).copy_(numbers.reshape(parameter.shape))
        return _view(flat, tensor)

    def follow(
        self, packet: Any, args: tuple, kwargs: dict[str, Any], out: Any, product: bool
    ) -> None:
        """Note where what an operation has made comes from.

        Args:
            packet: the operation, without its overload.
            args: its arguments, as for ``kwargs``.
            kwargs: the same.
            out: what it has made.
            product: whether it sums up products, so that entries are mixed.
        """
        inputs = tensors((args, kwargs))
        depends = any(_key(tensor) in self.dependent for tensor in inputs)
        sources = [] if depends else [tensor for tensor in inputs if self.of(tensor)[0]]
        for made in tensors(out):
            key = _key(made)
            if depends:
                self._depends(made)
            elif not sources or key in self.homes or key == 0:
                continue
            elif packet is aten.copy_:
                self._note(made, sources, self.of(sources[-1])[1], sources[-1])
            elif key in self.derived:
                continue  # a view, or arithmetic in place
            elif packet in MOVES:
                entrywise = all(self.of(tensor)[1] for tensor in sources)
                moved = self._moved(packet, args) if entrywise and self.values else None
                self._note(made, sources, entrywise, moved)
            else:
                alike = [t for t in sources if t.shape == made.shape and self.of(t)[1]]
                entrywise = bool(alike) and not product
                self._note(made, alike[:1] if entrywise else sources, entrywise, *alike[:1])

    def _depends(self, tensor: Tensor) -> None:
        key = _key(tensor)
        if key not in self.homes and key not in self.dependent and key != 0:
            self.derived.pop(key, None)
            self.dependent[key] = StorageWeakRef(tensor.untyped_storage())

    def _note(
        self, made: Tensor, sources: list[Tensor], entrywise: bool, same: Tensor | None = None
    ) -> None:
        """``made`` comes from ``sources``, its entries from those of ``same``, or of these ids."""
        key, storage = _key(made), made.untyped_storage()
        old, ids = self.derived.get(key), None
        names = frozenset().union(*(self.of(tensor)[0] for tensor in sources))
        if old is not None:
            names, entrywise = names | old.names, entrywise and old.entrywise
        if entrywise and self.values:
            size = storage.nbytes() // made.element_size()
            ids = torch.full((size,), -1, device=made.device) if old is None else old.ids
            numbers = same if same.dtype is torch.int64 else self.ids(same)
            _view(ids, made).copy_(numbers)
        self.derived[key] = Origin(names, entrywise, ids, made.dtype, storage)

    def _moved(self, packet: Any, args: tuple) -> Tensor:
        """What an operation of :data:`MOVES` makes of the numbers of the entries."""

        def number(leaf: Any) -> Any:
            if not isinstance(leaf, Tensor):
                return leaf
            if self.of(leaf)[1]:
                return self.ids(leaf)
            constant = leaf.is_floating_point()  # others are places
            return torch.full_like(leaf, -1, dtype=torch.int64) if constant else leaf

        if packet is aten.constant_pad_nd:
            args = (*args[:2], -1)
        return packet(*tree_map(number, args))


def tensors(tree: Any) -> list[Tensor]:
    """All tensors in nested lists, tuples and dictionaries."""
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _key(tensor: Tensor) -> int:
    """The address of a tensor's storage, 0 if it has none, as a sparse tensor."""
    try:
        return tensor.untyped_storage()._cdata
    except (NotImplementedError, RuntimeError):
        return 0


def _view(flat: Tensor, like: Tensor) -> Tensor:
    """One value for each entry of a storage, as ``like`` looks at the storage."""
    return flat.as_strided(like.shape, like.stride(), like.storage_offset())


def _overlap(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors of one storage have places in common, as far as their ends tell."""
    ends = []
    for tensor in (one, other):
        steps = zip(tensor.shape, tensor.stride(), strict=True)
        start = tensor.storage_offset()
        ends.append((start, start + 1 + sum((size - 1) * step for size, step in steps)))
    return ends[0][0] < ends[1][1] and ends[1][0] < ends[0][1]
