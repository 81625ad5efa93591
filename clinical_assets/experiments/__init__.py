"""Trials of a challenger against the champion: protocol, record, assignment, evaluation, verdict, and what ends one.

What belongs here: everything of an experiment that is neither answering a request (``serving``) nor Dagster's. Imports
go down: ``reports`` over ``watching`` over ``verdict`` over ``evaluation`` over ``exposures``, all over
``register``, that over ``planning``.
"""
