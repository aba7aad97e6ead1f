"""Diagnostics of gradient corrections: the numbers, and that the training does not notice."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex

from agc.cell import Cell
from agc.corrections.base import ReferencePoint
from agc.evaluation.diagnostics import PERCENTS, Watched, diagnose, relative_distance
from agc.evaluation.gradient_moments import Moments
from agc.files import read_json
from agc.results.diagnostic_figure import HIGHEST, WORTH, draw_diagnostics, write_diagnostic_figure
from agc.training.build import Run, build
from agc.training.loop import train
from tests.unit.test_cli import agc

RIGL = {"name": "rigl", "options": {"update_interval": 3, "end_fraction": 1.0}}
SPARSE = {"method": RIGL, "sparsity": 0.9}
ATTACK = {"name": "pgd-at", "options": {"steps": 2, "epsilon": 0.1, "step_size": 0.05}}
NAMES = ["first", "second"]


class LeastSquares:
    """Two weight vectors of a linear regression, gradients in closed form, all batches at hand."""

    def __init__(self, masked: bool = False) -> None:
        random = np.random.default_rng(3)
        self.sizes = {"first": 5, "second": 7}
        self.x = random.normal(size=(11, 9, 12)) * np.linspace(0.2, 2, 12)
        self.y = random.normal(size=(11, 9))
        self.here, self.there = random.normal(size=(2, 12))
        self.mask = random.random(12) < (0.6 if masked else 2)
        self.mask_then = random.random(12) < (0.6 if masked else 2)

    def gradients(self, weights: np.ndarray) -> np.ndarray:
        """Mean gradient of each batch, [batch, weight]."""
        residual = self.x @ weights - self.y
        return np.einsum("bij,bi->bj", self.x, residual) / self.x.shape[1]

    def split(self, flat: np.ndarray) -> dict[str, torch.Tensor]:
        first, second = np.split(flat, [self.sizes["first"]])
        return {"first": torch.tensor(first), "second": torch.tensor(second)}

    def moments(self) -> Moments:
        moments = Moments(self.split(self.here), self.split(self.mask), self.split(self.mask_then))
        pairs = zip(self.gradients(self.here), self.gradients(self.there), strict=True)
        for now, then in pairs:
            moments.add(self.split(now), self.split(then))
        return moments

    def ratio(self, c: np.ndarray | float, where: np.ndarray) -> float:
        """Variance of g + c (u - q) over that of g, by enumeration."""
        g, q = self.gradients(self.here), self.gradients(self.there)
        corrected = g + c * (q.mean(axis=0) - q)
        return (corrected.var(axis=0)[where].sum()) / g.var(axis=0)[where].sum()


@pytest.mark.parametrize("region", ["active", "all"])
@pytest.mark.parametrize("c", [0.0, 0.07, 0.6, 1.0, 2.5])
def test_the_ratio_is_that_of_enumeration_and_of_the_formula(region: str, c: float) -> None:
    problem = LeastSquares(masked=True)
    where = problem.mask if region == "active" else np.ones(12, dtype=bool)
    found = problem.moments().ratios(region, dict.fromkeys(NAMES, c))
    rho, s = found["correlation"], found["scale"]
    assert found["ratio_used"] == pytest.approx(problem.ratio(c, where), rel=1e-12)
    assert found["ratio_used"] == pytest.approx(1 - 2 * c * rho * s + c**2 * s**2, rel=1e-12)
    assert found["ratio_one"] == pytest.approx(problem.ratio(1.0, where), rel=1e-12)
    assert 0.05 < abs(rho) < 0.99


def test_the_best_coefficients_minimise_the_enumerated_variance() -> None:
    problem = LeastSquares(masked=True)
    found = problem.moments().ratios("active", None)
    assert found["ratio_used"] is None
    best = found["best_coefficient"]
    assert problem.ratio(best, problem.mask) == pytest.approx(found["ratio_best"], rel=1e-12)
    for other in (best - 0.01, best + 0.01):
        assert problem.ratio(other, problem.mask) > found["ratio_best"]
    assert found["ratio_best"] == pytest.approx(1 - found["correlation"] ** 2, rel=1e-12)

    def by_tensor(first: float, second: float) -> float:
        return problem.ratio(np.array([first] * 5 + [second] * 7), problem.mask)

    g, q = problem.gradients(problem.here), problem.gradients(problem.there)
    covariance = ((g - g.mean(axis=0)) * (q - q.mean(axis=0))).mean(axis=0)
    parts = [np.arange(12) < 5, np.arange(12) >= 5]
    fitted = [
        covariance[part & problem.mask].sum() / q.var(axis=0)[part & problem.mask].sum()
        for part in parts
    ]
    assert by_tensor(*fitted) == pytest.approx(found["ratio_layer"], rel=1e-12)
    assert found["ratio_layer"] < found["ratio_best"] - 1e-3
    for step in (-0.01, 0.01):
        assert by_tensor(fitted[0] + step, fitted[1]) > found["ratio_layer"]
        assert by_tensor(fitted[0], fitted[1] + step) > found["ratio_layer"]


@pytest.mark.parametrize("biased", [False, True])
def test_shares_of_the_correction_are_those_of_enumeration(biased: bool) -> None:
    problem = LeastSquares(masked=True)
    q = problem.gradients(problem.there)
    mean = q.mean(axis=0) + (0.5 * np.arange(12) if biased else 0)
    squares = ((mean - q) ** 2).sum(axis=0)
    found = problem.moments().shares(problem.split(mean) if biased else None)
    grown = problem.mask & ~problem.mask_then
    assert 0 < grown.sum() < problem.mask.sum()
    assert found["pruned_share"] == pytest.approx(squares[~problem.mask].sum() / squares.sum())
    assert found["grown_share"] == pytest.approx(squares[grown].sum() / squares.sum())


def test_at_the_snapshot_itself_nothing_is_left_at_one() -> None:
    problem = LeastSquares()
    problem.there = problem.here
    found = problem.moments().ratios("all", dict.fromkeys(NAMES, 0.5))
    assert found["ratio_one"] == pytest.approx(0, abs=1e-12)
    assert found["ratio_used"] == pytest.approx(0.25)
    assert found["correlation"] == found["scale"] == found["best_coefficient"] == pytest.approx(1)


def test_the_distance_is_relative_to_the_weights() -> None:
    model = torch.nn.Linear(1, 2)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[3.0], [0.0]]))
        model.bias.copy_(torch.tensor([0.0, 4.0]))
    other = ReferencePoint(model)
    with torch.no_grad():
        other.parameters["bias"].copy_(torch.tensor([0.0, 5.0]))
    assert relative_distance(model, other.module) == pytest.approx(0.2)


def outcome(run: Run) -> dict[str, Any]:
    """Train, and return all that a run leaves, bit by bit."""
    torch.manual_seed(5)
    losses = [loss for _, loss in train(run)]
    assert not run.meter.paused
    return {
        "losses": losses,
        "model": run.model.state_dict(),
        "gradients": [p.grad for p in run.model.parameters()],
        "modes": [module.training for module in run.model.modules()],
        "optimizer": run.optimizer.state_dict(),
        "method": run.method.state_dict(),
        "correction": run.correction.state_dict(),
        "diagnostics": run.correction.diagnostics(),
        "meter": run.meter.state_dict(),
        "random": torch.get_rng_state(),
    }


def assert_same(one: Any, other: Any) -> None:
    """Equal to the bit, however nested."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list | tuple):
        for mine, theirs in zip(one, other, strict=True):
            assert_same(mine, theirs)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


