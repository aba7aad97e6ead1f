"""What architectures share: stems for small images."""
