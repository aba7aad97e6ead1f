"""The algorithm and nothing else: the loop, its step, and what a cell is built into for them."""
