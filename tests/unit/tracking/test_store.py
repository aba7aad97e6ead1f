from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agc.errors import UserError
from agc.tracking import SyncReport, check, default_uri, plan, store, sync, ui_command
from agc.tracking.content import digest, flatten
from tests.support.tracking_cells import make_cell, make_cells

pytest.importorskip("mlflow")

ACTIVE = "runs r join experiments e using (experiment_id) where r.lifecycle_stage = 'active'"


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that has its tables and nothing else: making one takes seconds."""
    path = tmp_path_factory.mktemp("empty") / "mlflow.db"
    store.open_client(f"sqlite:///{path}")
    return path


@pytest.fixture
def results(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # A place that a user may well have, and that an unescaped URI would break.
    folder = tmp_path / "my results 100%"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder


def mirror(results: Path, cells: list[Path], **options: object) -> SyncReport:
    return sync("demo", cells, default_uri(results), results / "mlartifacts", **options)


def compare(results: Path, cells: list[Path]) -> SyncReport:
    return check("demo", cells, default_uri(results), results / "mlartifacts")


def query(results: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(results / "mlflow.db") as database:
        return database.execute(sql).fetchall()


def whole_runs(results: Path) -> list[str]:
    """Names of the active runs that are finished and carry a digest."""
    rows = query(
        results,
        f"select r.name, r.run_uuid from {ACTIVE} and r.status = 'FINISHED' and exists "
        "(select 1 from tags t where t.run_uuid = r.run_uuid and t.key = 'agc.digest')",
    )
    return sorted(name for name, _ in rows)


def names(cells: list[Path]) -> list[str]:
    return sorted(cell.name for cell in cells)


def test_a_run_repeats_the_whole_record(results: Path) -> None:
    cell = make_cell(results, seed=0, epochs=4)
    assert mirror(results, [cell]) == SyncReport("demo", added=1)

    ((name, status, start, end, artifacts, experiment),) = query(
        results,
        f"select r.name, r.status, start_time, end_time, artifact_uri, e.name from {ACTIVE}",
    )
    assert (name, status, experiment) == (cell.name, "FINISHED", "demo")
    # 2026-01-02T03:04:05Z, and thirty seconds later
    assert (start, end) == (1767323045000, 1767323075000)

    parameters = dict(query(results, "select key, value from params"))
    assert parameters["dataset"] == "digits"
    assert parameters["objective"] == "pgd-at"
    assert parameters["objective.epsilon"] == "0.1"
    assert parameters["correction.gamma"] == "0.1"
    assert parameters["sparsity"] == "0.95"
    assert parameters["training.optimizer"] == "sgd"
    assert parameters["training.optimizer.nesterov"] == "true"

    curve = query(results, "select step, value, timestamp from metrics where key = 'units'")
    spread = [1767323045000 + 7500 * epoch for epoch in range(1, 5)]
    assert sorted(curve) == [(e, 10.0 * e, t) for e, t in zip(range(1, 5), spread, strict=True)]
    # 14 columns beside the epoch, 3 costs, 2 of sparsity, 2 times, 3 final, 3 best
    assert query(results, "select count(*) from metrics") == [(14 * 4 + 3 + 2 + 2 + 3 + 3,)]
    assert query(results, "select value, step from metrics where key = 'best.test_accuracy'") == [
        (0.9, 2)
    ]

    tags = dict(query(results, "select key, value from tags"))
    assert tags["agc.cell"] == cell.name
    assert tags["agc.status"] == "finished"
    assert tags["mlflow.source.git.commit"] == "c0ffee"
    assert tags["provenance.git_dirty"] == "False"
    assert "provenance.torchattacks" not in tags
    assert tags["mlflow.note.content"] == "two dead filters in conv1"

    kept = results / "mlartifacts" / "demo" / Path(artifacts).parent.name / "artifacts"
    assert {f.name: f.read_bytes() for f in kept.iterdir()} == {
        f.name: f.read_bytes() for f in cell.iterdir()
    }


def test_a_second_sync_changes_nothing(results: Path) -> None:
    cells = make_cells(results, 3)
    mirror(results, cells)
    before = query(results, "select run_uuid from runs order by 1")
    assert mirror(results, cells) == SyncReport("demo", unchanged=3)
    assert compare(results, cells).in_step
    assert query(results, "select run_uuid from runs order by 1") == before


def test_no_value_leaves_no_point_and_nan_is_kept_as_nan(results: Path) -> None:
    mirror(results, [make_cell(results, seed=1, epochs=3, status="diverged")])
    assert query(results, "select count(*) from metrics where key in ('tau', 'coefficient')") == [
        (0,)
    ]
    assert query(results, "select step, is_nan from metrics where key = 'train_loss'") == [
        (1, 0),
        (2, 0),
        (3, 1),
    ]
    assert query(results, "select count(*) from metrics where key like 'final.%'") == [(0,)]
    tags = dict(query(results, "select key, value from tags"))
    assert (tags["agc.status"], tags["agc.diverged_epoch"]) == ("diverged", "3")
    assert query(results, f"select r.status from {ACTIVE}") == [("FINISHED",)]


def test_what_exceeds_the_limits_of_one_call_or_value(results: Path) -> None:
    options = {f"option{i}": i for i in range(150)} | {"long": "x" * 7000}
    cell = make_cell(results, seed=0, epochs=200, options=options)
    mirror(results, [cell])
    assert query(results, "select count(*) from metrics") == [(14 * 200 + 13,)]
    assert query(results, "select count(*) from params where key like 'objective.option%'") == [
        (150,)
    ]
    ((long,),) = query(results, "select value from params where key = 'objective.long'")
    assert long == "x" * 5999 + "…"
    ((note,),) = query(results, "select value from tags where key = 'mlflow.note.content'")
    assert "objective.long" in note
    assert mirror(results, [cell]).unchanged == 1


@pytest.mark.parametrize("change", ["record", "curve", "artifact", "status"])
def test_a_run_that_differs_is_written_anew(results: Path, change: str) -> None:
    cells = make_cells(results, 2)
    mirror(results, cells)
    if change == "record":
        make_cell(results, seed=1, test_accuracy=0.5)
    elif change == "curve":
        path = cells[1] / "epochs.csv"
        path.write_text(path.read_text().replace("0.6", "0.7"))
    elif change == "artifact":
        next((results / "mlartifacts").rglob("record.json")).unlink()
    else:
        with sqlite3.connect(results / "mlflow.db") as database:
            database.execute("update runs set status = 'RUNNING' where name = ?", [cells[0].name])

    expected = SyncReport("demo", repaired=1, unchanged=1)
    assert compare(results, cells) == expected
    assert mirror(results, cells) == expected
    assert whole_runs(results) == names(cells)
    assert compare(results, cells).in_step
    if change == "record":
        values = query(
            results,
            "select value from metrics m join runs r using (run_uuid) where key = "
            "'final.test_accuracy' and r.lifecycle_stage = 'active' order by value",
        )
        assert values == [(0.5,), (0.9,)]


def test_other_runs_of_a_cell_go_and_runs_of_a_user_stay(results: Path) -> None:
    cells = make_cells(results, 2)
    mirror(results, cells)
    client = store.open_client(default_uri(results))
    experiment = client.get_experiment_by_name("demo").experiment_id
    client.create_run(experiment, tags={"agc.cell": cells[0].name}, run_name="copy")
    client.create_run(experiment, run_name="my own")
    expected = SyncReport("demo", unchanged=2, duplicates=1)
    assert compare(results, cells) == expected
    assert mirror(results, cells) == expected
    rows = query(results, f"select r.name from {ACTIVE}")
    assert sorted(name for (name,) in rows) == sorted([*names(cells), "my own"])


def test_stale_runs_go_only_when_asked(results: Path) -> None:
    cells = make_cells(results, 3)
    mirror(results, cells)
    assert mirror(results, cells[:2]) == SyncReport("demo", unchanged=2, stale=1)
    assert whole_runs(results) == names(cells)
    assert mirror(results, cells[:2], prune=True) == SyncReport(
        "demo", unchanged=2, stale=1, pruned=1
    )
    assert whole_runs(results) == names(cells[:2])


def test_a_cell_without_a_record_waits_and_keeps_its_run(results: Path) -> None:
    cells = make_cells(results, 2)
    mirror(results, cells)
    (cells[0] / "record.json").unlink()
    assert mirror(results, cells, prune=True) == SyncReport("demo", unchanged=1, waiting=1)
    assert whole_runs(results) == names(cells)


@pytest.mark.parametrize(
    ("name", "text", "word"),
    [
        ("record.json", "{", "JSON"),
        ("record.json", '{"cell": {}}', "provenance"),
        ("epochs.csv", "epoch,train_loss\n1,much\n", "much"),
    ],
)
def test_a_damaged_record_does_not_keep_the_others_out(
    results: Path, name: str, text: str, word: str
) -> None:
    cells = make_cells(results, 3)
    (cells[0] / name).write_text(text)
    report = mirror(results, cells)
    assert (report.added, len(report.problems)) == (2, 1)
    assert word in report.problems[0]
    assert str(cells[0]) in report.problems[0]
    assert not report.in_step
    assert whole_runs(results) == names(cells[1:])


def test_more_runs_than_one_page(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = make_cells(results, 5, epochs=1)
    mirror(results, cells)
    monkeypatch.setattr(plan, "PAGE", 2)
    assert compare(results, cells) == SyncReport("demo", unchanged=5)


def test_an_experiment_in_the_trash_comes_back_without_copies(results: Path) -> None:
    cells = make_cells(results, 2)
    mirror(results, cells)
    make_cell(results, seed=0, test_accuracy=0.1)
    mirror(results, cells)
    client = store.open_client(default_uri(results))
    client.delete_experiment(client.get_experiment_by_name("demo").experiment_id)
    assert compare(results, cells).added == 2
    mirror(results, cells)
    assert compare(results, cells).in_step
    assert whole_runs(results) == names(cells)


def test_moved_results_are_refused_with_the_way_out(results: Path) -> None:
    mirror(results, make_cells(results, 1))
    moved = results.rename(results.with_name("elsewhere"))
    with pytest.raises(UserError, match=r"which is gone.*delete .*elsewhere/mlflow\.db"):
        mirror(moved, sorted((moved / "cells").iterdir()))
    assert not results.exists()
    (moved / "mlflow.db").unlink()


def test_check_writes_nothing(tmp_path: Path) -> None:
    cells = make_cells(tmp_path, 2)
    before = sorted(tmp_path.rglob("*"))
    assert compare(tmp_path, cells) == SyncReport("demo", added=2)
    assert sorted(tmp_path.rglob("*")) == before


def run_sync(results: Path, extra: str = "") -> subprocess.Popen[str]:
    """Start a process that mirrors every cell below ``results``, after running ``extra``."""
    code = f"""
