"""What each of several workers sees, and what method, correction and network get of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from agc import AGC, SAM, SVRG, AllReduce, MicroBatches, RigL, Static, Step
from agc.conformance.optimizers import batches, loss_fn, network
from agc.corrections.base import Correction
from agc.corrections.constant import Constant
from agc.errors import UserError
from agc.gradients.gradient import loss_and_gradient
from agc.methods.base import SparseMethod
from agc.methods.n_m import NM
from agc.optimizers.cgq import CGQ
from agc.quantization.base import Quantization
from agc.quantization.metagrad import MetaGrad
from agc.quantization.pfq import PFQ
from agc.quantization.static import StaticBits
from agc.registry import COMMUNICATION

WORKERS = 4
DATA = batches()


def make(
    name: str = "all-reduce",
    kind: type[SparseMethod] | None = None,
    correction: Correction | None = None,
    model: nn.Module | None = None,
    quantization: Quantization | None = None,
    **options: Any,
) -> Step:
    model = network() if model is None else model
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.05, momentum=0.9)
    more = {"update_interval": 2} if kind is RigL else {}
    more |= {"total_steps": 100} if kind is RigL else {}
    sparse = None if kind is None else kind(model, optimizer, sparsity=0.5, **more)
    communication = COMMUNICATION.create(name, model, optimizer, options=options, seed=0)
    parts = (sparse, correction, quantization)
    return Step(model, optimizer, loss_fn, *parts, communication=communication)


def of_worker(number: int, batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return batch[0][number::WORKERS], batch[1][number::WORKERS]


def gradients(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """Mean of those of the shares, each with batch norm of its own."""
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    found = [
        loss_and_gradient(model, trained, of_worker(i, batch), loss_fn)[1] for i in range(WORKERS)
    ]
    return {name: sum(own[name] for own in found) / WORKERS for name in trained}


def test_the_optimizer_gets_the_mean_and_the_loss_is_that_of_the_shares() -> None:
    step, other = make(), network()
    before = {name: p.detach().clone() for name, p in step.model.named_parameters()}
    loss = step(DATA[0])
    losses = [loss_fn(other, of_worker(i, DATA[0])) for i in range(WORKERS)]
    assert torch.isclose(loss, torch.stack(losses).mean())
    expected = gradients(network(), DATA[0])
    for name, weight in step.model.named_parameters():
        moved = before[name] - weight
        assert torch.allclose(moved, 0.05 * expected.get(name, torch.zeros(())), atol=1e-7)


def test_running_statistics_are_the_mean_of_the_workers_own() -> None:
    step = make()
    step(DATA[0])
    found = []
    for number in range(WORKERS):
        model = network()
        loss_fn(model, of_worker(number, DATA[0]))
        found.append(dict(model.named_buffers()))
    for name, buffer in step.model.named_buffers():
        if buffer.is_floating_point():
            mean = torch.stack([own[name] for own in found]).mean(dim=0)
            assert torch.allclose(buffer, mean, atol=1e-7)
        else:
            assert torch.equal(buffer, found[0][name])


@pytest.mark.parametrize("name", ["all-reduce", "ef"])
def test_growth_looks_at_the_mean_raw_gradient(name: str) -> None:
    """Corrected and clipped ones are another matter, and so is what is pruned, for once."""
    model = network()
    step = make(name, kind=RigL, correction=SVRG(model), model=model)
    step.begin_epoch(DATA)
    step(DATA[0])
    seen: dict[str, Tensor] = {}
    advance = step.sparse.advance
    step.sparse.advance = lambda: (seen.update(step.sparse.gradients), advance())[1]
    expected = gradients(model, DATA[1])
    masks = {name: mask.clone() for name, mask in step.sparse.masks.items()}
    step(DATA[1])
    assert step.changed
    assert seen.keys() == masks.keys()
    for name, gradient in seen.items():
        assert torch.allclose(gradient, expected[name], atol=1e-6)
        assert gradient[~masks[name]].any()


@pytest.mark.parametrize("name", ["ef", "saef", "sa-pef", "def"])
def test_errors_of_what_is_pruned_are_flushed_and_all_others_stay(name: str) -> None:
    """At a change of topology, bit by bit, momenta and the server's error too."""
    step = make(name, kind=RigL, compressor="top-k", two_way=True)
    step(DATA[0])
    old = {layer: mask.clone() for layer, mask in step.sparse.masks.items()}
    before: dict[str, dict[str, Tensor]] = {}
    update = step.communication.update

    def kept() -> dict[str, dict[str, Tensor]]:
        state = step.optimizer.state
        return {
            layer: {what: t.clone() for what, t in state[weight].items() if torch.is_tensor(t)}
            for layer, weight in step.sparse.parameters.items()
        }

    step.communication.update = lambda found: (update(found), before.update(kept()))[0]
    step(DATA[1])
    assert step.changed
    flushed = 0.0
    for layer, slots in kept().items():
        mask = step.sparse.masks[layer]
        assert len(slots) == 2 * WORKERS + 1
        for what, tensor in slots.items():
            assert torch.equal(tensor[mask & old[layer]], before[layer][what][mask & old[layer]])
            assert not tensor[~(mask & old[layer])].any(), f"{layer}: {what}"
            flushed += float(before[layer][what][old[layer] & ~mask].abs().sum())
    assert flushed > 0, "nothing was owed where weights were pruned"


