"""Axis of quantization: one file a policy, which says in how many bits a training computes."""
