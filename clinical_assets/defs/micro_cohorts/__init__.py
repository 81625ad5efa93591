"""Paired cohorts from two samples of each subject to study and ablation: assets, checks and their handle."""
