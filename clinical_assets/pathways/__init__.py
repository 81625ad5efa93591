"""Micro-cohorts: paired expression of a handful of people, N-of-1 pathway scores, studies and what they can show.

What belongs here: computing on arrays. What does not: stores, trackers, Dagster.
"""
