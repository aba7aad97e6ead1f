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
    "AlphaSVRG": "agc.corrections.alpha_svrg",
    "Centralize": "agc.corrections.centralize",
    "Constant": "agc.corrections.constant",
    "Dense": "agc.methods.dense",
    "Extragradient": "agc.corrections.extragradient",
    "GroupedBatches": "agc.gradients.micro_batches",
    "LooplessSVRG": "agc.corrections.l_svrg",
    "MARS": "agc.corrections.mars",
    "MicroBatches": "agc.gradients.micro_batches",
    "NoCorrection": "agc.corrections.none",
    "RecordedAGC": "agc.corrections.agc_recorded",
    "RigL": "agc.methods.rigl",
    "RunningAGC": "agc.corrections.agc_running",
    "S2SAM": "agc.corrections.s2_sam",
    "SAM": "agc.corrections.sam",
    "SARAH": "agc.corrections.sarah",
    "SCSG": "agc.corrections.scsg",
    "SET": "agc.methods.set",
    "STORM": "agc.corrections.storm",
    "SVRG": "agc.corrections.svrg",
    "SparseSkew": "agc.corrections.sparse_skew",
    "Static": "agc.methods.static",
    "Step": "agc.training.step",
}

if TYPE_CHECKING:
    from agc.corrections.agc import AGC
    from agc.corrections.agc_recorded import RecordedAGC
    from agc.corrections.agc_running import RunningAGC
    from agc.corrections.alpha_svrg import AlphaSVRG
    from agc.corrections.centralize import Centralize
    from agc.corrections.constant import Constant
    from agc.corrections.extragradient import Extragradient
    from agc.corrections.l_svrg import LooplessSVRG
    from agc.corrections.mars import MARS
    from agc.corrections.none import NoCorrection
    from agc.corrections.s2_sam import S2SAM
    from agc.corrections.sam import SAM
    from agc.corrections.sarah import SARAH
    from agc.corrections.scsg import SCSG
    from agc.corrections.sparse_skew import SparseSkew
    from agc.corrections.storm import STORM
    from agc.corrections.svrg import SVRG
    from agc.gradients.micro_batches import GroupedBatches, MicroBatches
    from agc.methods.dense import Dense
    from agc.methods.rigl import RigL
    from agc.methods.set import SET
    from agc.methods.static import Static
    from agc.training.step import Step

__all__ = [
    "AGC",
    "MARS",
    "S2SAM",
    "SAM",
    "SARAH",
    "SCSG",
    "SET",
    "STORM",
    "SVRG",
    "AlphaSVRG",
    "Centralize",
    "Constant",
    "Dense",
    "Extragradient",
    "GroupedBatches",
    "LooplessSVRG",
    "MicroBatches",
    "NoCorrection",
    "RecordedAGC",
    "RigL",
    "RunningAGC",
    "SparseSkew",
    "Static",
    "Step",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name[:1].isupper():  # the class of any other entry
        registry = importlib.import_module("agc.registry")
        for axis in (registry.METHODS, registry.CORRECTIONS):
            for entry in map(axis.__getitem__, axis.names()):
                if entry.target.__name__ == name:
                    return entry.target
    raise AttributeError(f"module 'agc' has no attribute {name!r}")
