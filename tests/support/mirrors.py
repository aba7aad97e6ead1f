"""The mirror of a folder of results, and what its database holds."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from agc.tracking import SyncReport, check, default_uri, sync

CELL = "(select value from tags c where c.run_uuid = r.run_uuid and c.key = 'agc.cell')"
ACTIVE = "runs r join experiments e using (experiment_id) where r.lifecycle_stage = 'active'"


def mirror(results: Path, cells: list[Path], **options: object) -> SyncReport:
    return sync("demo", cells, default_uri(results), results / "mlartifacts", **options)


def compare(results: Path, cells: list[Path]) -> SyncReport:
    return check("demo", cells, default_uri(results), results / "mlartifacts")


def query(results: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(results / "mlflow.db") as database:
        return database.execute(sql).fetchall()


def whole_runs(results: Path) -> list[str]:
    """Cells of the active runs that are finished and carry a digest."""
    rows = query(
        results,
        f"select {CELL} as cell, r.run_uuid from {ACTIVE} and r.status = 'FINISHED' and exists "
        "(select 1 from tags t where t.run_uuid = r.run_uuid and t.key = 'agc.digest')"
        " and cell is not null",
    )
    return sorted(name for name, _ in rows)


def names(cells: list[Path]) -> list[str]:
    return sorted(cell.name for cell in cells)
