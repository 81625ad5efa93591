"""One DuckDB file per cohort: raw records, validated ones, features and outcomes, by SQL that cannot see the future.

What belongs here: tables and how they come about. What does not: models.
"""
