"""Comparing samples: distances, homogeneity of groups, sequential tests."""
