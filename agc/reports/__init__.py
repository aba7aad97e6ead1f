"""From the records of a grid to what a reader sees."""
