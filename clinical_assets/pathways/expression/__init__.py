"""Paired expression: reading matrices and gene sets, normalisation, pairing, and a synthetic cohort."""
