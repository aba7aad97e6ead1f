"""The MLflow mirror: files are the truth, one experiment a grid and one run a cell repeat them.

``sync`` may be stopped at any point and run again; it adds what is missing, writes partial or
outdated runs anew, and leaves the rest alone. MLflow is imported only when a store is opened.
"""

from __future__ import annotations

from agc.tracking.mirror import check, sync
from agc.tracking.plan import SyncReport
from agc.tracking.store import default_uri, ui_command

__all__ = ["SyncReport", "check", "default_uri", "sync", "ui_command"]
