"""Settings and fixtures that all tests share."""

from __future__ import annotations

import os
import sys

# Two processes of one thread beat one of two, and the last bits depend on the number of threads.
# It must be said before torch is imported for the first time.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
# No plan times steps unless a test asks it to.
os.environ["AGC_CALIBRATE"] = "0"

from collections.abc import Callable, Iterator
from contextlib import chdir
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from agc.grids.cell import Cell, make_cell

if TYPE_CHECKING:
    from agc.machine.device import Machine

# The same examples in each run, and no database of failures beside the sources.
settings.register_profile("agc", deadline=None, max_examples=60, derandomize=True, database=None)
settings.load_profile("agc")

CellMaker = Callable[..., Cell]


@pytest.fixture(scope="session")
def tiny_cell() -> CellMaker:
    """Makes cells that train in a fraction of a second: digits, 2 epochs of 4 batches of 64.

    Keyword arguments replace the cell's fields; those of ``training`` are merged.
    """

    def make(training: dict[str, Any] | None = None, **fields: Any) -> Cell:
        plain = {
            "dataset": "digits",
            "architecture": {"name": "resnet8", "options": {"width": 4}},
            "training": {
                "epochs": 2,
                "batch_size": 64,
                "validation": 1437 - 4 * 64,
                "augmentation": {"crop": 1},
                **(training or {}),
            },
        }
        return make_cell({**plain, **fields})

    return make


@pytest.fixture(scope="session")
def machine() -> Machine:
    """The CPU with one thread and deterministic algorithms, as ``agc train`` sets it up."""
    from agc.machine.device import prepare_machine

    return prepare_machine("cpu", threads=1)


@pytest.fixture(autouse=True)
def memory_is_not_what_it_was() -> None:
    """Fill new memory with NaN in deterministic runs, which a training leaves out to spare time:
    here it shows who reads what nobody has written.
    """
    if "torch" in sys.modules:
        sys.modules["torch"].utils.deterministic.fill_uninitialized_memory = True


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the sources."""
    return Path(__file__).parents[1]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database that has its tables and nothing else: making one takes seconds."""
    from agc.tracking.store import open_client

    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    open_client(f"sqlite:///{path}")
    return path


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, which is the present one."""
    with chdir(tmp_path):
        yield tmp_path
