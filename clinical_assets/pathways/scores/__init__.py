"""N-of-1 pathway scores and their correlation."""
