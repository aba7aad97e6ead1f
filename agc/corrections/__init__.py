"""Axis of gradient corrections: one file a correction."""
