"""Runs of the UI, of sensors, schedules and backfills in processes that are warm: definitions and libraries are loaded.

What belongs here: the run launcher that ``dagster.yaml`` names, the processes it keeps, and when one of them may not be
used again. What does not: runs of the command line, whose processes end with the command (``launch.worker``).
"""
