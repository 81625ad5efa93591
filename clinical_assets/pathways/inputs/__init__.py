"""From the description of a paired cohort to samples, sets, methods and budgets; alone in knowing sources."""
