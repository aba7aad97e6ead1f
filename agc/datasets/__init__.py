"""Axis of data sets: one file a data set."""
