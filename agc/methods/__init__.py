"""Axis of sparse-training methods: one file a method."""
