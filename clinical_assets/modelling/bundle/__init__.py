"""The model bundle: a folder without a pickle, its scores and reasons, and scoring with it."""
