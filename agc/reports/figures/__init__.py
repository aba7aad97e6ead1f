"""Figures of a comparison, and of one cell's diagnostics."""
