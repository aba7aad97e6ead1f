from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.fixture
def results(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    # A place that a user may well have, and that an unescaped URI would break.
    folder = tmp_path / "my results 100%"
    folder.mkdir()
    shutil.copy(empty_store, folder / "mlflow.db")
    return folder
