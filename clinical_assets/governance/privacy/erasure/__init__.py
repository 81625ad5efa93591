"""Erasing a person: the search in every store, the journal of what is under way, and the proof afterwards."""
