from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from agc.sparsity.operations import Operations, watching


def watched(model: nn.Module, inputs: Tensor, followed: tuple[str, ...] = ()) -> Operations:
    """One pass of a network half of whose weights are zero."""
    parameters = {n: p for n, p in model.named_parameters() if p.ndim > 1}
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.mul_(torch.rand(parameter.shape, generator=generator) < 0.5)
    parameters = {n: p for n, p in parameters.items() if not followed or n in followed}
    with watching(model.eval(), parameters, inputs, values=True) as operations:
        model(inputs)
    return operations


def sees_it_all(operations: Operations) -> bool:
    """Whether each weight is multiplied with as it is, all of it."""
    return all(
        operations.used(name).all() and torch.equal(operations.nonzero(name), parameter != 0)
        for name, parameter in operations.parameters.items()
    )


class Functional(nn.Module):
    """A network of two layers of 6 and 6 whose forward pass is a function of both weights."""

    def __init__(self, function) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
        self.register_buffer("table", torch.arange(5, -1, -1))
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(inputs, self.one.weight, self.two.weight, self.table)


EACH = 2 * 6 * 6
"""FLOPs of one layer for one sample."""

KEEPING = {
    "as it is": lambda x, a, b, t: functional.linear(functional.linear(x, a), b),
    "in slices": lambda x, a, b, t: functional.linear(x, a[:3]) @ a[3:] + x @ b.t(),
    "cast": lambda x, a, b, t: functional.linear(x.double(), a.double()) @ b.double(),
    "packed": lambda x, a, b, t: functional.linear(x, torch.cat([a, b])),
    "stacked": lambda x, a, b, t: torch.stack([a, b.flip(0)]) @ x.t(),
    "gathered": lambda x, a, b, t: functional.linear(functional.linear(x, a[t]), b[:, t]),
    "copied": lambda x, a, b, t: x @ torch.zeros(6, 6).copy_(a) @ b.clone(),
    "scaled": lambda x, a, b, t: x @ (a * 3 + 0) @ (b / b.abs().max()).abs(),
    "padded": lambda x, a, b, t: x @ functional.pad(a, (1, 0))[:, 1:] @ b,
    "einsum": lambda x, a, b, t: torch.einsum("ni,oi,po->np", x, a, b),
}


@pytest.mark.parametrize("way", KEEPING)
def test_a_weight_is_recognised_in(way: str) -> None:
    operations = watched(Functional(KEEPING[way]), torch.randn(1, 6))
    assert sees_it_all(operations)
    assert sum(operations.flops.values()) == operations.total


CHANGING = {
    "shifted": lambda x, a, b, t: x @ (a - a.mean()) @ b,
    "added to": lambda x, a, b, t: x @ (a + b @ b) @ b,
    "replaced by signs": lambda x, a, b, t: x @ torch.where(a < 0, -1.0, 1.0) @ b,
    "normalised": lambda x, a, b, t: x @ torch.softmax(a, 0) @ b,
    "shifted in place": lambda x, a, b, t: x @ a.clone().add_(1) @ b,
}


@pytest.mark.parametrize("way", CHANGING)
def test_zeros_that_vanish_are_seen_where_a_weight_is(way: str) -> None:
    operations = watched(Functional(CHANGING[way]), torch.randn(1, 6))
    one = operations.parameters["one.weight"]
    assert (operations.nonzero("one.weight") & (one == 0)).any()
    assert torch.equal(operations.nonzero("two.weight"), operations.parameters["two.weight"] != 0)


def test_a_weight_whose_entries_are_mixed_is_not_seen() -> None:
    operations = watched(
        Functional(lambda x, a, b, t: x @ a.sum(0, keepdim=True).expand(6, 6) @ b),
        torch.randn(1, 6),
    )
    assert operations.mixed == {"one.weight"}
    assert not operations.used("one.weight").any()


def test_what_depends_on_the_input_is_no_weight() -> None:
    # Of the same shape as the input; its products are activations.
    model = Functional(lambda x, a, b, t: (x + a) @ b)
    operations = watched(model, torch.randn(6, 6))
    assert operations.flops == {"one.weight": 0, "two.weight": 2 * 6**3}
    assert not operations.used("one.weight").any()


def test_a_slice_is_all_that_is_used_of_a_weight() -> None:
    operations = watched(
        Functional(lambda x, a, b, t: x @ a[:, 2:4] + 0 * b[0, :2]), torch.ones(1, 6)
    )
    assert operations.used("one.weight").sum(0).tolist() == [0, 0, 6, 6, 0, 0]
    assert not operations.used("two.weight").any()
    assert operations.flops == {"one.weight": 2 * 6 * 2, "two.weight": 0}


def test_of_two_weights_in_one_operation_each_has_its_share() -> None:
    operations = watched(Functional(KEEPING["packed"]), torch.randn(1, 6))
    assert operations.flops == {"one.weight": EACH, "two.weight": EACH}


class Attention(nn.Module):
    """Cross-attention of 5 tokens to 7, with widths that differ or not."""

    def __init__(self, **options: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True, **options)
        width = options.get("kdim", 8)
        self.register_buffer("memory", torch.randn(1, 7, width))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.attention(tokens, self.memory, self.memory, need_weights=False)[0]


def test_packed_projections_count_by_what_is_used_of_them() -> None:
    operations = watched(Attention(), torch.randn(1, 5, 8))
    assert sees_it_all(operations)
    # Query of 5 tokens, key and value of 7, each 8 by 8; then the output of 5.
    assert operations.flops["attention.in_proj_weight"] == 2 * 64 * (5 + 7 + 7)
    assert operations.flops["attention.out_proj.weight"] == 2 * 64 * 5
    operations = watched(Attention(kdim=6, vdim=6), torch.randn(1, 5, 8))
    assert sees_it_all(operations)
    assert operations.flops["attention.k_proj_weight"] == 2 * 8 * 6 * 7


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_recurrent_weights_are_seen_at_every_step(kind: type[nn.RNNBase], gates: int) -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = kind(6, 7, batch_first=True)

        def forward(self, sequence: Tensor) -> Tensor:
            return self.cells(sequence)[0][:, -1]

    enabled = torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled
    operations = watched(Last(), torch.randn(1, 5, 6))
    assert sees_it_all(operations)
    assert operations.flops["cells.weight_ih_l0"] == 2 * gates * 7 * 6 * 5
    assert operations.flops["cells.weight_hh_l0"] == 2 * gates * 7 * 7 * 5
    assert (torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled) == enabled


def test_parameters_that_share_a_storage_are_told_apart() -> None:
    # As cuDNN keeps the weights of recurrent layers.
    flat = torch.randn(2, 6, 6)
    model = Functional(KEEPING["as it is"])
    model.one.weight.data, model.two.weight.data = flat[0], flat[1]
    operations = watched(model, torch.randn(1, 6), ("two.weight",))
    assert sees_it_all(operations)
    assert operations.flops == {"two.weight": EACH}
    assert operations.total == 2 * EACH


def test_the_fast_path_of_attention_comes_back() -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    for wanted in (True, False):
        torch.backends.mha.set_fastpath_enabled(wanted)
        try:
            assert sees_it_all(watched(model, torch.randn(1, 5, 8)))
            assert torch.backends.mha.get_fastpath_enabled() is wanted
        finally:
            torch.backends.mha.set_fastpath_enabled(True)
