"""Doing one cell: training it, attacking it, in one process or with the others of its team."""
