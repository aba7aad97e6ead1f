"""Axis of objectives: one file an objective. Shared machinery: attack."""
