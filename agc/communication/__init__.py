"""Axis of communication: each file registers how the workers that share a batch make a step."""
