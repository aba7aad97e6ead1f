"""The place of the mirror: where it is, how it is opened and locked, how its errors are told."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from filelock import FileLock, Timeout

from agc.errors import UserError

if TYPE_CHECKING:
    from mlflow import MlflowClient

# A store that is away must cost seconds: MLflow's own settings try for minutes, at every call.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
CONNECT_SECONDS = 5
# Those that know the option; others wait as long as the system does.
TIMEOUT_DRIVERS = ("postgresql:", "postgresql+psycopg", "mysql:", "mysql+pymysql:")

_log = logging.getLogger(__name__)


def default_uri(results: Path) -> str:
    """``MLFLOW_TRACKING_URI`` if it is set, else an SQLite database in the results folder."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{results.resolve()}/mlflow.db"


def is_server(uri: str) -> bool:
    """Whether a tracking server owns the store; it then decides where artifacts lie."""
    return urlsplit(uri).scheme in ("http", "https", "databricks")


def database_file(uri: str) -> Path | None:
    """File of an SQLite store, None for any other."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(uri.removeprefix("sqlite:///").split("?")[0])


@contextmanager
def store_lock(uri: str, artifact_root: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Hold the mirror for this process; the system frees it when the process ends or is killed."""
    database = database_file(uri)
    folder = database.parent if database else artifact_root.parent
    path = folder / f"{database.name if database else 'mlflow'}.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"waiting for another process that holds {path}")
            lock.acquire()
    except OSError as error:
        raise UserError(f"cannot lock {path}: {error.strerror or error}") from error
    try:
        yield
    finally:
        lock.release()


def load_mlflow() -> None:
    """Import MLflow, quiet and with short patience; it takes seconds, the first time.

    Raises:
        UserError: it is not installed.
    """
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient  # noqa: F401
    except ImportError as error:
        raise UserError("tracking needs MLflow: pip install 'agc-bench[tracking]'") from error
    for name in ("mlflow", "alembic"):
        # What goes wrong is told in one line by `store_errors`.
        logging.getLogger(name).setLevel(logging.CRITICAL)


def open_client(uri: str) -> MlflowClient:
    """Client of a store; an SQL database that is empty gets its tables.

    Raises:
        UserError: a database driver is not installed, or nothing answers at ``uri``.
    """
    load_mlflow()
    from mlflow import MlflowClient

    database = database_file(uri)
    with store_errors(uri):
        if database is not None and not database.exists():
            _make_database(database)
        if "://" in uri and not is_server(uri) and not uri.startswith("file:"):
            _connect_once(uri)
        return MlflowClient(tracking_uri=uri)


def _make_database(path: Path) -> None:
    """Make an SQLite store beside its place: MLflow cannot go on with tables that are half made."""
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    # A name that is new at each attempt: MLflow keeps its connection to a file that was removed.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        made = Path(folder) / path.name
        MlflowClient(tracking_uri=f"sqlite:///{made}")
        # Unlike a rename, a link never takes the place of what another process has made meanwhile.
        with suppress(FileExistsError):
            path.hardlink_to(made)


def _connect_once(uri: str) -> None:
    """Fail at the first refusal, where MLflow would ask again for three minutes."""
    import sqlalchemy

    limited = uri.startswith(TIMEOUT_DRIVERS)
    engine = sqlalchemy.create_engine(
        uri, connect_args={"connect_timeout": CONNECT_SECONDS} if limited else {}
    )
    try:
        sqlalchemy.inspect(engine).get_table_names()
    finally:
        engine.dispose()


@contextmanager
def store_errors(uri: str) -> Iterator[None]:
    """Turn whatever a store raises into a UserError of one line, without passwords."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except ImportError as error:
        raise UserError(f"the store {_shown(uri)} needs a driver: {error}") from error
    except (MlflowException, SQLAlchemyError, OSError) as error:
        _log.debug("tracking store", exc_info=True)
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        reason = _without_secrets(first, uri)[:300]
        raise UserError(f"the tracking store {_shown(uri)} failed: {reason}") from error


def _shown(uri: str) -> str:
    return _without_secrets(uri, uri)


def _without_secrets(text: str, uri: str) -> str:
    """A text in which the passwords of a store's address are asterisks."""
    for secret in _secrets(uri):
        for form in {secret, unquote(secret), quote(secret, safe="")}:
            text = text.replace(form, "***")
    return text


def has_secrets(uri: str) -> bool:
    """Whether there is a password in an address."""
    return bool(_secrets(uri))


def _secrets(uri: str) -> list[str]:
    """Passwords in an address, as user:password@host or as ?password=…"""
    parts = urlsplit(uri)
    given = [value for key, value in parse_qsl(parts.query) if "pass" in key or "token" in key]
    return [secret for secret in (parts.password, *given) if secret]
