"""Axis of attacks: one file an attack on a finished network."""
