"""From validated records to what a model reads: assets and checks about features and outcome."""
