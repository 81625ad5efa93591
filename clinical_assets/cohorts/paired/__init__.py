"""Descriptions of paired micro-cohorts and their sources."""
