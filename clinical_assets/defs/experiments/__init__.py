"""Trials of a challenger against the champion, as Dagster shows them."""
