"""Jobs: named selections of assets that a person, a schedule or a sensor starts for one cohort."""

from __future__ import annotations

import dagster as dg

ingest_cohort = dg.define_asset_job(
    name="ingest_cohort",
    selection=dg.AssetSelection.groups("cohorts", "features"),
    description="From the source to feature-ready tables, for one cohort.",
)

train_cohort = dg.define_asset_job(
    name="train_cohort",
    selection=dg.AssetSelection.groups("cohorts", "features", "models"),
    description="From the source to a risk model with its card, for one cohort.",
)

study_micro_cohort = dg.define_asset_job(
    name="study_micro_cohort",
    selection=dg.AssetSelection.groups("micro_cohorts"),
    description="From paired samples to pathway scores, pages of subjects, study and ablation, for one micro-cohort.",
)

JOBS = [ingest_cohort, train_cohort, study_micro_cohort]
