"""What the entries of the axis have in common: workers, their shares, and what they send."""
