"""Gradients beside the step: of other batches, at other weights, with the same noise and scale."""