def test_only_active_coordinates_travel() -> None:
    step = make(kind=Static)
    sent: list[dict[str, Tensor]] = []
    mean = step.communication.mean
    step.communication.mean = lambda found: (sent.extend(found), mean(found))[1]
    step(DATA[0])
    assert len(sent) == WORKERS
    for own in sent:
        sizes = {name: len(numbers) for name, numbers in own.items()}
        for name, p in step.model.named_parameters():
            if p.requires_grad:
                mask = step.sparse.masks.get(name)
                assert sizes[name] == (p.numel() if mask is None else int(mask.sum()))


@pytest.mark.parametrize("correction", [SVRG, lambda m: Constant(m, c=1.0)])
def test_at_the_snapshot_a_worker_s_corrected_gradient_is_the_full_one(correction: Any) -> None:
    """u is the mean of what the workers see, batch norm of their own shares included, and every
    worker corrects its own gradient: g + u - g."""
    model = network()
    full = [gradients(model, batch) for batch in DATA]
    expected = {name: sum(own[name] for own in full) / len(DATA) for name in full[0]}
    step = make(correction=correction(model), model=model)
    step.begin_epoch(DATA)
    found: list[list[dict[str, Tensor]]] = []
    update = step.communication.update
    step.communication.update = lambda own: (found.append(own), update(own))[1]
    step(DATA[3])
    for own in found[0]:
        for name, gradient in own.items():
            assert torch.allclose(gradient, expected[name], atol=1e-6)


def test_the_estimate_of_agc_is_of_all_workers_losses() -> None:
    """τ after two epochs is the slope over the batches of the workers' mean losses."""
    model = network()
    step = make("saef", correction=AGC(model, alpha=1.0), model=model, compressor="identity")

    def losses() -> Tensor:
        return torch.stack(
            [
                torch.stack([loss_fn(model, of_worker(i, b)) for i in range(WORKERS)]).mean()
                for b in DATA
            ]
        ).detach()

    state = {name: t.clone() for name, t in model.state_dict().items()}
    then = losses()
    model.load_state_dict(state)
    step.begin_epoch(DATA)
    for batch in DATA:
        step(batch)
    state = {name: t.clone() for name, t in model.state_dict().items()}
    now = losses()
    model.load_state_dict(state)
    step.begin_epoch(DATA)
    table = torch.cov(torch.stack([now, then]).double())
    assert step.correction.tau == pytest.approx(float(table[0, 1] / table[1, 1]), rel=1e-4)


def test_micro_batches_are_shared_one_by_one() -> None:
    parts = MicroBatches(tuple(DATA[:2]))
    step, other = make(), make()
    step(parts)
    for number in range(2):
        for name, gradient in gradients(network(), DATA[number]).items():
            weight = dict(other.model.named_parameters())[name]
            weight.data.sub_(0.05 * gradient / 2)
    for one, two in zip(step.model.parameters(), other.model.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-6)


def test_what_a_share_does_not_reach_counts_as_zero_there_and_nowhere_as_nothing() -> None:
    class Gated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Parameter(torch.ones(())) for _ in range(3))

    def loss(model: Gated, batch: Tensor) -> Tensor:
        return model.a * batch.sum() if batch[0] > 0 else model.b * batch.sum()

    model = Gated()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, weight_decay=0.5)
    step = Step(model, optimizer, loss, communication=AllReduce(model, optimizer, workers=2))
    step(torch.tensor([2.0, -4.0]))
    assert [p.item() for p in model.parameters()] == [1 - 0.5 - 1.0, 1 - 0.5 + 2.0, 1.0]


def test_a_policy_of_bits_sees_the_mean_loss_once_a_step() -> None:
    model = network()
    policy = PFQ(model, total_steps=2)
    step = make(model=model, quantization=policy)
    losses = [step(batch) for batch in DATA[:2]]
    assert policy.steps == 2
    assert policy.stages.losses == losses


def test_what_cannot_be_shared_is_refused() -> None:
    model = network()
    with pytest.raises(UserError, match="NM trains weights that the forward pass does not see"):
        make(kind=NM, model=model)
    with pytest.raises(UserError, match="SAM cannot correct the gradients of several workers"):
        make(correction=SAM(model), model=model)
    with pytest.raises(UserError, match="AGC cannot correct"):
        make(correction=AGC(model, estimator="gradient"), model=model)
    for quantization, words in (
        (MetaGrad(network()), "MetaGrad cannot be that of several workers"),
        (StaticBits(network(), weight_gradients=8), "StaticBits rounds the gradient of the whole"),
    ):
        with pytest.raises(UserError, match=words):
            make(quantization=quantization)
    searching = CGQ(model.parameters(), lr=0.1)
    communication = AllReduce(model, searching)
    with pytest.raises(UserError, match="CGQ asks for the loss of the whole batch"):
        Step(model, searching, loss_fn, communication=communication)
    with pytest.raises(UserError, match="a batch of 6 rows cannot be shared evenly by 4 workers"):
        make()((DATA[0][0][:6], DATA[0][1][:6]))
