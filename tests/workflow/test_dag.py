from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from agc.records.read import read_record
from agc.reports.report import PUBLISHED
from tests.support.project import Project, environment, job_counts

# The cell of the grid "tiny" that one of the tests changes.
EXTRA = {
    "dataset": "digits",
    "architecture": "resnet8",
    "method": "rigl",
    "sparsity": 0.9,
    "correction": "agc",
    "seed": 7,
}
SIZES = {"cells_per_job": 5, "evaluations_per_job": 9}
FILES = {
    "cell.json",
    "epochs.csv",
    "timings.csv",
    "layers.csv",
    "training.json",
    "robustness.json",
    "record.json",
    "model.safetensors",
    "best.safetensors",
    "correct.npz",
    "train.log",
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Project:
    """A grid that has been run once, from an empty folder; the tests below go on from there."""
    made = Project(tmp_path_factory.mktemp("dag"), repository)
    made.grid("tiny", include=[EXTRA])
    assert not (made.folder / "results").exists()
    code, output = made.snakemake(grid="tiny", **SIZES)
    assert code == 0, output
    return made


def starts(project: Project, slug: str) -> int:
    """How often the training of a cell has begun."""
    return (project.cell(slug) / "train.log").read_text().count(" start on ")


def test_every_cell_leaves_the_files_of_its_record_and_nothing_else(project: Project) -> None:
    cells = project.cells("tiny")
    assert len(cells) == 9
    assert {path.name for path in project.cell("x").parent.iterdir()} == set(cells)
    for slug, cell in cells.items():
        folder = project.cell(slug)
        shown = {path.name for path in folder.iterdir()} - {".lock", ".trained"}
        assert shown == FILES
        record = read_record(folder)
        assert record["cell"] == cell.model_dump(mode="json")
        assert record["status"] == "finished"
        assert record["costs"]["epochs"] == cell.training.epochs
        assert starts(project, slug) == 1


def test_tables_and_figures_are_made_of_the_cells(project: Project) -> None:
    reports = project.folder / "reports" / "tiny"
    collected = project.folder / "results" / "tiny"
    cells = project.cells("tiny")
    assert set(pd.read_parquet(collected / "records.parquet")["slug"]) == set(cells)
    epochs = pd.read_parquet(collected / "epochs.parquet")
    assert epochs.groupby("slug")["epoch"].apply(list).to_dict() == {s: [1, 2] for s in cells}
    comparison = pd.read_csv(reports / "comparison.csv")
    rows = set(zip(comparison["method"], comparison["objective"], strict=True))
    assert rows == {(m, o) for m in ("dense", "rigl") for o in ("standard", "pgd-at")}
    for name in ("accuracy", "acceleration", "cost", "claims", "pooled", "comparison"):
        for suffix in ("md", "tex"):
            assert (reports / "tables" / f"{name}.{suffix}").stat().st_size > 0
    figures = {path.stem for path in (reports / "figures").glob("*.svg")}
    assert {"summary", "accuracy-by-epochs-standard"} <= figures
    assert figures - {"summary"} == {path.stem for path in (reports / "figures").glob("*.png")}
    published = {path.name for path in reports.iterdir()}
    assert published == {*PUBLISHED, "summary.png", "report.html", "tables", "figures"}
    kept, shown = (pd.read_parquet(place / "records.parquet") for place in (collected, reports))
    pd.testing.assert_frame_equal(kept.drop(columns="provenance_hostname"), shown)


def test_mlflow_holds_one_complete_run_per_cell(project: Project) -> None:
    cells = project.cells("tiny")
    with sqlite3.connect(project.folder / "results" / "mlflow.db") as database:
        runs = database.execute(
            "select tags.value, runs.run_uuid, runs.status, runs.artifact_uri, experiments.name"
            " from runs join tags using (run_uuid) join experiments using (experiment_id)"
            " where tags.key = 'agc.cell' and runs.lifecycle_stage = 'active'"
        ).fetchall()
        (others,) = database.execute(
            "select count(*) from runs where run_uuid not in"
            " (select run_uuid from tags where key = 'agc.cell')"
        ).fetchone()
        (arms,) = database.execute(
            "select count(distinct value) from tags where key = 'mlflow.parentRunId'"
        ).fetchone()
        assert others == arms
        assert sorted(run[0] for run in runs) == sorted(cells)
        for slug, run, status, artifacts, experiment in runs:
            assert (status, experiment) == ("FINISHED", "tiny")
            parameters = dict(
                database.execute("select key, value from params where run_uuid = ?", (run,))
            )
            assert parameters["method"] == cells[slug].method.name
            assert parameters["training.epochs"] == "2"
            history = database.execute(
                "select value from metrics where run_uuid = ? and key = 'test_accuracy'"
                " order by step",
                (run,),
            ).fetchall()
            expected = pd.read_csv(project.cell(slug) / "epochs.csv")["test_accuracy"]
            assert [value for (value,) in history] == pytest.approx(list(expected))
            kept = {path.name for path in Path(artifacts.removeprefix("file://")).iterdir()}
            assert {"cell.json", "record.json", "epochs.csv", "model.safetensors"} <= kept


def test_a_second_call_runs_nothing_and_says_so(project: Project) -> None:
    before = project.trained("tiny")
    code, output = project.snakemake(grid="tiny", **SIZES)
    assert code == 0, output
    assert "Nothing to be done" in output
    assert project.trained("tiny") == before


def test_a_finished_bundle_is_skipped_cell_by_cell(project: Project) -> None:
    before = project.trained("tiny")
    folders = [f"results/cells/{slug}" for slug in before]
    for command, told in (("train", "trained already"), ("evaluate", "evaluated already")):
        done = project.agc(command, *folders)
        assert done.returncode == 0, done.stderr
        lines = done.stderr.splitlines()
        assert lines == [f"{n}/9 {s}: {told}, skipped" for n, s in enumerate(before, start=1)]
    assert project.trained("tiny") == before


def test_only_cells_that_were_deleted_or_changed_are_trained(project: Project) -> None:
    tables = [project.folder / "reports" / "tiny" / "comparison.csv"]
    tables += [project.folder / "results" / "tiny" / "records.parquet"]
    written = [path.stat().st_mtime_ns for path in tables]
    changed = next(slug for slug, cell in project.cells("tiny").items() if cell.seed == 7)
    deleted = next(slug for slug in project.cells("tiny") if ".pgd-at.rigl-0.9.agc." in slug)
    shutil.rmtree(project.cell(deleted))
    code, output = project.snakemake("--dry-run", grid="tiny", **SIZES)
    assert code == 0, output
    assert job_counts(output)["train"] == 1  # the bundle that it is in, and no other

    project.grid("tiny", include=[{**EXTRA, "training": {"optimizer": {"lr": 0.05}}}])
    project.grid("other", methods=["rigl"], objectives=["standard"])
    before = project.trained("tiny", "other")
    assert len(before) == 7
    assert set(project.cells("other")) <= set(before)
    wanted = ["reports/tiny/comparison.csv", "results/other/records.parquet"]
    code, output = project.snakemake(*wanted, grid="tiny,other", **SIZES)
    assert code == 0, output

    after = project.trained("tiny", "other")
    new = next(slug for slug, cell in project.cells("tiny").items() if cell.seed == 7)
    assert new != changed
    assert set(after) - set(before) == {deleted, new}
    assert {slug: after[slug] for slug in before} == before
    assert all(starts(project, slug) == 1 for slug in after)
    assert all(p.stat().st_mtime_ns > t for p, t in zip(tables, written, strict=True))
    records = pd.read_parquet(project.folder / "results" / "tiny" / "records.parquet")
    assert set(records["slug"]) == set(project.cells("tiny"))
    shared = pd.read_parquet(project.folder / "results" / "other" / "records.parquet")
    assert set(shared["slug"]) == set(project.cells("other"))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, repository: Path) -> Project:
    """A grid of 1,000 cells, none of which has run."""
    made = Project(tmp_path_factory.mktemp("large"), repository)
    sparsities = [0.5, 0.6, 0.7, 0.8, 0.9]
    made.grid("large", methods=["set", "rigl"], sparsities=sparsities, seeds=25)
    return made


