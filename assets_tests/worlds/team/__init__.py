"""Cohorts of a team outside the package."""
