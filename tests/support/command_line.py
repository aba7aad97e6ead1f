"""Calls of the command line in the test's own process, which has paid for the imports."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from agc.cli import main


@dataclass(frozen=True)
class Outcome:
    """What a call of the command line gave."""

    code: int
    out: str
    err: str

    @property
    def message(self) -> str:
        """The one line of bad input."""
        assert self.code == 2, self
        (line,) = self.err.splitlines()
        assert line.startswith("agc: error: ")
        return line.removeprefix("agc: error: ")


def agc(*arguments: object) -> Outcome:
    """Call ``agc`` in this process, with streams that are no terminal."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["agc", *map(str, arguments)])
        for name in ("AGC_RESULTS", "AGC_DEVICE", "AGC_THREADS", "MLFLOW_TRACKING_URI"):
            patch.delenv(name, raising=False)
        patch.setenv("COLUMNS", "200")
        try:
            main()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 0
    return Outcome(code, out.getvalue(), err.getvalue())


# Training of a small cell: one epoch of four batches of 64.
SMALL = (
    *("train", "--dataset", "digits", "--architecture", "resnet8", "--epochs", 1),
    *("--set", "architecture.options.width=4", "--set", "training.validation=1181"),
)
