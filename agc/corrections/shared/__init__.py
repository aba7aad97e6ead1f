"""What corrections share."""
