"""What Dagster sees: assets, checks, jobs, schedules and sensors; the only room that knows Dagster.

What belongs here: a folder for each stage of a cohort's way, with its assets and checks; ``automation`` for what starts
runs; ``shared`` for what all assets have in common; ``resources`` and ``partitions``; ``dagster_private`` for the few
names that Dagster does not promise. What a stage computes is the work of the rooms below. Every module is found by
Dagster's loader: a module that is put here needs no registration.
"""