@pytest.fixture(scope="module")
def no_torch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment in which an import of torch fails, however it comes about."""
    folder = tmp_path_factory.mktemp("no-torch")
    (folder / "sitecustomize.py").write_text(
        "import sys\n"
        "class Refuse:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] == 'torch':\n"
        "            sys.exit('torch was imported')\n"
        "sys.meta_path.insert(0, Refuse())\n"
    )
    return {"PYTHONPATH": str(folder)}


@pytest.mark.parametrize(("size", "jobs"), [(1, 1000), (40, 25)])
def test_a_thousand_cells_are_planned_without_torch(
    large: Project, no_torch: dict[str, str], size: int, jobs: int
) -> None:
    begin = time.perf_counter()
    code, output = large.snakemake(
        "--dry-run",
        "--quiet",
        "rules",
        variables=no_torch,
        grid="large",
        cells_per_job=size,
        evaluations_per_job=size,
    )
    assert code == 0, output
    print(f"dry run of 1,000 cells, {size} a job: {time.perf_counter() - begin:.1f} s")
    one = ("all", "plan", "collect", "compare", "track", "page")
    expected = {"train": jobs, "evaluate": jobs, "total": 2 * jobs + 6} | dict.fromkeys(one, 1)
    assert job_counts(output) == expected
    refused = subprocess.run(
        [sys.executable, "-c", "import torch"],
        env=environment(**no_torch),
        capture_output=True,
        text=True,
    )
    assert (refused.returncode, refused.stderr.strip()) == (1, "torch was imported")


def test_a_truth_value_is_written_as_in_a_file_of_settings(large: Project) -> None:
    code, output = large.snakemake("--dry-run", grid="digits", track="false")
    assert code == 0, output
    assert "track" not in job_counts(output)


def test_a_setting_given_twice_ends_snakemake_with_one_line(large: Project) -> None:
    path = large.folder / "workflows" / "config.yaml"
    content = path.read_text()
    try:
        path.write_text(f"{content}\ngrid: other\n")
        code, output = large.snakemake("--dry-run", grid="large")
    finally:
        path.write_text(content)
    assert code == 1
    line = output.splitlines()[-1]
    assert line.startswith("agc: error: workflows/config.yaml: key 'grid' is given twice")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"grid": "broken"}, "workflows/grids/broken.yaml: unknown key 'metods'; did you mean"),
        ({"grid": "dense"}, "dense.yaml with tiny.yaml: sparsity = 1.2"),
        ({"grid": "large", "cellsperjob": 3}, "--config: $: Additional properties are not allo"),
        ({"grid": "large,elsewhere/large.yaml"}, "have the same name"),
    ],
)
def test_bad_input_ends_snakemake_with_one_line(
    large: Project, config: dict[str, object], message: str
) -> None:
    content = large.grid("broken").read_text().replace("methods:", "metods:")
    large.grid("broken").write_text(content)
    large.grid("dense", sparsities=[1.2])
    (large.folder / "elsewhere").mkdir(exist_ok=True)
    shutil.copy(large.grid("small"), large.folder / "elsewhere" / "large.yaml")
    code, output = large.snakemake("--dry-run", **config)
    assert code == 1
    first, *rest = output.splitlines()  # Snakemake itself says that a configuration was given
    assert first.startswith("Config file workflows/config.yaml is extended")
    (line,) = rest
    assert line.startswith("agc: error: ")
    assert message in line
    assert not (large.folder / "results").exists()
