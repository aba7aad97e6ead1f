"""What a trained cell is worth and what it cost."""
