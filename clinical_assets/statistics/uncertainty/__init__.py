"""Uncertainty: bootstrap, resampling plans, closed-form intervals."""
