"""What is to be run: cells, the grid and recipe files that name them, and their settings."""
