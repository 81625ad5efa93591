"""Studies of micro-cohorts: designs, sweeps, protocols, ablation and what may be concluded."""
