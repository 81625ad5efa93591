"""Drift of inputs and scores: distances with their noise floor, the decision, and Evidently's report for people."""
