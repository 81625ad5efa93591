"""From a feature table to a risk model: leaks, search, evaluation, the bundle, its training on disk and its tracking.

What belongs here: making and reading models. What does not: whether one may be released.
"""
