"""Trainings on disk: bundles made and recalibrated, reference rows, report, plots, card."""
