"""The commands of ``agc``: they read arguments, call the library and print."""
