"""Numbers of a network: accuracy, robustness, calibration, topology, gradient moments."""
