"""A released model and the year after it."""
