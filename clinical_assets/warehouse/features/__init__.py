"""The feature table: one row per prediction unit, and the checks that it keeps its promises."""
