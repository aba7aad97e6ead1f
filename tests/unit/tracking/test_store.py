"""Where the store is, and what is said of one that cannot be opened."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agc.errors import UserError
from agc.tracking import check, default_uri, sync, ui_command
from tests.support.mirrors import mirror
from tests.support.tracking_cells import make_cells

pytest.importorskip("mlflow")


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
