"""Stored results of studies, their figures and pages."""
