from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator

import pytest

from tests.services.servers import DRIVER, Postgres, Server, programs


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    if programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    if importlib.util.find_spec(DRIVER) is None:
        pytest.skip(f"PostgreSQL's driver is not installed: pip install {DRIVER}-binary")
    folder = tmp_path_factory.mktemp("postgres")
    # The user postgres must reach its cluster through folders that pytest closes to others.
    for parent in [folder, *folder.parents][:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    database = Postgres(folder / "cluster")
    database.start()
    yield database
    database.stop()


@pytest.fixture(scope="session")
def server(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(postgres.uri, tmp_path_factory.mktemp("artifacts"))
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def chromium() -> str:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    return path
