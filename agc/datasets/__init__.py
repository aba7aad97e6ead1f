"""Axis of data sets: one file a data set. Shared machinery: store, loader, augment."""
