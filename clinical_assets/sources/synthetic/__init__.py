"""Seeded generators of synthetic records, each with the model that it simulates."""
