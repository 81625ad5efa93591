"""Verdicts: value, limit, interval, n and evidence; how they are judged, and the store that keeps them."""
