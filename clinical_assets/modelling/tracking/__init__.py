"""Runs, models and their files in MLflow."""
