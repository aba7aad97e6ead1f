from __future__ import annotations

import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from agc.conformance.method_problem import often
from agc.errors import UserError
from agc.grids.cell import Cell
from agc.machine.device import Machine
from agc.records import checkpoint
from agc.registry import CORRECTIONS, METHODS, OBJECTIVES
from agc.runs.train import CellRun
from agc.training.build import build

EPOCHS = 3
FEW_STEPS: dict[str, Any] = {n: {"steps": 1} for n in ("mixed-at", "trades", "mart", "rst")}
FEW_STEPS |= {"free-at": {"replays": 3}, "pgd-at": {"steps": 2, "epsilon": 0.1, "step_size": 0.05}}
TRAININGS: dict[str, dict[str, Any]] = {
    "cosine": {"schedule": {"name": "cosine"}},
    "cosine after warm-up": {"schedule": {"name": "cosine", "warmup": 1}},
    "step after warm-up": {"schedule": {"name": "step", "milestones": [0.4, 0.7], "warmup": 2}},
    "constant after warm-up": {"schedule": {"name": "constant", "warmup": 2}},
    "adamw": {"optimizer": {"name": "adamw", "lr": 0.01}, "schedule": {"name": "cosine"}},
    "no momentum": {"optimizer": {"momentum": 0.0}, "clip_norm": 0.5},
}
RUNS = [(method, "agc", "standard") for method in METHODS.names()]
# That each correction resumes is asked for by tests/conformance; here, one that fixes its batches.
RUNS += [("rigl", correction, "standard") for correction in ("none", "agc-recorded")]
RUNS += [("rigl", "agc", objective) for objective in OBJECTIVES.names()]
RUNS = sorted({*RUNS})
WHOLE = ("epochs.csv", "layers.csv", "model.safetensors", "best.safetensors")


@pytest.fixture
def cell(tiny_cell: Callable) -> Callable:
    """Makes a cell of three epochs of four steps whose method updates every second step."""

    def make(
        method: str = "rigl",
        correction: str = "agc",
        objective: str = "standard",
        training: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Cell:
        fixed = CORRECTIONS[correction].target.fixed_batches
        return tiny_cell(
            method={"name": method, "options": often(method, rounds=EPOCHS)},
            sparsity=0.8 if METHODS[method].target.sparse else 0.0,
            correction=correction,
            objective={"name": objective, "options": FEW_STEPS.get(objective, {})},
            training={"epochs": EPOCHS, "fixed_batches": fixed, **(training or {})},
            **fields,
        )

    return make


def train_keeping_checkpoints(cell: Cell, folder: Path, machine: Machine) -> list[Path]:
    """Train without a break; returns folders as a kill in each epoch but the first leaves them."""
    killed: list[Path] = []

    def keep(row: dict[str, Any]) -> None:
        if row["epoch"] > 1:  # the checkpoint of the epoch before lies there
            killed.append(folder.with_name(f"{folder.name}-killed-{row['epoch']}"))
            shutil.copytree(folder, killed[-1])

    assert CellRun(cell, folder, machine, 0.0, keep).train() == "finished"
    assert len(killed) == EPOCHS - 1
    return killed


def assert_resumes(cell: Cell, folder: Path, machine: Machine) -> None:
    for done, killed in enumerate(train_keeping_checkpoints(cell, folder, machine), start=1):
        epochs: list[int] = []
        run = CellRun(cell, killed, machine, 0.0, lambda row, e=epochs: e.append(row["epoch"]))
        assert run.train() == "finished"
        assert epochs == list(range(done + 1, EPOCHS + 1))
        for name in WHOLE:
            assert (killed / name).read_bytes() == (folder / name).read_bytes(), name
        assert not (killed / "checkpoint.pt").exists()


@pytest.mark.parametrize(("method", "correction", "objective"), RUNS)
def test_a_resumed_run_has_the_bits_of_an_unbroken_one(
    cell: Callable, tmp_path: Path, machine: Machine, method: str, correction: str, objective: str
) -> None:
    assert_resumes(cell(method, correction, objective), tmp_path / "cell", machine)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", TRAININGS)
def test_schedules_and_optimizers_resume_too(
    cell: Callable, tmp_path: Path, machine: Machine, name: str
) -> None:
    assert_resumes(cell(training=TRAININGS[name]), tmp_path / "cell", machine)


@pytest.fixture
def saved(cell: Callable, tmp_path: Path) -> tuple[Cell, Path]:
    made = cell()
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, build(made), 1, {"rows": []})
    return made, path


def test_a_checkpoint_gives_back_its_epoch_and_progress(saved: tuple[Cell, Path]) -> None:
    made, path = saved
    assert checkpoint.load(path, build(made)) == (1, {"rows": []})


