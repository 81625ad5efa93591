"""Calibration: intercept, slope, smooth curves, logistic maps and updates."""
