"""Axis of objectives: one file an objective."""
