"""What architectures share: stems for small images, and fixed points of cells."""
