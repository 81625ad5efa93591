"""Models of times to events: what they learn from, and the estimators that give a risk by the horizon."""
