"""The training core: the loop, what it is made of, and a cell's run on the disk."""
