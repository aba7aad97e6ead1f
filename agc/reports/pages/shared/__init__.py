"""What the sections of a page share."""
