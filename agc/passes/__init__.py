"""How batches go through a network beside the user's own forward and backward pass."""
