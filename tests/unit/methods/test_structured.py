"""Pruning before training, on networks that take and give more than one floating-point tensor."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from agc import rng
from agc.errors import UserError
from agc.gradients.micro_batches import MicroBatches
from agc.grids.cell import Cell
from agc.methods.base import SparseMethod
from agc.registry import METHODS
from agc.training.build import build

BEFORE = ["grasp", "magnitude-init", "snip", "synflow"]


class Features(NamedTuple):
    logits: Tensor
    features: Tensor


@dataclass(frozen=True)
class Answer:
    logits: Tensor
    labels: Tensor | None = None


@dataclass
class ModelOutput(OrderedDict):
    """As in transformers: entries are attributes, too."""

    loss: Tensor | None = None
    logits: Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("loss", "logits"):
            if getattr(self, name) is not None:
                super().__setitem__(name, getattr(self, name))

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, value)
        super().__setattr__(name, value)

    def __reduce__(self) -> tuple:
        return type(self), (self.loss, self.logits)


def attention() -> nn.Module:
    with rng.isolated(4):
        return Attention()


class Attention(nn.Module):
    """Tokens of six numbers; ``give`` says what it makes of its logits, [N, 4]."""

    def __init__(self) -> None:
        super().__init__()
        self.split, self.head = nn.Linear(6, 24), nn.Linear(8, 4)
        self.give: Callable[[Tensor], Any] = lambda logits: logits

    def forward(self, tokens: Tensor, scale: Tensor | None = None) -> Any:
        query, key, value = self.split(tokens).unsqueeze(1).chunk(3, dim=-1)
        mixed = scaled_dot_product_attention(query, key, value).squeeze(1).mean(dim=1)
        return self.give(self.head(mixed if scale is None else mixed * scale))


def batches() -> list[tuple[Tensor, Tensor]]:
    draw = rng.generator(0, "structured")
    return [
        (torch.randn(7, 5, 6, generator=draw), torch.randint(4, (7,), generator=draw))
        for _ in range(2)
    ]


def masks(name: str, model: nn.Module, loss_fn: Callable, data: list, **options: Any) -> list:
    method: SparseMethod = METHODS.create(
        name, model, None, options=options, sparsity=0.5, total_steps=4, seed=0
    )
    method.begin(data, loss_fn)
    assert method.sparsity() == 0.5
    return [mask.clone() for mask in method.masks.values()]


def plainly(model: nn.Module, batch: Any) -> Tensor:
    return cross_entropy(model(batch[0]), batch[1])


STRUCTURES = {
    "mapping": (lambda x: {"features": x.detach(), "logits": x}, lambda out: out["logits"]),
    "tuple": (lambda x: (x, None, 3), lambda out: out[0]),
    "list": (lambda x: [[x], torch.arange(3)], lambda out: out[0][0]),
    "named tuple": (lambda x: Features(x, x * 2), lambda out: out.logits),
    "frozen dataclass": (lambda x: Answer(x), lambda out: out.logits),
    "model output": (lambda x: ModelOutput(logits=x), lambda out: out.logits),
    "its item": (lambda x: ModelOutput(logits=x), lambda out: out["logits"]),
    "with a loss beside": (lambda x: ModelOutput(x.sum(), x), lambda out: out.logits),
}


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("name", BEFORE)
def test_what_holds_the_logits_does_not_matter(name: str, structure: str) -> None:
    give, take = STRUCTURES[structure]
    expected = masks(name, attention(), plainly, batches())
    model = attention()
    model.give = give

    def loss_fn(model: nn.Module, batch: Any) -> Tensor:
        return cross_entropy(take(model(batch[0])), batch[1])

    found = masks(name, model, loss_fn, batches())
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@pytest.mark.parametrize("name", BEFORE)
def test_inputs_may_be_named_or_come_in_groups(name: str) -> None:
    expected = masks(name, attention(), plainly, batches())

    def by_name(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return cross_entropy(model(tokens=batch["tokens"], scale=None), batch["labels"])

    named = [{"tokens": tokens, "labels": labels} for tokens, labels in batches()]
    for loss_fn, data in (
        (by_name, named),
        (plainly, [MicroBatches((batch,)) for batch in batches()]),
    ):
        found = masks(name, attention(), loss_fn, data)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


def several(model: nn.Module, batch: Any) -> Tensor:
    return cross_entropy(model(batch[0], scale=batch[0][:, 0, :1]), batch[1])


def test_synflow_gives_ones_to_each_of_several_inputs() -> None:
    # A factor of one is none.
    found = masks("synflow", attention(), several, batches())
    expected = masks("synflow", attention(), plainly, batches())
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.hidden = nn.Embedding(20, 6), nn.Linear(6, 8)
        self.rest = Attention()
        self.rest.split = nn.Linear(8, 24)

    def forward(self, input_ids: Tensor) -> Tensor:
        return self.rest(self.hidden(self.embedding(input_ids)))


def words() -> list[tuple[Tensor, Tensor]]:
    draw = rng.generator(0, "words")
    return [(torch.randint(20, (7, 5), generator=draw), torch.arange(7) % 4)]


@pytest.mark.parametrize("name", [name for name in BEFORE if name != "synflow"])
@pytest.mark.parametrize("by_name", [False, True])
def test_token_ids_are_inputs_like_others(name: str, by_name: bool) -> None:
    def loss_fn(model: nn.Module, batch: Any) -> Tensor:
        return cross_entropy(model(input_ids=batch[0]) if by_name else model(batch[0]), batch[1])

    masks(name, Words(), loss_fn, words())


def test_synflow_refuses_token_ids_by_name() -> None:
    def loss_fn(model: nn.Module, batch: Any) -> Tensor:
        return cross_entropy(model(input_ids=batch[0]), batch[1])

    model = Words()
    before = torch.get_rng_state()
    with pytest.raises(UserError) as caught:
        masks("synflow", model, loss_fn, words())
    assert "this network gets input_ids (int64 [7, 5])" in str(caught.value)
    assert "snip and magnitude-init work" in str(caught.value)
    assert torch.equal(torch.get_rng_state(), before)
    assert not model._forward_hooks


def test_synflow_refuses_inputs_of_different_numbers_of_samples() -> None:
    def loss_fn(model: nn.Module, batch: Any) -> Tensor:
        return cross_entropy(model(batch[0], torch.ones(8)), batch[1])

    with pytest.raises(UserError, match=r"0 \(float32 \[7, 5, 6\]\), 1 \(float32 \[8\]\)"):
        masks("synflow", attention(), loss_fn, batches())


@pytest.mark.parametrize("give", [lambda x: x.sum(), lambda x: ModelOutput(loss=x.sum())])
@pytest.mark.parametrize("name", ["grasp", "synflow"])
def test_a_loss_that_the_network_computes_itself_is_refused(name: str, give: Callable) -> None:
    model = attention()
    model.give = give

    def loss_fn(model: nn.Module, batch: Any) -> Tensor:
        output = model(batch[0])
        return output if torch.is_tensor(output) else output.loss

    with pytest.raises(UserError, match=r"loss from (the|its) logits in the loss function"):
        masks(name, model, loss_fn, batches())
    if name == "grasp":  # no division, nothing to object to
        masks(name, model, loss_fn, batches(), temperature=1.0)
    assert not model._forward_hooks


@pytest.mark.parametrize("name", ["grasp", "synflow"])
def test_a_loss_function_that_asks_parts_of_the_model_is_refused(name: str) -> None:
    model = nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 4))

    def loss_fn(model: nn.Module, batch: Any) -> Tensor:
        return cross_entropy(model[1](model[0](batch[0].mean(dim=1))), batch[1])

    with pytest.raises(UserError, match=rf"{name}: the loss function must call the model as a"):
        masks(name, model, loss_fn, batches())


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU])
def test_grasp_takes_recurrent_layers(kind: type[nn.Module]) -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.head = kind(6, 8, batch_first=True), nn.Linear(8, 4)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.head(self.layer(tokens)[0].mean(dim=1))

    enabled = torch.backends.cudnn.enabled
    masks("grasp", Recurrent(), plainly, batches())
    assert torch.backends.cudnn.enabled == enabled


def test_grasp_leaves_the_kernels_of_attention_as_they_were() -> None:
    kinds = "flash_sdp_enabled", "mem_efficient_sdp_enabled", "math_sdp_enabled"
    before = [getattr(torch.backends.cuda, kind)() for kind in kinds]
    masks("grasp", attention(), plainly, batches())
    assert [getattr(torch.backends.cuda, kind)() for kind in kinds] == before


def test_grasp_names_a_network_without_a_second_derivative() -> None:
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, x: Tensor) -> Tensor:
            return x * 2

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context: Any, gradient: Tensor) -> Tensor:
            return gradient * 2

    model = attention()
    model.give = Once.apply
    with pytest.raises(UserError, match="grasp needs second derivatives, and this network has"):
        masks("grasp", model, plainly, batches())


@pytest.mark.parametrize("name", [*BEFORE, "lottery"])
def test_a_vision_transformer_is_ranked(name: str, tiny_cell: Callable[..., Cell]) -> None:
    training = {"epochs": 5 if name == "lottery" else 1}
    run = build(tiny_cell(architecture="test_vit", method=name, sparsity=0.8, training=training))
    run.step.begin(run.loader.epoch(0))
    if name != "lottery":
        assert run.method.sparsity() == pytest.approx(0.8, abs=1e-5)