import sys
from pathlib import Path
from agc.tracking import default_uri, sync
{extra}
results = Path(sys.argv[1])
cells = sorted((results / "cells").iterdir())
print(sync("demo", cells, default_uri(results), results / "mlartifacts").summary())
"""
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(results)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=results,
    )


def test_a_killed_sync_is_completed_by_the_next(results: Path) -> None:
    cells = make_cells(results, 6)
    # Dies while the third run has its metrics and artifacts, but no end.
    process = run_sync(
        results,
        """
import os, signal
from mlflow import MlflowClient
finish, calls = MlflowClient.set_terminated, []
def killed(self, *arguments, **options):
    calls.append(arguments)
    if len(calls) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return finish(self, *arguments, **options)
MlflowClient.set_terminated = killed
""",
    )
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert query(results, f"select count(*) from {ACTIVE}") == [(3,)]
    assert len(whole_runs(results)) == 2

    expected = SyncReport("demo", added=3, repaired=1, unchanged=2)
    assert compare(results, cells) == expected
    assert mirror(results, cells) == expected
    assert query(results, f"select count(*) from {ACTIVE}") == [(6,)]
    assert whole_runs(results) == names(cells)


def test_two_processes_at_once_write_every_run_once(tmp_path: Path) -> None:
    """Neither finds a database: without a lock one would fail on the other's tables."""
    cells = make_cells(tmp_path, 5)
    processes = [run_sync(tmp_path) for _ in range(2)]
    told = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], told
    summaries = sorted(out.strip() for out, _ in told)
    assert summaries == ["demo: 5 added, 0 unchanged", "demo: 5 unchanged"]
    for _, err in told:
        lines = err.strip().splitlines()
        assert all(line.startswith("waiting for another process") for line in lines), err
    assert query(tmp_path, "select count(*) from runs") == [(5,)]
    assert whole_runs(tmp_path) == names(cells)
    assert not (tmp_path / "mlruns").exists()


