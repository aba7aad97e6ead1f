"""What sparse-training methods share: masks, distributions, schedules, drop and grow."""
