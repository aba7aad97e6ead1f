"""Axis of compressors: each file registers what is sent in place of a message of numbers."""
