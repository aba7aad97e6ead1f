"""Axis of optimizers: each file registers one that the loops call as torch's."""
