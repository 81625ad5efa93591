"""A release candidate: what was trained, from what, what changed, and whether it can be made again."""
