"""The MLflow mirror: files are the truth, one experiment a grid and one run a cell repeat them.

``sync`` may be stopped at any point and run again; it adds what is missing, writes partial or
outdated runs anew, and leaves the rest alone. ``present`` then makes the experiment's page show
arms with their verdicts. MLflow is imported only when a store is opened.
"""

from __future__ import annotations

from agc.tracking.front import Front, Grid, present
from agc.tracking.mirror import check, sync
from agc.tracking.plan import SyncReport
from agc.tracking.server import ui_command
from agc.tracking.store import default_uri

__all__ = [
    "Front",
    "Grid",
    "SyncReport",
    "check",
    "default_uri",
    "present",
    "sync",
    "ui_command",
]
