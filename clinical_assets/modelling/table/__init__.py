"""The training table: inputs, splits, preparation, resampling, and what was lost on the way."""
