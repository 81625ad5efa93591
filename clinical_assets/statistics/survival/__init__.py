"""Outcomes that take time and may be censored: risk at a horizon, weights for the censored, calibration with them."""
