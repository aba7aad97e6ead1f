"""Cost, counted: passes, FLOPs, units."""
