"""The live view: epochs appear in MLflow while a cell trains, through a process of its own.

Training only hands lines to a pipe that never blocks. What the writer cannot do, because the store
is away or slow, is left to ``agc track sync``, which completes the same run.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any

# Lines longer than this could be torn apart by a pipe that is full (POSIX gives at least 512).
PIPE_LINE = 4096
CLOSE_SECONDS = 20.0

_log = logging.getLogger(__name__)


class Live:
    """Sends epochs to MLflow from a background process; its failures are warnings.

    Args:
        experiment: name of the experiment; a grid's name, for ``agc track sync`` to complete.
        uri: the store.
        artifact_root: folder of the artifacts, as for ``sync``.
        patience: seconds that a writer gets, when training is over, for what it has yet to log.
    """

    def __init__(
        self,
        experiment: str,
        uri: str,
        artifact_root: Path,
        patience: float = CLOSE_SECONDS,
    ) -> None:
        self.patience = patience
        self.arguments = [experiment, str(artifact_root.resolve())]
        # On a command line, others would see a password.
        self.environment = {**os.environ, "MLFLOW_TRACKING_URI": uri}
        self.process: subprocess.Popen[bytes] | None = None
        self.lost = False

    def __enter__(self) -> Live:
        command = [sys.executable, "-m", "agc.tracking.live_writer", *self.arguments]
        try:
            # A session of its own: Ctrl-C and a scheduler's signals are for the training.
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, env=self.environment, start_new_session=True
            )
        except OSError as error:
            self._give_up(error.strerror or str(error))
        else:
            os.set_blocking(self.process.stdin.fileno(), False)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process is None:
            return
        self.process.stdin.close()
        # A writer that outlived this process could log beside the sync that comes next.
        try:
            self.process.wait(self.patience if kind is None else 0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self._give_up("its writer was too slow")

    def cell(self, folder: Path) -> None:
        """Say which cell the next epochs belong to."""
        self._send({"cell": str(folder.resolve())})

    def epoch(self, row: dict[str, Any]) -> None:
        """Send one line of ``epochs.csv``."""
        self._send({"row": row, "time": round(time.time() * 1000)})

    def _send(self, message: dict[str, Any]) -> None:
        if self.process is None or self.lost:
            return
        line = json.dumps(message).encode() + b"\n"
        try:
            if len(line) > PIPE_LINE:
                raise OSError("a line is too long for a pipe")
            os.write(self.process.stdin.fileno(), line)
        except OSError as error:
            self._give_up(error.strerror or str(error))

    def _give_up(self, reason: str) -> None:
        self.lost = True
        _log.warning(
            "the live view ended: %s; `agc track sync %s` adds what is missing",
            reason,
            self.arguments[0],
        )
