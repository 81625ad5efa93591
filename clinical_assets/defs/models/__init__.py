"""From features to a risk model with its card, and the recalibration of a champion: assets."""
