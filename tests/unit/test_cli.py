from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from agc.cli import app
from agc.files import read_json
from agc.grids.cell import make_cell
from agc.records.schema import validate_record
from tests.support.command_line import SMALL, agc


def commands() -> dict[tuple[str, ...], Any]:
    """Every command with the words that call it."""
    found: dict[tuple[str, ...], Any] = {}

    def walk(command: Any, path: tuple[str, ...]) -> None:
        found[path] = command
        for name, below in getattr(command, "commands", {}).items():
            walk(below, (*path, name))

    walk(typer.main.get_command(app), ())
    return found


COMMANDS = commands()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path) -> Iterator[None]:
    """No command needs to be called from the repository."""
    with chdir(tmp_path):
        yield


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cell as the options of the command line describe it, trained and evaluated."""
    folder = tmp_path_factory.mktemp("trained") / "cell"
    sparse = ("--method", "rigl", "--sparsity", 0.9, "--correction", "agc")
    done = agc(*SMALL, *sparse, "--seed", 3, "--set", "training.optimizer.lr=0.05", "--out", folder)
    assert done.code == 0, done
    done = agc("evaluate", folder)
    assert done.code == 0, done
    return folder


def test_the_commands_are_those_of_the_manual() -> None:
    names = {path[0] for path in COMMANDS if path}
    assert names == {
        *("list", "plan", "train", "evaluate", "collect", "compare", "track"),
        *("inspect", "diagnose", "doctor", "data", "bench", "check", "export", "init", "tune"),
        *("predict", "readme", "report", "status"),
    }
    groups = {
        "track": {"sync", "check", "ui"},
        "data": {"prepare", "verify", "list"},
        "bench": {"attack", "data", "train"},
    }
    for group, below in groups.items():
        assert {path[1] for path in COMMANDS if len(path) == 2 and path[0] == group} == below


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_says_what_a_command_does_and_names_all_its_options(path: tuple[str, ...]) -> None:
    shown = agc(*path, "--help")
    assert shown.code == 0
    assert not shown.err
    command = COMMANDS[path]
    assert command.help.splitlines()[0].rstrip(".") in shown.out
    for parameter in command.params:
        names = parameter.opts if parameter.param_type_name == "option" else []
        for name in (name for name in names if name.startswith("--")):
            assert re.search(rf"{name}\b", shown.out), name
            assert getattr(parameter, "help", None), f"{name} has no help"


def test_the_program_and_the_module_are_the_same_command(tmp_path: Path) -> None:
    program = Path(sys.executable).parent / "agc"
    folder = Path(__file__).parents[2] / "workflows" / "grids"
    grids = ", ".join(sorted(path.stem for path in folder.glob("*.yaml")))
    for command in ([str(program)], [sys.executable, "-m", "agc"]):
        bad = subprocess.run(
            [*command, "plan", "nowhere"], capture_output=True, text=True, cwd=tmp_path
        )
        assert bad.returncode == 2
        assert bad.stderr == f"agc: error: unknown grid 'nowhere' (known: {grids})\n"
        assert not bad.stdout


def test_lists_name_every_entry_with_its_options() -> None:
    shown = agc("list", "methods")
    assert shown.code == 0
    first = {line.split()[0] for line in shown.out.splitlines() if line.strip()}
    assert {"dense", "static", "set", "rigl"} <= first
    assert "drop_fraction=0.3" in shown.out
    for heading in ("family", "source", "needs"):
        assert heading in shown.out
    corrections = agc("list", "corrections").out
    (row,) = (line for line in corrections.splitlines() if line.split()[:1] == ["agc"])
    assert row.split()[1:5] == ["10", "2", "PMLR", "234:341-378,"]
    everything = agc("list").out
    axes = ("datasets", "architectures", "methods", "corrections", "objectives", "attacks", "grids")
    for axis in axes:
        assert re.search(rf"^ *{axis} *$", everything, re.MULTILINE), axis
    assert "resnet8" in everything


def test_a_grid_that_cannot_be_loaded_is_listed_with_the_reason(
    repository: Path, tmp_path: Path
) -> None:
    grids = tmp_path / "workflows" / "grids"
    grids.mkdir(parents=True)
    good = (repository / "workflows" / "grids" / "digits.yaml").read_text(encoding="utf-8")
    (grids / "digits.yaml").write_text(good, encoding="utf-8")
    (grids / "other.yaml").write_text(good.replace("[digits]", "[mars]"), encoding="utf-8")
    shown = agc("list", "grids")
    assert shown.code == 0
    rows = {line.split("│")[0].strip(): line for line in shown.out.splitlines() if "│" in line}
    assert "160" in rows["digits"]
    assert "unknown dataset 'mars'" in " ".join(shown.out.split())
    assert "–" in rows["other"]


def test_the_plan_of_the_default_grid_counts_cells_and_units(repository: Path) -> None:
    shown = agc("plan", "digits", "--results", "nothing")
    assert shown.code == 0
    assert "160 cells, 0 finished; " in shown.out
    assert "left out" not in shown.out
    path = repository / "workflows" / "recipes" / "digits-default.yaml"
    epochs = yaml.safe_load(path.read_text())["training"]["epochs"]
    # None, placebo, agc, and plain runs of agc's units.
    a_seed = epochs * (3 + 3 + 10) + 40 * 3
    assert f"; {4 * 10 * a_seed} units; " in shown.out
    assert not Path("nothing").exists()


def test_a_plan_as_json_or_on_the_disk_holds_whole_cells() -> None:
    listed = json.loads(agc("plan", "digits", "--json").out)
    assert len(listed) == 160
    for slug, content in listed.items():
        assert make_cell(content).slug == slug
    named = agc("plan", "digits", "--cells", "--results", "here").out.split()
    assert set(listed) <= set(named)
    assert agc("plan", "digits", "--write", "--results", "here").code == 0
    written = {path.parent.name: read_json(path) for path in Path("here").glob("cells/*/cell.json")}
    assert {slug: content["cell"] for slug, content in written.items()} == listed


def test_training_by_options_leaves_a_record_that_says_the_same(trained: Path) -> None:
    record = read_json(trained / "record.json")
    validate_record(record, trained / "record.json")
    cell = record["cell"]
    assert (cell["method"]["name"], cell["correction"]["name"]) == ("rigl", "agc")
    assert (cell["sparsity"], cell["seed"], cell["training"]["epochs"]) == (0.9, 3, 1)
    assert cell["training"]["optimizer"]["lr"] == 0.05
    assert cell["architecture"]["options"] == {"width": 4}
    assert record["results"]["final"]["epoch"] == 1
    assert record["costs"]["units_per_epoch"] == 10
    # What is not given comes from the recipe of the data set.
    assert cell["training"]["augmentation"] == {"crop": 1, "flip": False}


def test_what_is_done_is_not_done_again(trained: Path) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in trained.iterdir()}
    slug = read_json(trained / "cell.json")["slug"]
    for command, told in (("train", "trained"), ("evaluate", "evaluated")):
        again = agc(command, trained)
        assert again.code == 0
        assert again.err == f"1/1 {slug}: {told} already, skipped\n"
    after = {path.name: path.stat().st_mtime_ns for path in trained.iterdir()}
    assert {name for name in after if after[name] != before[name]} <= {"record.json"}


def test_no_progress_bar_without_a_terminal() -> None:
    done = agc(*SMALL, "--out", "cell")
    assert done.code == 0
    assert not done.out
    # On a busy machine a line a minute comes before the last.
    *_, last = done.err.splitlines()
    assert re.fullmatch(r"1/1 digits\.resnet8\.standard\.dense\.none\.s0\.\w{8}: finished", last)


def test_the_doctor_names_what_it_looked_at() -> None:
    shown = agc("doctor")
    for name in ("python", "torch", "mlflow", "snakemake", "processors", "disk"):
        assert re.search(rf"^{name}\b", shown.out, re.MULTILINE), name
    assert shown.code == ("error" in shown.out)
