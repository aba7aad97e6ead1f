from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pandas as pd
import pytest
import yaml

from agc.files import read_json, write_json
from agc.grids.grid import load_grid
from agc.records.read import read_record
from tests.support.command_line import SMALL, agc


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path) -> Iterator[None]:
    """No command needs to be called from the repository."""
    with chdir(tmp_path):
        yield


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid with two plain cells and two whose learning rate makes them diverge, run to tables.

    Holds ``grid.yaml``, ``results`` and ``reports``.
    """
    root = tmp_path_factory.mktemp("study")
    shared = {"dataset": "digits", "architecture": "resnet8", "method": "rigl", "sparsity": 0.9}
    wild = {**shared, "training": {"optimizer": {"lr": 1e6}}}
    content = {
        "description": "two of four diverge",
        "recipe": "small",
        "datasets": ["digits"],
        "architectures": [{"name": "resnet8", "width": 4}],
        "objectives": ["standard"],
        "methods": ["rigl"],
        "sparsities": [0.9],
        "corrections": ["none", "agc"],
        "seeds": 1,
        "include": [
            {**wild, "architecture": {"name": "resnet8", "width": 4}, "correction": name}
            for name in ("none", "agc")
        ],
    }
    recipe = {"training": {"epochs": 2, "validation": 1181}, "evaluation": {"steps": 2}}
    for kind, name, text in (("grids", "mixed", content), ("recipes", "small", recipe)):
        path = root / "workflows" / kind / f"{name}.yaml"
        path.parent.mkdir(parents=True)
        path.write_text(yaml.safe_dump(text))
    with chdir(root):
        steps: list[tuple[object, ...]] = [("plan", "mixed", "--write")]
        folders = [f"results/cells/{cell.slug}" for cell in load_grid("mixed").cells]
        steps += [("train", *folders), ("evaluate", *folders)]
        steps += [("collect", "mixed"), ("compare", "mixed"), ("track", "sync", "mixed")]
        for step in steps:
            done = agc(*step)
            assert done.code == 0, (step, done)
    return root


def options(**changes: object) -> list[object]:
    given = {"dataset": "digits", "architecture": "resnet8", **changes}
    return [part for key, value in given.items() for part in (f"--{key}", value)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (options(dataset="digit"), "unknown dataset 'digit'; did you mean 'digits'?"),
        (options(architecture="resnt8"), "unknown architecture 'resnt8'; did you mean 'resnet8'?"),
        (options(method="rigL", sparsity=0.9), "unknown method 'rigL'; did you mean 'rigl'?"),
        (options(correction="agcc"), "unknown correction 'agcc'; did you mean 'agc'?"),
        (options(objective="pgdat"), "unknown objective 'pgdat'; did you mean 'pgd-at'?"),
        (options(recipe="digit"), "unknown recipe 'digit'; did you mean 'digits'?"),
        (options(method="rigl", sparsity=1.2), "sparsity = 1.2: Input should be less than 1"),
        (options(method="rigl"), "method 'rigl' needs a sparsity above 0"),
        (options(sparsity=0.9), "method 'dense' has no sparsity, got 0.9"),
        (options(epochs=0), "training.epochs = 0"),
        (options(set="training.optimizer.lrr=1"), "unknown key 'training.optimizer.lrr'"),
        (options(set="training.optimizer.lr=-1"), "training.optimizer.lr = -1: Input should be gr"),
        (options(set="correction.options.gama=1"), "unknown option of correction 'none' 'gama'"),
        (options(set="lr"), "--set 'lr': expected KEY=VALUE"),
        (options(set="seed=["), "--set 'seed=[': the value is not YAML"),
        ([*options(set="seed=1"), "--set", "seed=2"], "--set 'seed=2': seed is set twice"),
        (
            options(set="training.optimizer={lr: 0.1, lr: 0.2}"),
            "the value is not YAML (key 'lr' is given twice, first in line 1)",
        ),
        (options(set="training.optimizer.name=adahessian"), "optimizer 'adahessian': it diff"),
        (options(set="training.batch_size=5000"), "batch_size 5000 exceeds the"),
        (options(set="training.validation=5000"), "validation = 5000.0 holds 5000 of 1437"),
        (options(set="training.optimizer.name=sgdd"), "optimizer 'sgdd'"),
        (options(device="cuda:99"), "device 'cuda:99' is not there: "),
        (options(device="toaster"), "device 'toaster' is not there: "),
        (["--dataset", "digits"], "give cells, or at least --dataset and --architecture"),
        (["nowhere"], "nowhere does not exist"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_input_is_one_line_before_anything_is_computed(
    arguments: list[object], message: str
) -> None:
    given = agc("train", *arguments, *([] if "nowhere" in arguments else ["--out", "cell"]))
    assert message in given.message
    # What there is to choose from comes after what is wrong.
    assert len(given.message.partition(" (known: ")[0]) < 300
    assert len(given.message) < 700
    assert not list(Path("cell").glob("train.log"))
    assert not list(Path("cell").glob("epochs.csv"))


def test_a_layer_that_would_keep_no_weight_is_named() -> None:
    many = ("--set", "method.options.distribution=uniform", "--method", "rigl")
    message = agc(*SMALL, *many, "--sparsity", 0.99999, "--out", "cell").message
    assert re.search(
        r"uniform at sparsity 0.99999 gives layer '\S+' 0.00 of its \d+ weights", message
    )


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/agc", "/proc/agc/below"])
def test_a_folder_that_cannot_be_written_is_one_line(place: str, study: Path) -> None:
    Path("file").touch()
    assert f"cannot write {place}" in agc(*SMALL, "--out", place).message
    assert "cannot write" in agc("plan", "digits", "--write", "--results", place).message
    with chdir(study):
        (study / "file").touch()
        assert "cannot write" in agc("compare", "mixed", "--reports", place).message
    assert "cannot lock" in agc("track", "sync", "digits", "--results", place).message
    unfit = agc("doctor", "--results", place)
    assert place.startswith("/proc") or (unfit.code == 1 and "cannot be written" in unfit.out)


def test_a_misspelt_key_of_a_grid_is_named_with_its_file(study: Path) -> None:
    text = (study / "workflows" / "grids" / "mixed.yaml").read_text()
    Path("wrong.yaml").write_text(text.replace("methods:", "metods:"))
    message = agc("plan", "wrong.yaml").message
    assert message.startswith("wrong.yaml: unknown key 'metods'; did you mean 'methods'?")


def test_a_key_given_twice_is_named_with_its_file_and_line(study: Path) -> None:
    text = (study / "workflows" / "grids" / "mixed.yaml").read_text()
    Path("twice.yaml").write_text(f"{text}\nseeds: 3\n")
    given = agc("plan", "twice.yaml")
    assert given.code == 2
    assert given.message.startswith("twice.yaml: key 'seeds' is given twice, first in line")


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("cell.json", "train"),
        ("training.json", "train"),
        ("training.json", "evaluate"),
        ("robustness.json", "evaluate"),
        ("record.json", "collect"),
        ("epochs.csv", "collect"),
    ],
)
def test_a_truncated_file_is_named(name: str, command: str, study: Path) -> None:
    shutil.copytree(study, "copy")
    with chdir("copy"):
        slug = load_grid("mixed").cells[0].slug
        path = Path("results", "cells", slug, name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        before = {p: p.stat().st_mtime_ns for p in Path("results").rglob("*") if p.is_file()}
        arguments = ["mixed"] if command == "collect" else [path.parent]
        message = agc(command, *arguments).message
        assert str(path) in message
        after = {p: p.stat().st_mtime_ns for p in Path("results").rglob("*") if p.is_file()}
        assert after == before


def test_weights_that_are_broken_or_of_another_training_are_refused(study: Path) -> None:
    shutil.copytree(study, "copy")
    with chdir("copy"):
        folder = Path("results", "cells", load_grid("mixed").cells[0].slug)
        (folder / "robustness.json").unlink()
        weights = folder / "model.safetensors"
        whole = weights.read_bytes()
        weights.write_bytes(whole[: len(whole) // 2])
        assert f"{weights} cannot be loaded" in agc("evaluate", folder).message
        weights.write_bytes(whole)
        training = read_json(folder / "training.json")
        training["final"]["test_accuracy"] += 0.3
        write_json(folder / "training.json", training)
        assert "the saved weights have test accuracy" in agc("evaluate", folder).message
        assert not (folder / "robustness.json").exists()


def test_one_broken_cell_of_many_does_not_stop_the_others(study: Path) -> None:
    cells = load_grid(str(study / "workflows" / "grids" / "mixed.yaml")).cells[:2]
    for cell in cells:
        cell.write(Path(cell.slug))
    Path(cells[0].slug, "checkpoint.pt").write_bytes(b"junk")
    done = agc("train", *(cell.slug for cell in cells))
    assert done.code == 2
    first, second, last = done.err.splitlines()
    assert first.startswith(
        f"agc: error: {cells[0].slug}: checkpoint {cells[0].slug}/checkpoint.pt"
    )
    assert second == f"1/2 {cells[1].slug}: finished"
    assert last == "agc: 1 of 2 cells failed"
    assert Path(cells[1].slug, "training.json").exists()


def test_training_anew_drops_what_was_measured_on_earlier_weights(study: Path) -> None:
    shutil.copytree(study, "copy")
    with chdir("copy"):
        folder = Path("results", "cells", load_grid("mixed").cells[0].slug)
        (folder / "training.json").unlink()
        assert agc("train", folder).code == 0
        assert not (folder / "robustness.json").exists()
        assert not (folder / "record.json").exists()


def test_a_diverged_cell_is_recorded_shown_and_mirrored(study: Path) -> None:
    records = [read_record(path.parent) for path in study.glob("results/cells/*/record.json")]
    assert sorted(record["status"] for record in records) == ["diverged"] * 2 + ["finished"] * 2
    for record in records:
        if record["status"] == "diverged":
            assert record["cell"]["training"]["optimizer"]["lr"] == 1e6
            assert record["diverged_epoch"] == 1  # so that no epoch was recorded at all
            assert record["costs"]["epochs"] == 0
            assert record["results"] == {"final": None, "best": None}
        folder = study / "results" / "cells" / record["slug"]
        assert (folder / "model.safetensors").exists() == (record["status"] == "finished")
    comparison = pd.read_csv(study / "reports" / "mixed" / "comparison.csv")
    wild = comparison[comparison["recipe"].str.contains("1000000")]
    assert len(comparison) == 2
    assert wild[["plain_seeds", "plain_diverged", "corrected_diverged"]].to_numpy().tolist() == [
        [1, 1, 1]
    ]
    with chdir(study):
        assert "diverged" in agc("compare", "mixed", "--show").out
        assert agc("track", "check", "mixed").code == 0
    with sqlite3.connect(study / "results" / "mlflow.db") as database:
        tags = database.execute("select value from tags where key = 'agc.status'").fetchall()
    assert sorted(tag for (tag,) in tags) == ["diverged"] * 2 + ["finished"] * 2


def test_a_plan_predicts_from_the_cells_that_are_there(study: Path) -> None:
    with chdir(study):
        shown = agc("plan", "mixed").out
    assert "4 cells, 4 finished; " in shown
    assert re.search(
        r"about \d+\.\d minutes of one core .* \(from: \d finished cells here\)", shown
    )


def test_a_report_is_drawn_anew_from_its_own_files_alone(study: Path) -> None:
    shutil.copytree(study / "workflows", "workflows")
    published = Path("published", "mixed")
    shutil.copytree(study / "reports" / "mixed", published)
    for name in ("figures", "tables"):
        shutil.rmtree(published / name)

    def content(folder: Path) -> dict[str, bytes]:
        """All but the page, which leads to the cells where there are some."""
        assert (folder / "report.html").is_file()
        files = {path.name: path for path in folder.iterdir() if path.is_file()}
        return {name: files[name].read_bytes() for name in files.keys() - {"report.html"}}

    before = content(published)
    drawn = agc("compare", "mixed", "--from", published)
    assert drawn.code == 0
    assert not Path("results").exists()
    # Beside the files that it came from as well as elsewhere.
    assert agc("compare", "mixed", "--from", published, "--reports", "published").code == 0
    for folder in (Path("reports", "mixed"), published):
        assert content(folder) == before
        for name in ("figures", "tables"):
            made = {path.name for path in (folder / name).iterdir()}
            assert made == {path.name for path in (study / "reports" / "mixed" / name).iterdir()}


def test_a_report_that_cannot_be_drawn_is_one_line(study: Path) -> None:
    shutil.copytree(study, "copy")
    with chdir("copy"):
        given = ("compare", "mixed", "--from")
        assert agc(*given, "nowhere").message.startswith("nowhere/records.parquet does not exist")
        source = Path("reports", "mixed")
        assert "--from draws new ones" in agc(*given, source, "--show").message
        path = source / "epochs.parquet"
        path.write_bytes(path.read_bytes()[:500])
        assert f"{path} cannot be read as a table: " in agc(*given, source).message
        pd.DataFrame({"slug": ["a"]}).to_parquet(path)
        assert f"{path} lacks the column 'epoch'" in agc(*given, source).message
        path.unlink()
        assert f"{path} does not exist" in agc(*given, source).message
