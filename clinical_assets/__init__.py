"""Governed clinical risk models as Dagster assets.

A cohort is a partition, a stage is an asset, a promise is a check, a decision is a signed record.
"""
