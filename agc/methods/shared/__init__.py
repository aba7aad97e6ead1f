"""What sparse-training methods share."""
