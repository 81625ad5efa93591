"""Outcomes after the prediction: which are mature, how they are matched, and the tables of received batches."""
