"""Cohorts side by side: one ordinary Dagster run per cohort in warm worker processes.

This adds to Dagster only what a terminal needs: processes that keep their imports from one cohort to the next, and
the state of each run while it goes on. Each run is stored in the same instance that the UI shows.
"""
