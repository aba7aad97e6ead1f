"""The benchmark of training steps, on the CPU and in small: every part is there and adds up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agc.benchmarks import plain_loop, training_speed
from agc.benchmarks.clock import Clock, compared
from agc.benchmarks.training_speed import Settings, measure
from agc.benchmarks.training_steps import CASES, case
from agc.errors import UserError
from agc.planning.declared import units_per_epoch, units_per_step
from agc.training.compiled import CompiledCalls
from tests.support.command_line import agc

KINDS = {"float32", "bfloat16, channels_last"}

OFFICIAL = {
    "main.py": """
import torch
from sparselearning.core import Masking
torch.backends.cudnn.benchmark = True
logger = None
def train(args, model, older, device, batches, optimizer, older_optimizer, epoch, mask):
    for images, labels in batches:
        optimizer.zero_grad()
        torch.nn.functional.nll_loss(model(images), labels).backward()
        optimizer.step()
        mask.steps += args.update_frequency
""",
    "sparselearning/__init__.py": "",
    "sparselearning/core.py": """
def add_sparse_args(parser):
    for name, default in (("death", "magnitude"), ("redistribution", "none"), ("growth", "random")):
        parser.add_argument(f"--{name}", default=default)
    parser.add_argument("--death-rate", type=float, default=0.5)
    parser.add_argument("--density", type=float)
    parser.add_argument("--update_frequency", type=int)
class CosineDecay:
    def __init__(self, rate, steps): pass
class Masking:
    def __init__(self, optimizer, **options): self.steps = 0
    def add_module(self, model, density, sparse_init):
        self.masks = [weight.detach().cuda() for weight in model.parameters()]
""",
    "sparselearning/train_helper.py": """
from torch.optim import SGD as Theirs
SGD = Theirs
def SGD_snap(parameters): return Theirs(parameters, lr=0.0)
""",
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four cases, two levers, no other processes, and always a moment left: one round of each."""
    monkeypatch.setattr(Clock, "left", 0.001)
    for name in ("rigl svrg", "rigl agc online", "rigl none pgd-at", "rigl agc pgd-at"):
        monkeypatch.delitem(CASES, name)
    for name in list(plain_loop.LEVERS)[2:]:
        monkeypatch.delitem(plain_loop.LEVERS, name)
    monkeypatch.setattr(training_speed, "PACKED", ())


@pytest.fixture
def official(tmp_path: Path) -> Path:
    """A folder with what is called of the official code, in short."""
    folder = tmp_path / "A-ITOP"
    for name, text in OFFICIAL.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.mark.usefixtures("small")
def test_every_part_is_measured_and_written_as_soon_as_it_is_there(official: Path) -> None:
    written: list[dict[str, Any]] = []
    settings = Settings(("resnet8",), batch=4, size=8, seconds=60, official=official)
    found = measure(settings, "cpu", written.append)
    assert [len(report) for report in written] == sorted(len(report) for report in written)
    assert len(written) == 6
    assert set(found) == {"steps", "bits", "official", "levers", "packed", "seconds"}
    assert found["bits"] == dict.fromkeys(KINDS, True)
    beside = found["official"]["resnet8"]["ours"]
    assert list(beside) == list(training_speed.OURS)
    assert all(way["ratio"] > 0 for way in beside.values() if "error" not in way)
    assert [row["name"] for row in found["levers"]["resnet8"]] == list(plain_loop.LEVERS)
    assert set(found["steps"]["resnet8"]) == KINDS
    for rows in found["steps"]["resnet8"].values():
        assert [row["name"] for row in rows] == ["plain loop", *CASES]
        assert rows[0]["ratio"] == 1
        for row in rows[1:]:
            assert row["over_units"] == pytest.approx(row["ratio"] / row["units"])
            assert "kernels" not in row, "a CPU launches none"


@pytest.mark.usefixtures("small")
def test_without_a_compiler_the_other_ways_are_measured(
    official: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*arguments: Any) -> None:
        raise UserError("no compiler")

    monkeypatch.setattr(CompiledCalls, "try_out", refuses)
    settings = Settings(("resnet8",), batch=4, size=8, seconds=60, official=official)
    beside = training_speed.official("resnet8", settings, Clock("cpu", 60), 0)["ours"]
    assert set(beside) == set(training_speed.OURS)
    for name, way in beside.items():
        assert way == {"error": "no compiler"} if "compiled" in name else way["ratio"] > 0


def test_a_part_that_fails_says_so_and_the_others_are_there(
    small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*arguments: Any) -> Any:
        raise RuntimeError("no engine\nand a long trace")

    monkeypatch.setattr(training_speed, "started", fails)
    found = measure(Settings(("resnet8",), 4, 8, 60), "cpu", lambda report: None)
    assert found["bits"] == found["levers"]["resnet8"] == {"error": "no engine"}
    assert found["packed"] == []


def test_no_part_is_begun_when_the_time_is_over() -> None:
    assert set(measure(Settings(("resnet8",), 4, 8, 0), "cpu", lambda report: None)) == {"seconds"}


def test_steps_take_turns_and_are_compared_round_by_round() -> None:
    order: list[str] = []
    clock = Clock("cpu", 60)
    taken = clock.in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 0, 2)
    assert "".join(order[-4:]) == "aabb"
    assert len(taken["a"]) == len(taken["b"]) == 1
    row = compared([2.0, 4.0, 60.0, 8.0], [1.0, 2.0, 3.0, 2.0], images=3)
    assert row["ms"] == 6
    assert row["ratio"] == 3
    assert row["images_per_second"] == 500


@pytest.mark.parametrize(
    ("name", "step", "epoch"),
    [("rigl none", 3, 3), ("rigl agc", 6, 10), ("rigl agc pgd-at", 36, 70)],
)
def test_a_step_costs_what_an_epoch_does_without_its_pass(
    name: str, step: float, epoch: float
) -> None:
    cell = case(name, "resnet8", 4, 8)
    assert (units_per_step(cell), units_per_epoch(cell)) == (step, epoch)


def test_a_folder_that_is_not_the_official_code_s_is_refused(tmp_path: Path) -> None:
    from agc.benchmarks.official_code import OfficialCode

    with pytest.raises(UserError, match=r"it has no main\.py"):
        OfficialCode(tmp_path, None, [])


@pytest.mark.usefixtures("small")
def test_the_command_writes_the_file_that_the_page_of_cards_is_made_of(tmp_path: Path) -> None:
    from agc.reports.text.cards import cards

    path = tmp_path / "gpu" / "card.json"
    size = ("--network", "resnet8", "--batch", 4, "--size", 8, "--seconds", 1)
    shown = agc("bench", "train", *size, "--device", "cpu", "--out", path)
    assert shown.code == 0, shown
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["provenance"]["torch"]
    assert "plain loop" in shown.out
    assert "| resnet8 | float32 | rigl agc |" in cards(tmp_path)
