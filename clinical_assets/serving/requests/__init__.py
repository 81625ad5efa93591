"""What a caller may send: models made from a cohort's description, and records held to its promises.

What belongs here: reading requests and finding everything that is wrong with them at once. What does not: scoring.
"""
