"""The machine that a process runs on: devices and their leases, memory, signals, provenance."""
