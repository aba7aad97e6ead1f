"""``python -m agc``: the same as ``agc``."""

from agc.cli import main

main()
