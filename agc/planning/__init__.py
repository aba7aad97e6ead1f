"""What cells will cost, and which of them share a process: known before anything runs."""