@pytest.mark.parametrize(
    "fields",
    [
        {"correction": "none"},
        {"correction": "agc", "objective": ATTACK},
        {"correction": {"name": "agc", "options": {"variant": "a-itop"}}},
        {"correction": {"name": "agc", "options": {"estimator": "online"}}},
        {"correction": "agc-running"},
        {"correction": "l-svrg"},
        {"correction": "scsg"},
        {"correction": "storm"},
        {"correction": "sam"},
        {"correction": "lookahead"},
        {"correction": "agc-recorded", "training": {"fixed_batches": True}},
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_the_training_does_not_notice(fields: dict[str, Any], tiny_cell: Callable) -> None:
    cell = tiny_cell(**{**SPARSE, **fields})
    plain = outcome(build(cell))
    run = build(cell)
    run.correction = watched = Watched(run, {1, 2}, batches=6)
    assert_same(plain, outcome(run))
    assert [(row["epoch"], row["percent"]) for row in watched.rows] == [
        (epoch, percent) for epoch in (1, 2) for percent in PERCENTS
    ]
    used = {row["ratio_used"] is None for row in watched.rows}
    assert used == {fields["correction"] in ("none", "sam", "lookahead", "agc-recorded")}
    assert all(math.isfinite(v) for row in watched.rows for v in row.values() if v is not None)


def test_dropout_draws_the_same_noise_at_both_points(tiny_cell: Callable) -> None:
    # The step is far too short to move the weights: both gradients differ by their noise alone.
    cell = tiny_cell(
        architecture={"name": "resnet18", "options": {"drop_path_rate": 0.5}},
        training={"epochs": 1, "optimizer": {"lr": 1e-12}, "batch_size": 8, "validation": 1429},
    )
    (*_, last), diverged = diagnose(cell, [1], batches=2)
    assert diverged is None
    assert last["correlation"] == pytest.approx(1, abs=1e-6)


def test_a_measurement_is_that_of_the_run_at_that_step(tiny_cell: Callable) -> None:
    # Independent: gradients of the same batches by hand, at weights that a spy has kept.
    cell = tiny_cell(correction={"name": "constant", "options": {"c": 0.3}}, **SPARSE)
    rows, _ = diagnose(cell, [2], batches=4)
    kept: list[dict[str, torch.Tensor]] = []
    masks: list[dict[str, torch.Tensor]] = []
    run = build(cell)
    original = run.correction.after_step

    def after_step() -> None:
        original()
        kept.append(copy.deepcopy(run.model.state_dict()))
        masks.append(copy.deepcopy(run.method.masks))

    run.correction.after_step = after_step
    list(train(run))
    assert [row["step"] for row in rows] == [1, 1, 1, 4]
    names = [name for name, _ in run.model.named_parameters()]
    for row, place in ((rows[0], 4), (rows[-1], 7)):
        gradients = []
        for weights in (kept[place], kept[3]):
            columns = []
            for batch in run.loader.epoch(2, "diagnostics"):
                run.model.load_state_dict(weights)
                run.model.zero_grad()
                torch.nn.functional.cross_entropy(run.model(batch.images), batch.labels).backward()
                found = [p.grad for p in run.model.parameters()]
                columns.append(torch.cat([g.flatten() for g in found]).double())
            gradients.append(torch.stack(columns))
        g, q = gradients
        active = torch.cat(
            [
                masks[place].get(name, torch.ones_like(p, dtype=torch.bool)).flatten()
                for name, p in run.model.named_parameters()
            ]
        )
        variance = g.var(dim=0)
        for suffix, where in (("", active), ("_all", torch.ones_like(active))):
            for key, c in (("ratio_used", 0.3), ("ratio_one", 1.0)):
                expected = (g - c * q).var(dim=0)[where].sum() / variance[where].sum()
                assert row[key + suffix] == pytest.approx(expected.item(), rel=1e-4)
        before, after = (torch.cat([kept[i][n].flatten() for n in names]) for i in (3, place))
        assert row["distance"] == pytest.approx(((after - before).norm() / after.norm()).item())
        assert row["mask_distance"] == sum(
            int((masks[place][name] != mask).sum()) for name, mask in masks[3].items()
        )
    assert rows[-1]["mask_distance"] > 0
    assert rows[-1]["grown_share"] > 0 == rows[0]["grown_share"]
    assert rows[0]["coefficient"] == pytest.approx(0.3)


def test_the_point_of_a_recursion_is_the_step_before(tiny_cell: Callable) -> None:
    fields = {**SPARSE, "training": {"epochs": 1}}
    old, _ = diagnose(tiny_cell(correction="svrg", **fields), [1], batches=3)
    new, _ = diagnose(tiny_cell(correction="storm", **fields), [1], batches=3)
    assert new[-1]["distance"] < old[-1]["distance"] / 1.5


def test_a_training_that_diverges_ends_the_diagnosis(tiny_cell: Callable) -> None:
    cell = tiny_cell(training={"optimizer": {"lr": 1e9}})
    rows, diverged = diagnose(cell, [1, 2], batches=2)
    assert diverged == 1
    assert {row["epoch"] for row in rows} == {1}


def written(cell: Cell, folder: Path) -> Path:
    folder.mkdir()
    cell.write(folder)
    return folder


def test_the_command_writes_a_table_and_a_figure_beside_the_cell(
    tiny_cell: Callable, tmp_path: Path
) -> None:
    cell = tiny_cell(correction="agc", **SPARSE)
    folder = written(cell, tmp_path / "cell")
    before = (folder / "cell.json").read_bytes()
    done = agc("diagnose", folder, "--device", "cpu", "--batches", 3)
    assert done.code == 0, done
    out = folder / "diagnostics"
    assert sorted(path.name for path in out.iterdir()) == [
        f"diagnostics.{suffix}" for suffix in ("csv", "png", "svg")
    ]
    assert sorted(path.name for path in folder.iterdir()) == ["cell.json", "diagnostics"]
    assert (folder / "cell.json").read_bytes() == before
    table = pd.read_csv(out / "diagnostics.csv")
    measured = ["ratio_used", "ratio_one", "ratio_best", "ratio_layer"]
    measured += ["best_coefficient", "correlation", "scale"]
    assert list(table.columns) == [
        *("slug", "epoch", "percent", "step", "steps", "coefficient"),
        *measured,
        *(f"{name}_all" for name in measured),
        *("distance", "pruned_share", "grown_share", "mask_distance", "active_weights"),
    ]
    assert set(table["slug"]) == {cell.slug}
    assert list(table["epoch"]) == [1] * 4 + [2] * 4
    assert list(table["percent"]) == list(PERCENTS) * 2
    assert np.isfinite(table.drop(columns="slug").to_numpy(dtype=float)).all()
    lines = [line.split() for line in done.out.splitlines()]
    shown = [line for line in lines if line[:2] in (["1", "100"], ["2", "100"])]
    assert [float(line[4]) for line in shown] == [
        round(table["ratio_used"][index], 3) for index in (3, 7)
    ]
    # The same numbers by the file's path, for one epoch, elsewhere; the same bytes in each file.
    again = tmp_path / "again"
    done = agc(
        *("diagnose", folder / "cell.json", "--epochs", "1,2", "--out", again),
        *("--device", "cpu", "--batches", 3),
    )
    assert done.code == 0, done
    for path in out.iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()


def test_a_correction_without_a_coefficient_leaves_its_columns_empty(
    tiny_cell: Callable, tmp_path: Path
) -> None:
    folder = written(tiny_cell(method="dense"), tmp_path / "cell")
    done = agc("diagnose", folder, "--epochs", "1", "--device", "cpu", "--batches", 2)
    assert done.code == 0, done
    table = pd.read_csv(folder / "diagnostics" / "diagnostics.csv")
    empty = {name for name in table if table[name].isna().all()}
    assert empty == {"coefficient", "ratio_used", "ratio_used_all"}
    assert (table["pruned_share"] == 0).all()
    assert (table["ratio_one"] == table["ratio_one_all"]).all()
    assert read_json(folder / "cell.json")["cell"]["correction"]["name"] == "none"


@pytest.mark.parametrize("epochs", ["0", "3", "1,", "one", ""])
def test_epochs_that_are_not_there_are_one_line(
    epochs: str, tiny_cell: Callable, tmp_path: Path
) -> None:
    folder = written(tiny_cell(), tmp_path / "cell")
    message = agc("diagnose", folder, "--epochs", epochs).message
    assert message == f"--epochs {epochs!r}: expected numbers from 1 to 2, with commas"
    assert "nowhere/cell.json does not exist" in agc("diagnose", "nowhere/cell.json").message


def table(*ratios: float, used: float | None = 0.9) -> pd.DataFrame:
    rows = [
        {
            **{"epoch": epoch, "percent": percent, "step": step, "steps": 20},
            **{"ratio_used": used, "ratio_one": one, "ratio_best": 0.4, "ratio_layer": 0.3},
        }
        for epoch in (1, 4)
        for percent, step, one in zip(PERCENTS, (1, 2, 7, 20), ratios, strict=True)
    ]
    return pd.DataFrame(rows)


def test_the_figure_has_a_panel_for_each_epoch_with_both_levels(tmp_path: Path) -> None:
    figure = draw_diagnostics(table(0.1, 0.5, 1.2, 3.4), "a cell")
    assert [axis.get_title() for axis in figure.axes] == ["epoch 1", "epoch 4"]
    first = figure.axes[0]
    levels = [line.get_ydata()[0] for line in first.lines[:2]]
    assert levels == [1.0, WORTH]
    used, one, *_ = first.lines[2:]
    np.testing.assert_allclose(one.get_xdata(), [5, 10, 35, 100])
    np.testing.assert_allclose(one.get_ydata(), [0.1, 0.5, 1.2, 3.4])
    assert to_hex(used.get_color()) != to_hex(one.get_color())
    # What the panel does not reach is told as a number.
    assert first.get_ylim()[1] < 1.2 * HIGHEST
    assert [text.get_text() for text in first.texts] == ["3.4"]

    without = draw_diagnostics(table(0.1, 0.2, 0.3, 0.4, used=None), "a cell")
    assert len(without.axes[0].lines) == 2 + 3
    assert 1 < without.axes[0].get_ylim()[1] < 1.2
    paths = write_diagnostic_figure(table(0.1, 0.2, 0.3, 0.4), "a cell", tmp_path)
    assert [path.name for path in paths] == ["diagnostics.png", "diagnostics.svg"]