def test_progress_counts_the_runs_to_write(results: Path) -> None:
    cells = make_cells(results, 2, epochs=1)
    seen: list[tuple[int, int, str]] = []
    mirror(results, cells, progress=lambda *step: seen.append(step))
    assert seen == [(0, 2, cells[0].name), (1, 2, cells[1].name), (2, 2, "in step")]


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("call", [sync, check])
def test_an_absent_server_is_one_line_within_seconds(results: Path, call: object) -> None:
    uri = f"http://user:secret@127.0.0.1:{closed_port()}"
    begin = time.monotonic()
    with pytest.raises(UserError) as caught:
        call("demo", make_cells(results, 1), uri, results / "mlartifacts")
    assert time.monotonic() - begin < 10
    assert "\n" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_stores_that_cannot_be_opened(results: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("this is no database\n" * 100)
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    bad = {
        # MLflow alone would try this one for minutes.
        f"sqlite:///{tmp_path}/folder": "unable to open",
        f"sqlite:///{text}": "not a database",
        f"sqlite:///{tmp_path}/file/mlflow.db": "cannot lock",
        "nonsense://host/name": "nonsense",
        "postgresql+absent://user:secret@127.0.0.1/name": "absent",
    }
    begin = time.monotonic()
    for uri, word in bad.items():
        with pytest.raises(UserError, match=word) as caught:
            sync("demo", make_cells(results, 1), uri, results / "mlartifacts")
        assert "\n" not in str(caught.value)
        assert "secret" not in str(caught.value)
    assert time.monotonic() - begin < 10


def test_tracking_without_mlflow_names_the_extra(
    results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(UserError, match=r"pip install 'agc-bench\[tracking\]'"):
        mirror(results, make_cells(results, 1))


def test_mlflow_is_imported_only_when_it_is_needed() -> None:
    code = "import sys, agc.tracking; sys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["cell.json", "record.json", "epochs.csv", "train.log"])
def test_digest_tells_records_apart_but_not_places(tmp_path: Path, name: str) -> None:
    cell = make_cell(tmp_path, seed=0)
    first = digest(cell)
    assert digest(Path(shutil.copytree(cell, tmp_path / "copy"))) == first
    (cell / name).write_text((cell / name).read_text() + " ")
    changed = digest(cell)
    (cell / name).unlink()
    assert len({first, changed, digest(cell)}) == 3


def test_flatten_names_leaves_by_their_place() -> None:
    cell = {
        "seed": 3,
        "method": {"name": "rigl", "options": {"a": 1, "b": {"c": [1, 2]}}},
        "training": {"optimizer": {"name": "sgd", "lr": 0.1}, "name": "short"},
        "correction": {"name": "none", "options": {}},
    }
    assert dict(flatten(cell)) == {
        "seed": 3,
        "method": "rigl",
        "method.a": 1,
        "method.b.c": [1, 2],
        "training.optimizer": "sgd",
        "training.optimizer.lr": 0.1,
        "training": "short",
        "correction": "none",
    }


def test_the_environment_chooses_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert default_uri(Path("results")) == f"sqlite:///{tmp_path}/results/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert default_uri(Path("results")) == "http://tracking:5000"


def test_the_command_for_the_page(tmp_path: Path) -> None:
    command = ui_command(f"sqlite:///{tmp_path}/my results/mlflow.db", tmp_path / "mlartifacts")
    assert f"--backend-store-uri 'sqlite:///{tmp_path}/my results/mlflow.db'" in command
    assert "--host 127.0.0.1" in command
    secret = ui_command("postgresql://me:secret@db/name", tmp_path)
    assert "secret" not in secret
    assert '--backend-store-uri "$MLFLOW_TRACKING_URI"' in secret
    assert "http://tracking:5000" in ui_command("http://tracking:5000", tmp_path)
