"""Training as a whole and what it says: estimates, thresholds, subgroups, warnings, the result."""
