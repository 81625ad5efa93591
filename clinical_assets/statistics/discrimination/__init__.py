"""Discrimination and classification: AUROC, rates, several classes."""
