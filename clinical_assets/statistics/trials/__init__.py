"""Trials of two models: differences that hold at every look, scheduled looks, allocation, planned size."""
