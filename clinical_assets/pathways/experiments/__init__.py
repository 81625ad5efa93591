"""Studies as experiments: one MLflow run each, with sweeps, models and the inputs from which it can be repeated."""
