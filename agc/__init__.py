"""Adaptive gradient correction (AGC) in sparse training: a library and a benchmark suite.

The names below are the library: they work in any training loop. Importing this package is cheap;
torch is imported when one of them is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "AGC": "agc.corrections.agc",
    "Dense": "agc.methods.dense",
    "RigL": "agc.methods.rigl",
    "SET": "agc.methods.set",
    "Static": "agc.methods.static",
}

if TYPE_CHECKING:
    from agc.corrections.agc import AGC
    from agc.methods.dense import Dense
    from agc.methods.rigl import RigL
    from agc.methods.set import SET
    from agc.methods.static import Static

__all__ = ["AGC", "SET", "Dense", "RigL", "Static"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'agc' has no attribute {name!r}")
