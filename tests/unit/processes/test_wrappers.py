"""Wrappers around a network: one place takes them off, and nothing else knows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from agc import AGC, RigL, Step
from agc.processes.replicas import Replicas
from agc.processes.wrappers import unwrapped, ways_into
from tests.support.library_problems import Everything, flat, loss_fn, same, sentences


def compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model, backend="eager")


def in_place(model: nn.Module) -> nn.Module:
    model.compile(backend="eager")
    return model


def parallel(model: nn.Module) -> nn.Module:
    return DistributedDataParallel(model, find_unused_parameters=True)


WRAPPERS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "compiled": compiled,
    "compiled in place": in_place,
    "data parallel": DataParallel,
    "data parallel of compiled": lambda m: DataParallel(compiled(m)),
    "distributed": parallel,
    "distributed of compiled": lambda m: parallel(compiled(m)),
    "compiled distributed": lambda m: compiled(parallel(m)),
    "compiled distributed of compiled in place": lambda m: compiled(parallel(in_place(m))),
}


@pytest.fixture(scope="module", autouse=True)
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    meeting: Path = tmp_path_factory.mktemp("group") / "meeting"
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_every_wrapper_is_taken_off(wrapper: str) -> None:
    model = nn.Linear(2, 2)
    assert unwrapped(WRAPPERS[wrapper](model)) is model
    replicas = Replicas(WRAPPERS[wrapper](model))
    assert replicas.module is model
    assert not any(isinstance(m, DistributedDataParallel) for m in replicas.passes.modules())
    assert (replicas.group is not None) == ("distributed" in wrapper)


def test_an_averaged_model_is_taken_off_too() -> None:
    averaged = AveragedModel(nn.Linear(2, 2))
    assert unwrapped(averaged) is averaged.module


def test_passes_beside_the_step_are_compiled_where_those_of_the_step_are() -> None:
    model = nn.Linear(2, 2)
    whole = compiled(model)
    assert ways_into(model) == (model,)
    assert ways_into(whole) == (whole,)
    assert ways_into(parallel(whole)) == (whole,)
    outer = compiled(parallel(model))
    assert ways_into(outer) == (outer, model)


def outcome(wrap: Callable[[nn.Module], nn.Module], estimator: str) -> tuple[nn.Module, dict]:
    """Dropout, batch norm, tied and frozen weights, trained with a pattern of names."""
    torch._dynamo.reset()
    torch.manual_seed(3)
    model = Everything()
    given = wrap(model)
    optimizer = torch.optim.SGD([p for p in given.parameters() if p.requires_grad], lr=0.05)
    sparse = RigL(
        given,
        optimizer,
        sparsity=0.5,
        total_steps=40,
        update_interval=3,
        keep_dense=("attention.*",),
    )
    correction = AGC(given, gamma=1.0, estimator=estimator)
    step = Step(given, optimizer, loss_fn, sparse, correction)
    for _ in range(2):
        step.begin_epoch(sentences())
        for batch in sentences():
            step(batch)
    return model, {
        "weights": flat(model.parameters()),
        "buffers": flat(b.double() for b in model.buffers()),
        "sparse": sparse.state_dict(),
        "correction": correction.state_dict(),
        "stream": torch.get_rng_state(),
    }


@pytest.mark.parametrize("estimator", ["loss", "layer"])
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_wrapped_run_has_bits_names_and_states_of_the_plain_one(
    wrapper: str, estimator: str
) -> None:
    _, plain = outcome(lambda model: model, estimator)
    model, found = outcome(WRAPPERS[wrapper], estimator)
    for key in ("weights", "buffers", "stream"):
        assert torch.equal(plain[key], found[key]), key
    for part in ("sparse", "correction"):
        assert [*plain[part]] == [*found[part]]
    for of in (lambda o: o["sparse"]["masks"], lambda o: o["correction"]["reference"]):
        assert [*of(plain)] == [*of(found)]
        assert same(of(plain).values(), of(found).values())
    other = AGC(model, estimator=estimator)
    other.load_state_dict(found["correction"])
