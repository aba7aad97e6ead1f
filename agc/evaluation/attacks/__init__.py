"""Axis of attacks: one file an attack. They are run on demand, after the training."""
