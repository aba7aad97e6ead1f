"""A grid whose tracking server cannot be reached finishes, and is mirrored whenever one can be."""

from __future__ import annotations

import json
from pathlib import Path

from tests.services.servers import free_port
from tests.support.project import Project


def test_grid_finishes_without_its_server(tmp_path: Path, repository: Path) -> None:
    project = Project(tmp_path, repository)
    project.grid("two", objectives=["standard"], methods=["rigl"])
    nobody = f"http://127.0.0.1:{free_port()}"
    code, told = project.snakemake(variables={"MLFLOW_TRACKING_URI": nobody}, grid="two", live=True)
    assert code == 0, told
    assert "Traceback" not in told
    records = [project.cell(slug) / "record.json" for slug in project.cells("two")]
    assert len(records) == 2
    assert all(record.is_file() for record in records)
    report = json.loads((tmp_path / "results" / "two" / "tracking.json").read_text())
    assert report["mirrored"] is False
    assert nobody in report["reason"]

    later = project.agc("track", "sync", "two")
    assert (later.returncode, later.stdout) == (0, "two: 2 added, 0 unchanged, 2 arms\n"), (
        later.stderr
    )
