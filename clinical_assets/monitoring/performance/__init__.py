"""Performance on matured outcomes, and what can be said before outcomes arrive."""
