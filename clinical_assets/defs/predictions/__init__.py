"""New records and their scores: assets."""
