"""How long a test waits for another process before it says that this one hangs."""

HANG = 3600.0
"""Seconds. No test measures time, and on a busy machine all may take fifty times as long."""
