"""What to do about it: closed testing of updates, the recommendation, and its history."""
