"""Ground that every room stands on, each thing once: files and folders that appear whole, locks, JSON and digests.

What belongs here: what knows nothing of cohorts, models or people. It imports nothing of ours but itself.
"""
