"""The files of one cell: what is written while it trains, and read back afterwards."""
