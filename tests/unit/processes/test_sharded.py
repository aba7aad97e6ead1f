"""Parameters that are spread over processes are refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import distributed, nn

from agc.registry import CORRECTIONS, METHODS
from tests.support.library_problems import make


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A group of this process alone."""
    path: Path = tmp_path_factory.mktemp("group") / "store"
    distributed.init_process_group("gloo", init_method=f"file://{path}", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))


def fully_sharded() -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    return fully_shard(network(), mesh=init_device_mesh("cpu", (1,)))


def sharded_within() -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    model = network()
    fully_shard(model[2], mesh=init_device_mesh("cpu", (1,)))
    return model


def first_version() -> nn.Module:
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(network(), device_id=torch.device("cpu"))


def spread() -> nn.Module:
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Replicate, distribute_tensor

    model, mesh = network(), init_device_mesh("cpu", (1,))
    model[2].weight = nn.Parameter(distribute_tensor(model[2].weight, mesh, [Replicate()]))
    return model


SHARDED: dict[Callable[[], nn.Module], str] = {
    fully_sharded: r"the model is sharded by fully_shard \(FSDP2\)",
    sharded_within: "module '2' of the model is sharded by fully_shard",
    first_version: "the model is sharded by FullyShardedDataParallel",
    spread: "parameter '2.weight' is a DTensor",
}


@pytest.mark.parametrize("shard", SHARDED, ids=lambda one: one.__name__)
@pytest.mark.usefixtures("group")
def test_what_is_sharded_is_refused_by_name(shard: Callable[[], nn.Module]) -> None:
    model = shard()
    for name in CORRECTIONS.names():
        with pytest.raises(TypeError, match=SHARDED[shard]) as error:
            make(name, model)
        assert "DistributedDataParallel" in str(error.value)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for name in METHODS.names():
        sparsity = 0.5 if METHODS[name].target.sparse else 0.0
        with pytest.raises(TypeError, match=SHARDED[shard]):
            METHODS.create(
                name, model, optimizer, options={}, sparsity=sparsity, total_steps=8, seed=0
            )


@pytest.mark.usefixtures("group")
def test_distributed_data_parallel_is_not() -> None:
    make("agc", nn.parallel.DistributedDataParallel(network()))
