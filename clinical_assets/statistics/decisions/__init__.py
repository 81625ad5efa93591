"""Decisions: net benefit and expected cost over thresholds."""
