"""What happens after release: data quality, drift, performance, fairness, and what should be done about them.

What belongs here: reports and their pages. What does not: acting on them.
"""
