"""Gate 2, performance: discrimination, calibration, net benefit on the locked holdout, and latency."""
