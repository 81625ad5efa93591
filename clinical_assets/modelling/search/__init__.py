"""Candidates, their search spaces, inner folds, selection, fitting and recalibration."""
