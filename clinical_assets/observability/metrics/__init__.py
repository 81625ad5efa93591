"""Metrics: their vocabulary, how they are read from state, and the exporter."""