def refused(made: Cell, path: Path) -> str:
    """The one line with which a checkpoint is refused; the run is as it was."""
    run = build(made)
    before = [tensor.clone() for tensor in run.model.state_dict().values()]
    with pytest.raises(UserError) as caught:
        checkpoint.load(path, run)
    after = run.model.state_dict().values()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_a_truncated_checkpoint_is_refused(saved: tuple[Cell, Path], share: float) -> None:
    made, path = saved
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert "cannot be read" in refused(made, path)
    assert "remove it" in refused(made, path)


@pytest.mark.parametrize(
    "junk", [b"junk", b"PK\x03\x04" + bytes(200), pickle.dumps([1, 2], protocol=2)]
)
def test_a_file_that_is_no_checkpoint_is_refused(saved: tuple[Cell, Path], junk: bytes) -> None:
    made, path = saved
    path.write_bytes(junk)
    refused(made, path)


def test_flipped_bits_are_noticed_wherever_they_are(saved: tuple[Cell, Path]) -> None:
    made, path = saved
    content, run, refusals = path.read_bytes(), build(made), 0
    checkpoint.load(path, run)
    state = {name: tensor.clone() for name, tensor in run.model.state_dict().items()}
    step = len(content) // 60
    for place in range(0, len(content), step):
        broken = bytearray(content)
        broken[place] ^= 1 << (place % 8)
        path.write_bytes(broken)
        try:
            checkpoint.load(path, run)
        except UserError:
            refusals += 1
        # Some bytes are padding between the tensors: what they hold changes nothing.
        for name, tensor in run.model.state_dict().items():
            assert torch.equal(tensor, state[name])
    assert refusals > 30


def wide(tree: dict[str, Any]) -> None:
    name = next(iter(tree["method"]["masks"]))
    tree["method"]["masks"][name] = tree["method"]["masks"][name][:1]


def other_network(tree: dict[str, Any]) -> None:
    tree["model"].popitem()


def other_method(tree: dict[str, Any]) -> None:
    tree["method"]["made"]["class"] = "SET"


def no_correction(tree: dict[str, Any]) -> None:
    del tree["correction"]


def less(tree: dict[str, Any]) -> None:
    del tree["method"]["explored"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (wide, "method: masks["),
        (other_network, "model has no "),
        (other_method, "it is a state of SET"),
        (no_correction, "it has no correction"),
        (less, "method: it has no 'explored'"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(
    saved: tuple[Cell, Path], change: Callable, words: str
) -> None:
    made, path = saved
    tree = torch.load(path, weights_only=True)
    change(tree)
    torch.save(tree, path)
    message = refused(made, path)
    assert words in message
    assert "remove it to train this cell anew" in message


def test_a_missing_checkpoint_is_refused(saved: tuple[Cell, Path]) -> None:
    made, path = saved
    path.unlink()
    refused(made, path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 1}, "has format 1, this version reads 2"),
        ({"format": None}, "has format None"),
        ({"slug": "digits.other"}, "is of cell 'digits.other', not 'digits.resnet8"),
    ],
)
def test_another_version_or_cell_is_refused_by_name(
    saved: tuple[Cell, Path], change: dict[str, Any], message: str
) -> None:
    made, path = saved
    torch.save({**torch.load(path, weights_only=True), **change}, path)
    assert message in refused(made, path)


def test_a_tree_of_another_shape_is_refused(saved: tuple[Cell, Path]) -> None:
    made, path = saved
    torch.save([1, 2], path)
    assert "has format None" in refused(made, path)
    torch.save({"format": checkpoint.FORMAT}, path)
    refused(made, path)


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable, tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_never_run(saved: tuple[Cell, Path], how: str) -> None:
    made, path = saved
    mark = path.with_name("ran")
    tree = {**torch.load(path, weights_only=True), "progress": Bomb(mark)}
    if how == "torch":
        torch.save(tree, path)
    else:
        path.write_bytes(pickle.dumps(tree, protocol=2))
    assert "cannot be read" in refused(made, path)
    assert not mark.exists()
    torch.load(path, weights_only=False) if how == "torch" else pickle.loads(path.read_bytes())
    assert mark.exists()  # the bomb is a real one


def test_a_cell_with_a_foreign_checkpoint_is_not_trained(
    cell: Callable, saved: tuple[Cell, Path], tmp_path: Path, machine: Machine
) -> None:
    _, path = saved
    folder = tmp_path / "cell"
    folder.mkdir()
    path.rename(folder / "checkpoint.pt")
    with pytest.raises(UserError, match="is of cell"):
        CellRun(cell(seed=1), folder, machine).train()
    assert not (folder / "training.json").exists()


def test_a_failed_save_leaves_the_old_checkpoint(
    saved: tuple[Cell, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, path = saved
    content = path.read_bytes()

    def fail(tree: Any, to: Path) -> None:
        to.write_bytes(b"half")
        raise RuntimeError("PytorchStreamWriter failed writing file data/5: file write failed")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(UserError, match=r"cannot write .*checkpoint\.pt: PytorchStreamWriter"):
        checkpoint.save(path, build(made), 2, {})
    assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]
