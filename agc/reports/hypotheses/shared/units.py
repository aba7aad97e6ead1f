"""The units in which hypotheses have their estimates."""

from __future__ import annotations

from agc.reports.verdict import CHANGE, CHANGE_UNITS, POINTS, Measure

VARIANCE = Measure("% variance", larger_is_better=False, ratio=True, digits=1)
"""Ratio of the variances of two gradients."""
MEASURES = {measure.unit: measure for measure in (POINTS, CHANGE, CHANGE_UNITS, VARIANCE)}
"""By what tables call them."""
