"""Leakage: columns that know the outcome, by their source, by their values, and by separation."""
