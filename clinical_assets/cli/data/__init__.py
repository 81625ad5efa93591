"""Commands about cohorts and their tables."""
