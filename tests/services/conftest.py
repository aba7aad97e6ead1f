from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.browser import Browser
from tests.services.servers import DRIVER, Postgres, Server, programs


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    if programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    if importlib.util.find_spec(DRIVER) is None:
        pytest.skip(f"PostgreSQL's driver is not installed: pip install {DRIVER}-binary")
    # The user postgres could not reach it among pytest's folders, which are closed to others.
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        database = Postgres(Path(folder) / "cluster")
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


@pytest.fixture(scope="module")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(chromium, tmp_path_factory.mktemp("profile")) as opened:
        yield opened
