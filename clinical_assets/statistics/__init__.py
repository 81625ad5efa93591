"""Pure statistics on numpy arrays: each function says what it estimates, in which unit, from which source.

What belongs here: estimates, intervals, tests and distances that a statistician can call in a notebook.
What does not: tables, files, models, limits and verdicts; those live on the floors above.
"""
