"""How fast the suite's own machinery is beside that of others."""
